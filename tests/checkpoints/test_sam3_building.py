"""SAM 3 is built from the files in which transformers publishes it."""

import json
import logging
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Sam3VideoConfig

import avseg
from avseg.checkpoints import find_checkpoint
from avseg.checkpoints.import_cache import find_or_import
from avseg.checkpoints.known_models import RELEASES
from avseg.checkpoints.model_folder import describe_licence
from avseg.checkpoints.sam3_building import make_sam3
from avseg.cli.main import app, run
from avseg.errors import CheckpointError, OutputError
from avseg.segmenter import load_segmenter
from tests.checkpoints.hub import LocalHub
from tests.models.open_parts import SAM3, publish_sam3
from tests.models.sam3.test_processing import clip
from tests.segmenters import make_video

WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the files of SAM 3 once; tests that change them copy them."""
    return publish_sam3(tmp_path_factory.mktemp("published") / "tiny-sam3")


def copied(folder: Path, to: Path) -> Path:
    """Copy the files of SAM 3."""
    to.mkdir()
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


def change_weights(folder: Path, change: Any) -> None:
    """Replace the tensors of a folder by those that `change` makes of them."""
    tensors = change(load_file(folder / WEIGHTS))
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def test_every_tensor_is_that_of_the_file(published: Path, tmp_path: Path) -> None:
    made = make_sam3(published, tmp_path / "sam3")
    given, built = load_file(published / WEIGHTS), load_file(made.folder / WEIGHTS)
    assert {f"segmenter.sam3.{name}" for name in given} == set(built)
    assert all(torch.equal(values, built[f"segmenter.sam3.{n}"]) for n, values in given.items())
    sources = json.loads((made.folder / "source.json").read_text())["sources"]
    assert [source["licence"] for source in sources] == ["SAM License"]
    assert find_checkpoint(made.folder).licence == "SAM License"


def test_the_files_of_the_video_model_are_accepted(published: Path, tmp_path: Path) -> None:
    video = copied(published, tmp_path / "video")
    options = Sam3VideoConfig(detector_config=SAM3.to_dict()).to_dict()
    (video / "config.json").write_text(json.dumps(options))
    change_weights(
        video,
        lambda tensors: (
            {f"detector_model.{name}": values for name, values in tensors.items()}
            | {"tracker_model.no_memory_embedding": torch.ones(2), "tracker_neck.a": torch.ones(1)}
        ),
    )
    image = make_sam3(published, tmp_path / "image").folder
    made = make_sam3(video, tmp_path / "sam3").folder
    expected, given = load_file(image / WEIGHTS), load_file(made / WEIGHTS)
    assert expected.keys() == given.keys()
    assert all(torch.equal(values, given[name]) for name, values in expected.items())
    load_segmenter(made, "cpu")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda tensors: {n.replace("text_encoder", "text"): v for n, v in tensors.items()},
            r"missing keys, first text_encoder.*; \d+ unexpected keys, first text\.",
        ),
        (
            lambda tensors: {n: v for n, v in tensors.items() if n != "text_projection.weight"},
            "1 missing keys, first text_projection.weight",
        ),
        (
            lambda tensors: tensors | {"text_projection.extra": torch.ones(1)},
            "1 unexpected keys, first text_projection.extra",
        ),
    ],
    ids=["renamed", "missing", "unexpected"],
)
def test_missing_or_unexpected_keys_are_refused(
    change: Any, message: str, published: Path, tmp_path: Path
) -> None:
    wrong = copied(published, tmp_path / "wrong")
    change_weights(wrong, change)
    with pytest.raises(CheckpointError, match=f"do not fit SAM 3: .*{message}"):
        make_sam3(wrong, tmp_path / "sam3")
    assert not (tmp_path / "sam3").exists()


def test_another_preprocessing_is_refused(published: Path, tmp_path: Path) -> None:
    other = copied(published, tmp_path / "other")
    options = {"image_processor": {"image_mean": [0.4, 0.4, 0.4]}}
    (other / "processor_config.json").write_text(json.dumps(options))
    with pytest.raises(CheckpointError, match=r"processor_config.json: image_mean is .*0\.4"):
        make_sam3(other, tmp_path / "sam3")


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("missing", [WEIGHTS, "processor_config.json"])
def test_a_missing_file_is_an_error_with_its_name(
    missing: str, published: Path, tmp_path: Path
) -> None:
    part = copied(published, tmp_path / "part")
    (part / missing).unlink()
    with pytest.raises(CheckpointError, match=f"{missing} is missing.*SAM 3"):
        find_checkpoint(part)


def test_an_existing_folder_is_not_changed(published: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="exists already"):
        make_sam3(published, tmp_path)


@pytest.mark.usefixtures("cache")
def test_a_video_is_segmented_with_published_files_and_a_text(
    published: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(avseg, "segment", partial(avseg.segment, isolate=False))
    video = make_video(tmp_path / "noise.mp4", seconds=0.2)
    arguments = [str(video), "-o", str(tmp_path / "out"), "--model", str(published)]
    assert (
        run(app, ["segment", *arguments, "--text", "dog", "--text", "church bell", "--no-overlay"])
        == 0
    )
    assert "SAM License, which allows no military" in " ".join(capsys.readouterr().err.split())
    result = json.loads((tmp_path / "out" / "noise" / "result.json").read_text())
    assert result["model"]["name"] == "tiny-sam3"
    assert result["model"]["licence"] == "SAM License"
    assert result["settings"]["texts"] == ["dog", "church bell"]
    # The import is reused, and the folder with the published files is not changed.
    assert find_checkpoint(published).folder == find_checkpoint(published).folder
    assert not (published / "source.json").exists()


def test_sam3_is_downloaded_by_its_name_from_a_pinned_revision(
    published: Path, hub: LocalHub, caplog: pytest.LogCaptureFixture
) -> None:
    release = RELEASES["sam3"]
    for file in published.iterdir():
        hub.add("facebook/sam3", file.name, file.read_bytes())
    for name in {file.file for file in release.files} - {file.name for file in published.iterdir()}:
        hub.add("facebook/sam3", name, b"{}")
    with caplog.at_level(logging.WARNING):
        imported = find_or_import(release)
    assert "licence SAM License: no military, nuclear or weapons use" in caplog.text
    assert imported.notice is not None
    assert "SAM License" in imported.notice
    segmenter = load_segmenter(imported.folder, "cpu").with_texts("dog")
    assert np.isfinite(segmenter.segment_clip(clip()).scores).all()
    asked = {path.split("/")[4] for _, path, _ in hub.requests if "/resolve/" in path}
    assert asked == {release.files[0].revision}
    assert len(release.files[0].revision) == 40


def test_the_gated_repository_asks_for_a_login(hub: LocalHub) -> None:
    hub.gated.add("facebook/sam3")
    with pytest.raises(CheckpointError, match=r"sam3: is gated.*no military.*hf auth login"):
        find_or_import(RELEASES["sam3"])


def test_a_licence_is_described_with_its_limits() -> None:
    assert describe_licence("MIT") == "MIT"
    assert describe_licence(None) == "not stated: ask its owners"
