"""Evaluation: what is scored against what, told of models that are known to listen or not."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from avseg.datasets import AVSBench
from avseg.errors import CheckpointError
from avseg.evaluation import evaluate
from avseg.evaluation.prediction import Prediction, Waveform
from avseg.evaluation.report import Report
from avseg.metrics.protocols import PROTOCOLS
from avseg.segmenter import Segmenter, load_segmenter
from avseg.synthavs.clips import SynthavsOptions
from avseg.synthavs.writer import write_synthavs
from avseg.types import Clip
from tests.segmenters import save_random_cascade, save_random_tavis, save_random_text_model

#: The package has a function of the module's name.
MODULE: ModuleType = importlib.import_module("avseg.evaluation.evaluate")


@dataclass
class Listener:
    """A model that marks the true masks when it hears the true sound, and else nothing."""

    split: AVSBench
    deaf: bool = False

    def predict(
        self,
        _: Segmenter,
        clip: Clip,
        audio: Waveform,
        class_names: Sequence[str] | None = None,
    ) -> Prediction:
        """Mark what sounds."""
        known = next(c for c in self.split if np.array_equal(c.clip.frames, clip.frames))
        heard = self.deaf or np.array_equal(known.clip.audio[None], audio)
        masks = torch.from_numpy(known.masks & heard)
        classes = None
        if known.labels is not None and class_names is not None:
            labels = torch.from_numpy(known.labels).long()
            classes = F.one_hot(labels, len(class_names)).permute(0, 3, 1, 2).float()
        return Prediction(20 * masks.float() - 10, classes)


def report_of(
    model: Callable[..., Prediction],
    split: AVSBench,
    segmenter: Segmenter,
    monkeypatch: pytest.MonkeyPatch,
) -> Report:
    monkeypatch.setattr(MODULE, "predict", model)
    monkeypatch.setattr(MODULE, "FOLLOWED_SCENES", 1)
    return evaluate(segmenter, split)


def test_who_listens_is_right_and_leaves_other_sounds_clean(
    split: AVSBench, segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = report_of(Listener(split).predict, split, segmenter, monkeypatch)
    assert report.scores["j"].value == 1.0
    assert {"muted", "noise", "shifted", "silent object"} <= set(report.sounds)
    for name in ("muted", "noise"):
        assert report.sounds[name]["marked_frames"].value == 0.0
        assert report.sounds[name]["still_marked"].value == 0.0
        assert report.sounds[name]["unmoved"].value == 0.0
        assert report.sounds[name]["j_then"].value == 1.0
    assert report.listening["vision_bias"] == 0.0
    assert report.listening["g_miou"] == 1.0


def test_who_is_deaf_marks_the_same_whatever_sounds(
    split: AVSBench, segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = report_of(Listener(split, deaf=True).predict, split, segmenter, monkeypatch)
    assert report.scores["j"].value == 1.0
    for name in ("muted", "noise"):
        assert report.sounds[name]["unmoved"].value == 1.0
        assert report.sounds[name]["still_marked"].value == 1.0
        area = np.mean([clip.masks.mean() for clip in split])
        assert report.sounds[name]["marked_area"].value == pytest.approx(area)
    assert report.sounds["silent object"]["j_then"].value == 0.0
    assert report.listening["vision_bias"] == 1.0
    assert report.listening["g_miou"] == 0.0


def test_baselines_mark_nothing_everything_and_all_objects(
    split: AVSBench, segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = report_of(Listener(split).predict, split, segmenter, monkeypatch)
    assert set(report.baselines) == {"nothing", "everything", "all objects"}
    silent = sum(c.silent_frames for c in report.clips) / sum(c.frames for c in report.clips)
    assert report.baselines["nothing"].j == pytest.approx(silent)
    assert report.baselines["everything"].false_positive_area in (None, 1.0)
    everything, objects = report.baselines["everything"], report.baselines["all objects"]
    assert objects.j_sounding is not None
    assert everything.j_sounding is not None
    assert objects.j_sounding > everything.j_sounding


def test_a_real_model_is_reported_with_what_made_the_numbers(
    split: AVSBench, segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[float] = []
    monkeypatch.setattr(MODULE, "FOLLOWED_SCENES", 1)
    report = evaluate(segmenter, split, on_progress=done.append)
    assert len(report.clips) == len(split)
    assert done == [0.25, 0.5, 0.75, 1.0]  # three clips, one scene
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


def test_without_robustness_only_the_true_sound_is_tried(
    split: AVSBench, segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Waveform] = []
    listener = Listener(split)

    def count(
        model: Segmenter, clip: Clip, audio: Waveform, class_names: Sequence[str] | None
    ) -> Prediction:
        asked.append(audio)
        return listener.predict(model, clip, audio, class_names)

    monkeypatch.setattr(MODULE, "predict", count)
    report = evaluate(segmenter, split, robustness=False)
    assert len(asked) == len(split)
    assert not report.sounds
    assert not report.listening
    assert report.following is None


@pytest.fixture(scope="module")
def avss(tmp_path_factory: pytest.TempPathFactory) -> AVSBench:
    """AVSS of SynthAVS with two clips in each split."""
    folder = tmp_path_factory.mktemp("avss")
    write_synthavs(
        folder, SynthavsOptions(subset="avss", clips=2, evaluation_clips=2, side=48), workers=1
    )
    return AVSBench(folder, "avss", "test_seen", sample_rate=8000)


def test_classes_are_scored_where_the_model_tells_them(
    avss: AVSBench, segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MODULE, "predict", Listener(avss).predict)
    report = evaluate(segmenter, avss, robustness=False)
    assert report.semantic is not None
    assert report.semantic.protocols["avss-present"]["j"] == 1.0
    shown = {name for clip in report.clips for name in clip.categories}
    assert set(report.semantic.classes) == {"background"} | shown


def test_a_tavis_is_scored_by_its_classes(avss: AVSBench, tmp_path: Path) -> None:
    tavis = load_segmenter(save_random_tavis(tmp_path), "cpu")
    report = evaluate(tavis, avss, robustness=False)
    assert report.semantic is not None
    heard = {name for clip in report.clips for name in clip.categories}
    assert (
        {"background"} < set(report.semantic.classes) <= {"background", *tavis.vocabulary, *heard}
    )


def test_a_model_without_classes_is_scored_by_its_masks(
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


def test_a_model_that_does_not_listen_is_refused(split: AVSBench, tmp_path: Path) -> None:
    by_text = load_segmenter(save_random_text_model(tmp_path), "cpu")
    with pytest.raises(CheckpointError, match="is prompted by texts and does not listen"):
        evaluate(by_text, split)


@pytest.mark.parametrize("threshold", [0.0, 1.0, -1.0])
def test_a_threshold_out_of_range_is_refused(
    threshold: float, split: AVSBench, segmenter: Segmenter
) -> None:
    with pytest.raises(ValueError, match="threshold must be between 0 and 1"):
        evaluate(segmenter, split, threshold)
