"""The checks of a model find missing files, damaged weights, and masks that mean nothing."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from avseg.checkpoints.model_folder import file_sha256
from avseg.checkpoints.open_cascade_building import make_open_cascade
from avseg.diagnosis import Check, ModelTest, check_model
from avseg.segmenter import Segmenter
from avseg.types import Clip, Segmentation
from tests.models.open_parts import publish_all
from tests.segmenters import make_video, save_random_model, save_random_text_model, tone


def checks(model: Path | str, video: Path | None = None, text: str = "dog") -> dict[str, Check]:
    test = ModelTest(str(model), video, text, "cpu", offline=True)
    return {check.name: check for check in check_model(test)}


def mark(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the segmentation by masks that cover a share of the rows."""

    def segment_clip(_: Segmenter, clip: Clip) -> Segmentation:
        masks = np.zeros((len(clip.frames), *clip.frames.shape[1:3]), bool)
        masks[:, : round(share * masks.shape[1])] = True
        scores = np.ones(len(masks), np.float32)
        return Segmentation(clip.origin, clip.frame_times, masks, scores, "marker", 0.5)

    monkeypatch.setattr(Segmenter, "segment_clip", segment_clip)


def test_a_sound_model_passes_on_the_drawn_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark(0.25, monkeypatch)
    found = checks(save_random_model(tmp_path / "model"))
    assert list(found) == ["files", "weights", "masks", "speed", "memory"]
    assert {check.status for check in found.values()} == {"ok"}
    assert found["masks"].found == "5 of 5 frames marked, largest mask 25.0%"
    assert found["speed"].found.endswith("a frame of 224 x 224 pixels")


def test_a_video_of_ones_own_is_segmented(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", tone(2), seconds=2)
    found = checks(save_random_model(tmp_path / "model"), video)
    assert "of 2 frames marked" in found["masks"].found


@pytest.mark.parametrize(("share", "next_step"), [(0.0, "marks nothing"), (1.0, "look at it")])
def test_empty_and_full_masks_are_warnings(
    share: float, next_step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark(share, monkeypatch)
    found = checks(save_random_model(tmp_path / "model"))["masks"]
    assert found.status == "warning"
    assert next_step in found.next_step


def test_a_model_prompted_by_texts_gets_the_text(tmp_path: Path) -> None:
    model = save_random_text_model(tmp_path / "model")
    assert "error" not in {check.status for check in checks(model).values()}
    found = checks(model, text="zebra")  # a word that it does not know
    assert found["PromptError"].status == "error"


def test_each_file_of_an_open_cascade_is_listed_with_its_role(tmp_path: Path) -> None:
    parts = publish_all(tmp_path)
    made = make_open_cascade(parts["clap"], parts["owlv2"], parts["sam2"], tmp_path / "open")
    found = checks(made.folder)
    assert "error" not in {check.status for check in found.values()}
    for role, part in {"namer": "clap", "detector": "owlv2", "sam": "sam2"}.items():
        hashed = file_sha256(parts[part] / "model.safetensors")
        assert f"; {role} from model.safetensors, SHA-256 {hashed}" in found["files"].found


def test_weights_that_are_not_finite_are_an_error(tmp_path: Path) -> None:
    model = save_random_model(tmp_path / "model")
    weights = load_file(model / "model.safetensors")
    name = sorted(weights)[0]
    weights[name] = weights[name].float().fill_(float("nan"))
    save_file(weights, model / "model.safetensors", {"format": "pt"})
    found = checks(model)
    assert list(found) == ["files", "weights"]
    assert found["weights"].status == "error"
    assert f"1 of {len(weights)} tensors" in found["weights"].found
    assert name in found["weights"].found


def test_an_unknown_model_is_an_error_and_ends_the_checks(tmp_path: Path) -> None:
    found = checks(tmp_path / "none")
    assert list(found) == ["CheckpointError"]
    assert "there is no such folder" in found["CheckpointError"].found
