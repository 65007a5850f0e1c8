"""A published model is downloaded and imported once, and then found without the Hub."""

import json
import logging
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from avseg.atomic import replace_when_complete
from avseg.checkpoints import import_cache as imported
from avseg.checkpoints import importing, resources
from avseg.checkpoints.conversion import import_checkpoint
from avseg.checkpoints.import_cache import find_imported, find_or_import
from avseg.checkpoints.known_models import RELEASES, HubFile, Release
from avseg.checkpoints.model_folder import Checkpoint, Training
from avseg.errors import CheckpointError, OutputError
from avseg.segmenter import load_segmenter
from tests.checkpoints.hub import LocalHub
from tests.checkpoints.test_importing_evf_sam import make_files
from tests.models.factories import SAM2
from tests.published import SAM2_CONFIG, make_model, write_config, write_published

RELEASE = Release(
    name="toy",
    what="A toy",
    files=(
        HubFile("someone/toy", "run_best.pth", "this test", None),
        HubFile("someone/tower", "tower.pth", "this test", "MIT", size_bytes=690_000_000),
    ),
    masks="one",
    training=Training("toys", is_filmed=False),
)


@pytest.fixture
def imports(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Replace the importer by one that copies the files; return the folders it was called with."""
    asked: list[Path] = []

    def copy(files: Sequence[Path], output: Path, config: Path | None) -> Checkpoint:
        asked.append(output)
        with replace_when_complete(output) as folder:
            folder.mkdir()
            for name, source in zip(("config.json", "model.safetensors"), files, strict=True):
                (folder / name).write_bytes(source.read_bytes())
            (folder / "processor_config.json").write_text(config.read_text() if config else "")
        return Checkpoint(output.name, output)

    monkeypatch.setattr(importing, "convert_published", copy)
    return asked


@pytest.fixture
def toy_hub(hub: LocalHub) -> LocalHub:
    """Run a Hub with the toy model."""
    hub.add("someone/toy", "run_best.pth", b"weights")
    hub.add("someone/tower", "tower.pth", b"tower")
    return hub


def test_a_model_is_downloaded_and_imported_into_the_cache(
    toy_hub: LocalHub, cache: Path, imports: list[Path]
) -> None:
    checkpoint = find_or_import(RELEASE, endpoint=toy_hub.endpoint)
    assert checkpoint == Checkpoint("toy", imports[0], licence=None)
    assert (checkpoint.folder / "config.json").read_bytes() == b"weights"
    assert (checkpoint.folder / "model.safetensors").read_bytes() == b"tower"
    assert checkpoint.folder.parent == cache / "models" / "toy"


def test_an_imported_model_needs_neither_the_hub_nor_the_downloads(
    toy_hub: LocalHub, cache: Path, imports: list[Path]
) -> None:
    first = find_or_import(RELEASE, endpoint=toy_hub.endpoint)
    asked = len(toy_hub.requests)
    (cache / "downloads").rename(cache / "thrown away")
    assert find_or_import(RELEASE, offline=True) == first == find_imported(RELEASE)
    assert len(toy_hub.requests) == asked
    assert len(imports) == 1


@pytest.mark.usefixtures("imports")
def test_a_download_is_announced_with_sizes_and_licences(
    toy_hub: LocalHub, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    find_or_import(RELEASE, endpoint=toy_hub.endpoint)
    ours = [record for record in caplog.records if record.name == imported.__name__]
    assert [record.levelno for record in ours] == [logging.WARNING]
    assert ours[0].getMessage() == (
        "toy is not on this machine yet; downloading "
        "run_best.pth of someone/toy (size not known, licence not stated: ask its owners), "
        f"tower.pth of someone/tower (690 MB, licence MIT) to {cache}."
    )
    caplog.clear()
    find_or_import(RELEASE, endpoint=toy_hub.endpoint)
    assert not caplog.records


@pytest.mark.usefixtures("cache")
def test_offline_a_missing_model_is_an_error_without_an_announcement(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(CheckpointError, match=r"someone/toy: .* is not on this machine"):
        find_or_import(RELEASE, offline=True)
    assert not caplog.records


@pytest.mark.usefixtures("imports")
def test_options_that_the_files_do_not_determine_come_from_the_catalog(toy_hub: LocalHub) -> None:
    release = replace(RELEASE, options={"multimask": False})
    folder = find_or_import(release, endpoint=toy_hub.endpoint).folder
    assert (folder / "processor_config.json").read_text() == '{"multimask": false}'
    assert find_imported(RELEASE) is None


def test_an_import_that_fails_leaves_no_model(
    toy_hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(files: Sequence[Path], output: Path, config: Path | None) -> Checkpoint:
        raise CheckpointError(f"{output}: of an unknown format ({len(files)} files, {config}).")

    monkeypatch.setattr(importing, "convert_published", fail)
    with pytest.raises(CheckpointError, match="of an unknown format"):
        find_or_import(RELEASE, endpoint=toy_hub.endpoint)
    assert find_imported(RELEASE) is None


@pytest.mark.usefixtures("imports")
def test_other_files_are_imported_again(toy_hub: LocalHub, cache: Path) -> None:
    first = find_or_import(RELEASE, endpoint=toy_hub.endpoint)
    assert find_imported(replace(RELEASE, files=RELEASE.files[::-1])) is None
    toy_hub.add("someone/toy", "run_best.pth", b"better weights")
    for path in (first.folder, cache / "downloads"):
        path.rename(path.with_name("thrown away"))
    second = find_or_import(RELEASE, endpoint=toy_hub.endpoint)
    assert (second.folder / "config.json").read_bytes() == b"better weights"
    assert second.folder != first.folder


def test_a_new_importer_version_imports_the_downloaded_files_again(
    toy_hub: LocalHub, imports: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    find_or_import(RELEASE, endpoint=toy_hub.endpoint)
    asked = len(toy_hub.requests)
    monkeypatch.setattr(imported, "IMPORT_VERSION", 1_000)
    find_or_import(RELEASE, endpoint=toy_hub.endpoint)
    assert len(set(imports)) == 2
    assert len(toy_hub.requests) == asked


def test_two_threads_import_a_model_once(toy_hub: LocalHub, imports: list[Path]) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(
            lambda _: find_or_import(RELEASE, endpoint=toy_hub.endpoint), range(2)
        )
    assert first == second
    assert len(imports) == 1


def few(monkeypatch: pytest.MonkeyPatch, *, free: int = 2**60, available: int = 2**60) -> None:
    """Simulate a machine with that many bytes of disk space and of memory."""
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free))
    monkeypatch.setattr(resources, "available_memory", lambda: available)


def downloaded(cache: Path) -> list[Path]:
    """List the files in the cache, complete or not, without locks."""
    return [path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_a_disk_too_small_for_all_files_is_an_error_before_the_first_byte(
    toy_hub: LocalHub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 7 and 5 bytes to download, and as many for the import. Each file alone would fit.
    few(monkeypatch, free=23)
    message = (
        rf"^toy: the download of 12 bytes and the import need 24 bytes .* of {cache} has 23 bytes "
        "free; free 1 bytes, or name .* AVSEG_CACHE"
    )
    with pytest.raises(OutputError, match=message):
        find_or_import(RELEASE, endpoint=toy_hub.endpoint)
    assert not toy_hub.gets()
    assert not downloaded(cache)


@pytest.mark.usefixtures("imports")
def test_the_bytes_of_an_interrupted_download_need_no_space_again(
    toy_hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy_hub.add("someone/toy", "run_best.pth", bytes(3000))
    toy_hub.budget = 1000
    with pytest.raises(CheckpointError, match="the downloaded bytes are kept"):
        find_or_import(RELEASE, endpoint=toy_hub.endpoint)
    toy_hub.budget = None
    few(monkeypatch, free=3005 + 2005)
    find_or_import(RELEASE, endpoint=toy_hub.endpoint)


def test_a_memory_too_small_for_the_weights_is_an_error_before_the_first_byte(
    toy_hub: LocalHub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few(monkeypatch, available=11)
    with pytest.raises(CheckpointError, match=r"weights need .*12 bytes .*11 bytes.*--memory low"):
        find_or_import(RELEASE, endpoint=toy_hub.endpoint)
    assert not toy_hub.gets()
    assert not downloaded(cache)


@pytest.mark.usefixtures("imports")
def test_weights_that_stay_in_their_file_may_be_larger_than_the_memory(
    toy_hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    few(monkeypatch, available=11)
    find_or_import(RELEASE, endpoint=toy_hub.endpoint, is_mapped=True)


def test_the_networks_of_a_model_with_parts_have_to_fit_into_the_memory_in_any_case(
    toy_hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    few(monkeypatch, available=11)
    parts = replace(RELEASE, parts={"sam3": "someone/toy"})
    with pytest.raises(CheckpointError, match="close other programs"):
        find_or_import(parts, endpoint=toy_hub.endpoint, is_mapped=True)


def test_a_lighter_model_with_the_same_masks_is_named(
    toy_hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    light = replace(RELEASE.files[1], size_bytes=3)
    lighter = replace(RELEASE, name="lighter", files=(light,), masks="by text")
    heavier = replace(lighter, name="heavier", files=(replace(light, size_bytes=2**40),))
    monkeypatch.setattr(imported, "RELEASES", {each.name: each for each in (heavier, lighter)})
    few(monkeypatch, available=11)
    with pytest.raises(CheckpointError, match=r"or choose the lighter model lighter \(3 byte"):
        find_or_import(replace(RELEASE, masks="by text"), endpoint=toy_hub.endpoint)


def test_a_gated_file_is_found_before_the_first_byte_of_another(
    toy_hub: LocalHub, cache: Path
) -> None:
    toy_hub.gated.add("someone/tower")
    with pytest.raises(CheckpointError, match="someone/tower: is gated"):
        find_or_import(RELEASE, endpoint=toy_hub.endpoint)
    assert not toy_hub.gets()
    assert not downloaded(cache)


def publish(
    files: Sequence[Path],
    sizes: Path,
    hub: LocalHub,
    monkeypatch: pytest.MonkeyPatch,
    **options: bool,
) -> None:
    """Publish tiny files as the model `tiny`, with its sizes in a configuration file."""
    parts = []
    for path in files:
        repository = f"someone/{path.parent.name}"
        hub.add(repository, path.name, path.read_bytes())
        parts.append(HubFile(repository, path.name, "this test", "MIT"))
    training = Training("toys", is_filmed=False)
    release = Release("tiny", "A tiny system", tuple(parts), "one", training, options=options)
    monkeypatch.setitem(RELEASES, "tiny", release)

    def with_sizes(files: Sequence[Path], output: Path, config: Path | None) -> Checkpoint:
        told = json.loads(config.read_text()) if config else {}
        sizes.write_text(json.dumps(json.loads(sizes.read_text()) | told))
        return import_checkpoint(files, output, config=sizes)

    monkeypatch.setattr(importing, "convert_published", with_sizes)


def test_a_published_av2t_sam_is_loaded_by_its_name(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model()
    files = write_published(model, tmp_path / "published")
    publish(files, write_config(SAM2_CONFIG, tmp_path / "sizes"), hub, monkeypatch)

    segmenter = load_segmenter("tiny", "cpu")
    assert segmenter.name == "tiny"
    loaded = segmenter.model.state_dict()
    assert all(torch.equal(loaded[name], values) for name, values in model.state_dict().items())

    asked = len(hub.requests)
    again = load_segmenter("tiny", "cpu", offline=True)
    assert again.weights_sha256 == segmenter.weights_sha256
    assert len(hub.requests) == asked


def test_a_published_evf_sam_is_loaded_by_its_name_with_its_tokenizer(
    hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, files, sizes = make_files(SAM2, tmp_path)
    words = files[0].with_name("added_tokens.json")
    words.write_text('{"[semantic]": 60}')
    publish([*files, words], sizes, hub, monkeypatch, multimask=False)

    segmenter = load_segmenter("tiny", "cpu").with_texts("[semantic] dog")
    loaded = segmenter.model.state_dict()
    assert all(torch.equal(loaded[name], values) for name, values in model.state_dict().items())
    assert not segmenter.model.config.multimask
    assert 60 in vars(segmenter.processor)["tokenizer"].encode("[semantic] dog")
