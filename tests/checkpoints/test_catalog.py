"""Models are found by name or folder, with clear errors."""

import json
import os
import re
from pathlib import Path

import pytest

from avseg.checkpoints import (
    DEFAULT_MODEL,
    PACKAGED_MODELS,
    Checkpoint,
    find_checkpoint,
    list_models,
)
from avseg.checkpoints.known_models import RELEASES, Release
from avseg.checkpoints.manual_models import MANUAL_MODELS
from avseg.errors import CheckpointError

FILES = ("config.json", "model.safetensors", "processor_config.json")


def make_folder(folder: Path, names: tuple[str, ...] = FILES) -> Path:
    folder.mkdir()
    for name in names:
        (folder / name).write_text(name)
    return folder


def test_the_default_model_is_in_the_package() -> None:
    assert PACKAGED_MODELS[DEFAULT_MODEL].name == DEFAULT_MODEL


def test_a_packaged_model_is_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = Checkpoint(name="known", folder=make_folder(tmp_path / "packaged"))
    monkeypatch.setitem(PACKAGED_MODELS, "known", known)
    assert find_checkpoint("known") is known


def test_a_folder_is_found_and_called_by_its_name(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "run-7")
    assert find_checkpoint(folder) == Checkpoint(name="run-7", folder=folder)
    assert find_checkpoint(str(folder)).folder == folder


@pytest.mark.parametrize(
    ("name", "nearest"), [("av2t-sam-smal", "av2t-sam-small"), ("evf-sam3", "evf-sam2")]
)
def test_an_unknown_name_is_rejected_with_the_nearest_ones(name: str, nearest: str) -> None:
    with pytest.raises(
        CheckpointError,
        match=rf"^{name}: there is no such folder.*\(nearest: .*{nearest}.*`avseg models` lists",
    ):
        find_checkpoint(name)


def test_an_error_lists_all_names_if_none_is_near() -> None:
    with pytest.raises(CheckpointError, match=r"nearest: av2t-sam-small, .*, imagebind-huge;"):
        find_checkpoint("quux")


def test_a_published_model_is_imported_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def find_or_import(release: Release, *, offline: bool, is_mapped: bool) -> Checkpoint:
        asked.append((release.name, offline, is_mapped))
        return Checkpoint(release.name, tmp_path)

    monkeypatch.setattr("avseg.checkpoints.catalog.find_or_import", find_or_import)
    assert find_checkpoint("evf-sam2") == Checkpoint("evf-sam2", tmp_path)
    find_checkpoint("evf-sam", offline=True)
    find_checkpoint("evf-sam", is_mapped=True)
    assert asked == [
        ("evf-sam2", False, False),
        ("evf-sam", True, False),
        ("evf-sam", False, True),
    ]


def test_the_list_has_every_name_once() -> None:
    names = [*PACKAGED_MODELS, *RELEASES, *MANUAL_MODELS]
    assert sorted(listing.name for listing in list_models()) == sorted(set(names)) == sorted(names)


def test_the_list_begins_with_models_for_film_and_ends_with_backbones() -> None:
    listings = list_models()
    assert [listing.masks is None for listing in listings[-2:]] == [False, True]
    filmed = [each.training.is_filmed for each in listings if each.training and each.masks]
    assert filmed == sorted(filmed, reverse=True)


def test_models_whose_weights_were_not_seen_follow_those_that_were() -> None:
    names = [listing.name for listing in list_models()]
    assert names.index("tavis-v2") < names.index("av2t-sam2-s4")
    assert names.index("evf-sam2") < names.index("evf-sam2-multitask")


def test_a_file_is_rejected(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"model.safetensors: is a file.*or a folder with"):
        find_checkpoint(folder / "model.safetensors")


@pytest.mark.parametrize("missing", FILES)
def test_a_missing_file_is_named(missing: str, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "run", tuple(name for name in FILES if name != missing))
    with pytest.raises(CheckpointError, match=rf"run: .* {missing} is missing; give a folder"):
        find_checkpoint(folder)


def test_missing_files_of_the_package_ask_for_an_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PACKAGED_MODELS, "known", Checkpoint(name="known", folder=tmp_path))
    with pytest.raises(CheckpointError, match="install avseg again"):
        find_checkpoint("known")


def test_the_hash_is_that_of_the_weights(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "run")
    (folder / "model.safetensors").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1.
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert find_checkpoint(folder).sha256() == expected


def test_the_hash_follows_a_change_of_the_weights(tmp_path: Path) -> None:
    checkpoint = find_checkpoint(make_folder(tmp_path / "run"))
    before = checkpoint.sha256()
    weights = checkpoint.folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes().upper())
    os.utime(weights, ns=(1, 1))  # another time, even if the clock of the disk is coarse
    assert checkpoint.sha256() != before


def test_missing_weights_have_no_hash(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"model.safetensors: cannot be read"):
        Checkpoint(name="gone", folder=tmp_path).sha256()


def test_the_notice_has_the_training_data_and_the_next_step() -> None:
    notice = PACKAGED_MODELS[DEFAULT_MODEL].notice
    assert notice is not None
    assert "was trained on SynthAVS's drawn world" in notice
    assert "for filmed video give --model open-cascade (about 3.1 GB, " in notice


@pytest.mark.parametrize("name", ["open-cascade", "open-cascade-light"])
def test_a_film_model_of_the_notice_is_as_the_notice_describes_it(name: str) -> None:
    release = RELEASES[name]
    assert release.training.is_filmed
    assert release.licence == "Apache-2.0"
    notice = PACKAGED_MODELS[DEFAULT_MODEL].notice or ""
    assert f"{name} (" in notice
    assert f"{release.known_bytes / 1e9:.1f} GB" in notice
    parameters = [int(number) for number in re.findall(r"(\d+) M\b", release.details)]
    assert sum(parameters) * 4e6 == pytest.approx(release.known_bytes, rel=0.02)


def test_a_model_without_a_description_has_no_notice(tmp_path: Path) -> None:
    assert find_checkpoint(make_folder(tmp_path / "run")).notice is None


def test_a_model_to_download_by_hand_has_instructions_and_a_licence() -> None:
    with pytest.raises(
        CheckpointError,
        match=r"imagebind-huge: segments nothing by itself.*download https://.*4.8 GB, licence "
        r"CC-BY-NC-SA-4.0: not for commercial use.*avseg import-checkpoint",
    ):
        find_checkpoint("imagebind-huge")


def test_a_folder_records_the_weights_it_was_trained_from(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "run-7")
    parts = {"imagebind": {"path": "x", "sha256": "y", "licences": ["CC-BY-NC-SA-4.0"]}}
    (folder / "environment.json").write_text(json.dumps([{"parts": parts}]))
    found = find_checkpoint(folder)
    assert found.restrictions == ("CC-BY-NC-SA-4.0",)
    assert found.notice is not None
    assert "run-7: this model is built on weights under CC-BY-NC-SA-4.0" in found.notice
