"""Evaluation: scores of own functions that use the audio or ignore it, and of avseg's models."""

import errno
import os
import runpy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional as F

import avseg
from avseg.datasets import AVSBench
from avseg.errors import CheckpointError, OutputError
from avseg.evaluation import evaluate as evaluating
from avseg.evaluation.evaluate import evaluate, save_report
from avseg.evaluation.figures.plots import PLOTS
from avseg.evaluation.prediction import Prediction, SegmenterPredictor, Waveform
from avseg.evaluation.report import read_report
from avseg.metrics.protocol_table import PROTOCOLS
from avseg.segmenter import Segmenter, load_segmenter
from avseg.synthavs.generators import SynthavsOptions
from avseg.synthavs.writer import write_synthavs
from avseg.types import Clip
from tests.evaluation.reports import REPORT
from tests.segmenters import save_random_cascade, save_random_tavis, save_random_text_model

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "own_model.py"


@pytest.fixture(autouse=True)
def one_scene(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure in one scene whether the mask follows the audio."""
    monkeypatch.setattr(evaluating, "FOLLOWED_SCENES", 1)


@dataclass
class Oracle:
    """A user's own model that returns the ground truth for the original audio, else empty masks."""

    split: AVSBench
    ignores_audio: bool = False
    calls: int = 0

    def __call__(
        self, frames: NDArray[np.uint8], audio: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the ground truth; empty masks for scenes that are not in the split."""
        self.calls += 1
        for clip in self.split:
            if np.array_equal(clip.clip.frames, frames):
                original = self.ignores_audio or np.array_equal(clip.clip.audio, audio)
                return (clip.masks & original).astype(np.float32)
        return np.zeros(frames.shape[:3], np.float32)


def test_a_model_that_uses_the_audio_leaves_frames_with_replaced_audio_clean(
    split: AVSBench,
) -> None:
    report = evaluate(Oracle(split), split)
    assert report.scores["j"].value == 1.0
    assert {"muted", "noise", "shifted", "silent object"} <= set(report.conditions)
    for name in ("muted", "noise"):
        assert report.conditions[name]["marked_frames"].value == 0.0
        assert report.conditions[name]["silenced_marked"].value == 0.0
        assert report.conditions[name]["iou_with_original"].value == 0.0
        assert report.conditions[name]["j_condition"].value == 1.0
    assert report.robustness["vision_bias"] == 0.0
    assert report.robustness["g_miou"] == 1.0


def test_a_model_that_ignores_the_audio_marks_the_same_pixels_under_each_condition(
    split: AVSBench,
) -> None:
    report = evaluate(Oracle(split, ignores_audio=True), split)
    assert report.scores["j"].value == 1.0
    for name in ("muted", "noise"):
        assert report.conditions[name]["iou_with_original"].value == 1.0
        assert report.conditions[name]["silenced_marked"].value == 1.0
        area = np.mean([clip.masks.mean() for clip in split])
        assert report.conditions[name]["marked_area"].value == pytest.approx(area)
    assert report.conditions["silent object"]["j_condition"].value == 0.0
    assert report.robustness["vision_bias"] == 1.0
    assert report.robustness["g_miou"] == 0.0


def test_baselines_mark_nothing_everything_and_all_objects(split: AVSBench) -> None:
    report = evaluate(Oracle(split), split)
    assert set(report.baselines) == {"nothing", "everything", "all objects"}
    silent = sum(c.silent_frames for c in report.clips) / sum(c.frames for c in report.clips)
    assert report.baselines["nothing"].j == pytest.approx(silent)
    assert report.baselines["everything"].false_positive_area in (None, 1.0)
    everything, objects = report.baselines["everything"], report.baselines["all objects"]
    assert objects.j_sounding is not None
    assert everything.j_sounding is not None
    assert objects.j_sounding > everything.j_sounding


def brightness(frames: NDArray[np.uint8], audio: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Mark bright pixels while there is audio."""
    bright: NDArray[np.bool_] = (frames.mean(axis=-1) > 128) & bool(np.abs(audio).max() > 0.01)
    return bright


def test_an_own_function_gets_a_report_with_its_name_from_a_folder_of_data(
    data: Path, tmp_path: Path
) -> None:
    report = avseg.evaluate(
        brightness,
        data=data,
        subset="ms3",
        split="test_seen",
        output=tmp_path / "report",
        save_predictions=tmp_path / "predictions",
    )
    assert (report.model, report.weights_sha256) == ("brightness", None)
    assert report.environment["device"] == "own model"
    assert report.conditions["muted"]["marked_area"].value == 0.0
    assert read_report(tmp_path / "report") == report
    assert {path.name for path in (tmp_path / "report").iterdir()} >= {"report.md", "clips.png"}
    scores = avseg.score(tmp_path / "predictions", data)
    assert scores.protocols["tpavi"]["j"] == pytest.approx(report.protocols["tpavi"]["j"], abs=1e-3)


def test_the_example_evaluates_an_own_model_in_eleven_lines(
    data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lines = EXAMPLE.read_text().split('"""', maxsplit=2)[-1].splitlines()
    assert len([line for line in lines if line.strip()]) <= 11
    # Three small clips instead of those that the example writes, which take longer to evaluate.
    monkeypatch.setattr(avseg, "synthesize_data", lambda *_, **__: None)
    (tmp_path / "data").symlink_to(data)
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLE))
    assert (tmp_path / "report" / "report.md").read_text().startswith("# brightness on ms3/test")


def test_a_real_model_is_reported_with_its_environment(
    split: AVSBench, segmenter: Segmenter
) -> None:
    done: list[tuple[int, int]] = []
    report = evaluate(segmenter, split, on_clip=lambda *progress: done.append(progress))
    assert len(report.clips) == len(split)
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]  # three clips, one scene
    assert report.weights_sha256 == segmenter.weights_sha256
    assert (report.subset, report.split, report.threshold) == ("ms3", "test_seen", 0.5)
    assert report.environment["device"] == "cpu"
    assert report.seconds > 0
    assert [clip.clip_id for clip in report.clips] == [entry.name for entry in split.entries]
    assert set(report.protocols) == set(PROTOCOLS)
    assert report.protocols["tpavi"]["j"] == pytest.approx(report.scores["j"].value)
    assert report.protocols["tpavi"]["f"] == pytest.approx(report.scores["f"].value)
    assert max(report.f_curve) == pytest.approx(report.protocols["whole-set"]["f"])
    assert all(clip.categories or clip.silent_frames == clip.frames for clip in report.clips)


def test_without_robustness_only_the_original_audio_is_used(split: AVSBench) -> None:
    oracle = Oracle(split)
    report = evaluate(oracle, split, robustness=False)
    assert oracle.calls == len(split)
    assert not report.conditions
    assert not report.robustness
    assert report.following is None


@pytest.fixture(scope="module")
def avss(tmp_path_factory: pytest.TempPathFactory) -> AVSBench:
    """AVSS of SynthAVS with two clips in each split."""
    folder = tmp_path_factory.mktemp("avss")
    write_synthavs(
        folder, SynthavsOptions(subset="avss", clips=2, evaluation_clips=2, side=48), workers=1
    )
    return AVSBench(folder, "avss", "test_seen", sample_rate=8000)


def test_classes_are_scored_if_the_model_predicts_them(
    avss: AVSBench, segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def predict(
        _: SegmenterPredictor, clip: Clip, __: Waveform, class_names: Sequence[str]
    ) -> Prediction:
        known = next(c for c in avss if np.array_equal(c.clip.frames, clip.frames))
        assert known.labels is not None
        labels = torch.from_numpy(known.labels).long()
        classes = F.one_hot(labels, len(class_names)).permute(0, 3, 1, 2).float()
        return Prediction(20.0 * torch.from_numpy(known.masks) - 10, classes)

    monkeypatch.setattr(SegmenterPredictor, "predict", predict)
    report = evaluate(segmenter, avss, robustness=False)
    assert report.semantic is not None
    assert report.semantic.protocols["avss-present"]["j"] == 1.0
    shown = {name for clip in report.clips for name in clip.categories}
    assert set(report.semantic.classes) == {"background"} | shown


def test_the_classes_of_a_tavis_are_scored(avss: AVSBench, tmp_path: Path) -> None:
    tavis = load_segmenter(save_random_tavis(tmp_path), "cpu")
    report = evaluate(tavis, avss, robustness=False)
    assert report.semantic is not None
    sounding = {name for clip in report.clips for name in clip.categories}
    known = {"background", *tavis.vocabulary, *sounding}
    assert {"background"} < set(report.semantic.classes) <= known


def test_a_model_without_classes_is_scored_by_its_masks_alone(
    avss: AVSBench, segmenter: Segmenter
) -> None:
    report = evaluate(segmenter, avss, robustness=False)
    assert report.semantic is None
    assert report.scores["j"].value > 0


def test_a_cascade_is_evaluated_with_its_vocabulary(split: AVSBench, tmp_path: Path) -> None:
    cascade = load_segmenter(save_random_cascade(tmp_path), "cpu").with_vocabulary("dog", "bus")
    data = AVSBench(split.folder, "ms3", "test_seen", cascade.processor.sample_rate)
    report = evaluate(cascade, data, robustness=False)
    assert report.vocabulary == ("dog", "bus")
    assert len(report.clips) == len(split)


def test_a_model_prompted_by_texts_raises_an_error(split: AVSBench, tmp_path: Path) -> None:
    by_text = load_segmenter(save_random_text_model(tmp_path), "cpu")
    with pytest.raises(CheckpointError, match="prompted by texts, which these data sets"):
        evaluate(by_text, split)


@pytest.mark.parametrize("threshold", [0.0, 1.0, -1.0])
def test_a_threshold_out_of_range_raises_an_error(
    threshold: float, split: AVSBench, segmenter: Segmenter
) -> None:
    with pytest.raises(ValueError, match="threshold must be between 0 and 1"):
        evaluate(segmenter, split, threshold=threshold)


def test_a_report_is_written_as_tables_scores_and_pictures(tmp_path: Path) -> None:
    save_report(REPORT, tmp_path / "report", Image.new("RGB", (4, 4)))
    files = {path.name for path in (tmp_path / "report").iterdir()}
    assert files == {"report.md", "report.json", "clips.csv", "clips.png", *PLOTS}
    assert read_report(tmp_path / "report") == REPORT
    for name in (*PLOTS, "clips.png"):
        assert f"]({name})" in (tmp_path / "report" / "report.md").read_text()
        Image.open(tmp_path / "report" / name).verify()


def test_a_report_can_be_written_again_and_without_a_contact_sheet(tmp_path: Path) -> None:
    save_report(REPORT, tmp_path)
    save_report(replace(REPORT, model="other"), tmp_path)
    assert not (tmp_path / "clips.png").exists()
    assert (tmp_path / "report.md").read_text().startswith("# other on ms3/test")


def test_a_report_is_not_written_among_other_files(tmp_path: Path) -> None:
    (tmp_path / "report.md").write_text("my own")
    with pytest.raises(OutputError, match=r"other files than an evaluation report \(report.md\)"):
        save_report(REPORT, tmp_path)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["my own"]


def test_a_full_disk_leaves_no_part_of_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def savefig(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", savefig)
    with pytest.raises(OutputError, match=r"report: cannot be written \(No space left on device"):
        save_report(REPORT, tmp_path / "report")
    assert list(tmp_path.iterdir()) == []


def test_a_report_is_written_around_its_predictions(tmp_path: Path) -> None:
    (tmp_path / "predictions").mkdir()
    save_report(REPORT, tmp_path, predictions=tmp_path / "predictions")
    assert read_report(tmp_path) == REPORT


@pytest.mark.parametrize(
    "folders",
    [
        {"output": "thesis"},
        {"save_predictions": "thesis"},
        {"output": "new", "save_predictions": "new"},
        {"output": "new/report", "save_predictions": "new"},
    ],
)
def test_folders_are_checked_before_anything_is_loaded(
    tmp_path: Path, folders: dict[str, str]
) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("years")
    options: Any = {name: tmp_path / folder for name, folder in folders.items()}
    with pytest.raises(OutputError, match="choose"):
        evaluate("no such model", "no such data", **options)
    assert [path.name for path in tmp_path.rglob("*")] == ["thesis", "thesis.tex"]


def test_a_plot_that_cannot_be_drawn_is_not_linked(tmp_path: Path) -> None:
    save_report(replace(REPORT, f_curve=()), tmp_path)
    assert not (tmp_path / "f_curve.png").exists()
    assert "f_curve.png" not in (tmp_path / "report.md").read_text()


def test_the_error_for_a_folder_that_cannot_be_created_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        save_report(REPORT, tmp_path / "file" / "report")
