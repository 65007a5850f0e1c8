"""Predictions on disk: they are read as they were written, and damage raises an error."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from avseg.errors import DatasetError, OutputError
from avseg.evaluation import prediction_files
from avseg.evaluation.prediction_files import (
    MANIFEST,
    PredictionFacts,
    read_predictions,
    write_predictions,
)

FACTS = PredictionFacts(
    model="small", weights_sha256="ab", data="data", subset="ms3", split="test", threshold=0.5
)
LOGITS = torch.tensor([[[-2.5, 0.0], [4.0, 7.25]]])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write two clips, the second with classes."""
    with write_predictions(tmp_path / "predictions", FACTS) as writer:
        writer.add("first", LOGITS)
        writer.add("second", 2 * LOGITS, torch.zeros(1, 71, 2, 2))
    return tmp_path / "predictions"


def test_logits_are_read_as_they_were_written(folder: Path) -> None:
    predictions = read_predictions(folder)
    assert predictions.facts == FACTS
    assert [clip.clip_id for clip in predictions.clips] == ["first", "second"]
    masks, classes = predictions.read(0)
    assert torch.equal(masks, LOGITS)
    assert classes is None
    masks, classes = predictions.read(1)
    assert torch.equal(masks, 2 * LOGITS)
    assert classes is not None
    assert classes.shape == (1, 71, 2, 2)


def test_logits_take_two_bytes_each_and_stay_finite(tmp_path: Path) -> None:
    with write_predictions(tmp_path / "p", FACTS) as writer:
        writer.add("loud", torch.full((5, 64, 64), 1e6))
    assert (tmp_path / "p" / "00000.safetensors").stat().st_size < 2 * 5 * 64 * 64 + 200
    assert read_predictions(tmp_path / "p").read(0)[0].isfinite().all()


def test_the_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    def fail() -> None:
        with write_predictions(tmp_path / "p", FACTS) as writer:
            writer.add("first", LOGITS)
            assert not (tmp_path / "p").exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("masks", "classes"),
    [(LOGITS[0], None), (LOGITS, LOGITS), (LOGITS, torch.zeros(2, 71, 2, 2))],
)
def test_logits_of_other_shapes_raise_an_error(
    masks: torch.Tensor, classes: torch.Tensor | None, tmp_path: Path
) -> None:
    with (
        pytest.raises(ValueError, match=r"of first are .* of one clip and its T frames"),
        write_predictions(tmp_path / "p", FACTS) as writer,
    ):
        writer.add("first", masks, classes)


def test_a_folder_without_a_manifest_raises_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"manifest.json: cannot be read.*--save-predictions"):
        read_predictions(tmp_path)


def test_a_manifest_of_another_version_raises_an_error(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | {"schema_version": 99}))
    with pytest.raises(DatasetError, match="has schema version 99, this avseg reads 1"):
        read_predictions(folder)


def test_the_error_for_a_damaged_file_names_it(folder: Path) -> None:
    (folder / "00001.safetensors").write_bytes(b"half a fi")
    with pytest.raises(DatasetError, match=r"00001.safetensors: cannot be read"):
        read_predictions(folder).read(1)


def test_a_file_name_that_no_disk_can_have_raises_an_error(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["clips"][1]["file"] = "\ud800"
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(DatasetError, match=r"cannot be read \(.*surrogates"):
        read_predictions(folder).read(1)


def test_logits_that_are_not_finite_raise_an_error(folder: Path) -> None:
    path = folder / "00001.safetensors"
    tensors = {name: values.clone() for name, values in load_file(path).items()}
    tensors["mask_logits"][0, 0, 0] = float("nan")
    save_file(tensors, path)
    with pytest.raises(DatasetError, match=r"00001.safetensors: has logits that are not finite"):
        read_predictions(folder).read(1)


def test_a_file_that_does_not_match_the_manifest_raises_an_error(
    folder: Path, tmp_path: Path
) -> None:
    with write_predictions(tmp_path / "other", FACTS) as writer:
        writer.add("first", torch.zeros(2, 2, 2))
    (tmp_path / "other" / "00000.safetensors").replace(folder / "00000.safetensors")
    with pytest.raises(DatasetError, match=r"are \(2, 2, 2\), the manifest says \(1, 2, 2\)"):
        read_predictions(folder).read(0)


@pytest.mark.parametrize(
    ("name", "text"),
    [("thesis.tex", "years"), ("manifest.json", '{"name": "web app"}'), ("0.safetensors", "")],
)
def test_a_folder_with_other_files_is_kept(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with (
        pytest.raises(OutputError, match="other files than saved predictions"),
        write_predictions(tmp_path, FACTS),
    ):
        pytest.fail("the work begins only after the folder was checked")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: text}


def test_predictions_replace_earlier_ones(folder: Path) -> None:
    with write_predictions(folder, FACTS) as writer:
        writer.add("other", LOGITS)
    assert [clip.clip_id for clip in read_predictions(folder).clips] == ["other"]
    assert {path.name for path in folder.iterdir()} == {MANIFEST, "00000.safetensors"}


def test_a_full_disk_leaves_no_predictions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def save_file(_: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(prediction_files, "save_file", save_file)
    with (
        pytest.raises(OutputError, match=r"p: cannot be written \(No space left on device\)"),
        write_predictions(tmp_path / "p", FACTS) as writer,
    ):
        writer.add("first", LOGITS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [
        {"clips": 3},
        {"clips": [{}]},
        {"clips": [{"clip_id": "a", "file": "b", "shape": 3}]},
        {"x": 1},
    ],
)
def test_a_damaged_manifest_raises_an_error(folder: Path, change: dict[str, object]) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | change))
    with pytest.raises(DatasetError, match=r"manifest.json: is damaged"):
        read_predictions(folder)


@pytest.mark.parametrize("text", ["[]", "3", "[" * 50_000])
def test_a_manifest_that_is_no_object_raises_an_error(folder: Path, text: str) -> None:
    (folder / MANIFEST).write_text(text)
    with pytest.raises(DatasetError, match=r"manifest.json: cannot be read as the manifest"):
        read_predictions(folder)
