"""Evaluation: what is scored against what, told of models that are known to listen or not."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from avseg.datasets import AVSBench
from avseg.datasets.contents import find_generated
from avseg.errors import CheckpointError
from avseg.evaluation import evaluate
from avseg.evaluation.prediction import predict
from avseg.evaluation.report import Report
from avseg.segmenter import Segmenter, load_segmenter
from avseg.types import Clip
from tests.segmenters import save_random_text_model

#: The package has a function of the module's name.
MODULE: ModuleType = importlib.import_module("avseg.evaluation.evaluate")


@dataclass
class Listener:
    """A model that marks the true masks when it hears the true sound, and else nothing."""

    split: AVSBench
    deaf: bool = False

    def predict(self, _: Segmenter, clip: Clip) -> Tensor:
        """Mark what sounds."""
        known = next(c for c in self.split if np.array_equal(c.clip.frames, clip.frames))
        heard = self.deaf or np.array_equal(known.clip.audio, clip.audio)
        return torch.from_numpy(known.masks & heard).float()


def report_of(
    model: Callable[[Segmenter, Clip], Tensor],
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
    assert report.scores.j == 1.0
    assert set(report.perturbed) == {"muted", "noise", "off-screen"}
    for perturbed in report.perturbed.values():
        assert perturbed.scores.silent_clean == 1.0
        assert perturbed.scores.silent_count == perturbed.scores.frame_count
        assert perturbed.unmoved == 0.0


def test_who_is_deaf_marks_the_same_whatever_sounds(
    split: AVSBench, segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = report_of(Listener(split, deaf=True).predict, split, segmenter, monkeypatch)
    assert report.scores.j == 1.0
    for perturbed in report.perturbed.values():
        assert perturbed.unmoved == 1.0
        assert perturbed.scores.false_positive_area == pytest.approx(
            np.mean([clip.masks.mean() for clip in split])
        )


def test_baselines_mark_nothing_everything_and_all_objects(
    split: AVSBench, segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = report_of(Listener(split).predict, split, segmenter, monkeypatch)
    assert set(report.baselines) == {"nothing", "everything", "all objects"}
    silent = report.scores.silent_count / report.scores.frame_count
    assert report.baselines["nothing"].j == pytest.approx(silent)
    assert report.baselines["everything"].false_positive_area in (None, 1.0)
    everything, objects = report.baselines["everything"], report.baselines["all objects"]
    assert objects.j_sounding is not None
    assert everything.j_sounding is not None
    assert objects.j_sounding > everything.j_sounding


def test_a_sound_from_off_the_screen_is_of_nothing_in_the_picture(split: AVSBench) -> None:
    generated = find_generated(split)
    assert generated is not None
    contents = importlib.import_module("avseg.datasets.contents").read_contents(split, generated)
    for index, own in enumerate(contents):
        donor = vars(MODULE)["_find_donor"](contents, index)
        if donor is not None:
            assert donor != index
            assert not own.visible & contents[donor].heard


def test_a_real_model_is_reported_with_what_made_the_numbers(
    split: AVSBench, segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[None] = []
    monkeypatch.setattr(MODULE, "FOLLOWED_SCENES", 1)
    report = evaluate(segmenter, split, on_clip=lambda: done.append(None))
    assert len(done) == len(report.clips) == len(split)
    assert report.weights_sha256 == segmenter.weights_sha256
    assert (report.subset, report.split, report.threshold) == ("ms3", "test_seen", 0.5)
    assert report.environment["device"] == "cpu"
    assert report.seconds > 0
    assert [clip.clip_id for clip in report.clips] == [entry.name for entry in split.entries]
    assert np.mean([clip.j for clip in report.clips]) == pytest.approx(report.scores.j)


def test_probabilities_have_the_size_of_the_frames(split: AVSBench, segmenter: Segmenter) -> None:
    probs = predict(segmenter, split[0].clip)
    assert probs.shape == (5, 64, 64)
    assert 0 <= float(probs.min()) <= float(probs.max()) <= 1


def test_a_model_that_does_not_listen_is_refused(split: AVSBench, tmp_path: Path) -> None:
    by_text = load_segmenter(save_random_text_model(tmp_path), "cpu")
    with pytest.raises(CheckpointError, match="is prompted by texts and does not listen"):
        evaluate(by_text, split)


def test_without_sound_the_model_itself_is_asked(split: AVSBench, segmenter: Segmenter) -> None:
    silent = importlib.import_module("avseg.evaluation.perturb").mute(split[0]).clip
    assert predict(segmenter, silent).max() > 0
    assert not segmenter.segment_clip(silent).masks.any()


@pytest.mark.parametrize("threshold", [0.0, 1.0, -1.0])
def test_a_threshold_out_of_range_is_refused(
    threshold: float, split: AVSBench, segmenter: Segmenter
) -> None:
    with pytest.raises(ValueError, match="threshold must be between 0 and 1"):
        evaluate(segmenter, split, threshold)
