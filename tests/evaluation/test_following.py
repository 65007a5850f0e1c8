"""Whether the mask follows the sound, told of models that are known to listen or not."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from avseg.evaluation import following as listening
from avseg.evaluation.following import measure_following, sound_of
from avseg.evaluation.prediction import Prediction, Waveform
from avseg.segmenter import Segmenter
from avseg.synthavs.clips import SplitDomain, SyntheticClip, make_clip
from avseg.synthavs.sounds import SAMPLE_RATE
from avseg.types import Clip

SIDE = 64
DOMAIN = SplitDomain(("dog", "car", "bell"), ("noto",), "test")

#: A model, told as what it marks of the objects given the number of the one that sounds.
Behaviour = Callable[[list[NDArray[np.bool_]], int], NDArray[np.bool_]]


@pytest.fixture(scope="module")
def scenes() -> list[SyntheticClip]:
    """Scenes of two or three different objects each."""
    drawn = (make_clip(np.random.default_rng(i), DOMAIN, "multi", SIDE) for i in range(12))
    return [s for s in drawn if len({t.category for t in s.scene.objects}) > 1][:3]


def objects_of(scene: SyntheticClip, second: int) -> list[NDArray[np.bool_]]:
    """Mark each category of a scene, in the order of their names."""
    numbers = scene.frame(second)[1]
    shown = [thing.category for thing in scene.scene.objects]
    return [
        np.isin(numbers, [i for i, name in enumerate(shown, start=1) if name == category])
        for category in sorted(set(shown))
    ]


def measure(
    behaviour: Behaviour,
    scenes: list[SyntheticClip],
    segmenter: Segmenter,
    monkeypatch: pytest.MonkeyPatch,
) -> listening.FollowingScores:
    """Let the sound say by its level which category sounds, and the model do as told."""

    def level_of(scene: SyntheticClip, category: str, *_: object) -> NDArray[np.float32]:
        number = sorted({thing.category for thing in scene.scene.objects}).index(category)
        return np.full(len(scene.audio), 0.1 * (number + 1), np.float32)

    def told(_: Segmenter, clip: Clip, audio: Waveform) -> Prediction:
        number = round(float(np.median(audio)) / 0.1) - 1
        scene = next(s for s in scenes if np.array_equal(s.frame(0)[0], clip.frames[0]))
        masks = [behaviour(objects_of(scene, t), number) for t in range(len(clip.frames))]
        return Prediction(20 * torch.from_numpy(np.stack(masks)).float() - 10, None)

    monkeypatch.setattr(listening, "sound_of", level_of)
    monkeypatch.setattr(listening, "predict", told)
    scores = measure_following(segmenter, scenes, "test")
    assert scores is not None
    return scores


def test_who_marks_what_sounds_follows_always(
    scenes: list[SyntheticClip], segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = measure(lambda objects, n: objects[n], scenes, segmenter, monkeypatch)
    assert (scores.follows, scores.iou, scores.iou_of_others) == (1.0, 1.0, 0.0)
    assert scores.scene_count == 3


def test_who_marks_the_same_object_always_follows_by_chance(
    scenes: list[SyntheticClip], segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = measure(lambda objects, _: objects[0], scenes, segmenter, monkeypatch)
    assert 0.25 < scores.follows < 0.6
    assert scores.iou == pytest.approx(scores.follows)


@pytest.mark.parametrize("value", [True, False], ids=["everything", "nothing"])
def test_who_marks_nothing_never_follows(
    value: bool,
    scenes: list[SyntheticClip],
    segmenter: Segmenter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def behave(objects: list[NDArray[np.bool_]], number: int) -> NDArray[np.bool_]:
        del number
        return np.full_like(objects[0], value)

    scores = measure(behave, scenes, segmenter, monkeypatch)
    assert scores.follows < (0.7 if value else 0.01)
    assert scores.iou < 0.3


def test_a_scene_with_one_kind_of_object_tells_nothing(segmenter: Segmenter) -> None:
    lonely = SplitDomain(("dog",), ("noto",), "test")
    scene = make_clip(np.random.default_rng(0), lonely, "single", SIDE, seconds=1)
    assert measure_following(segmenter, [scene], "test") is None


def test_the_sound_of_one_category_goes_on_throughout(scenes: list[SyntheticClip]) -> None:
    category = scenes[0].scene.objects[0].category
    sound = sound_of(scenes[0], category, "test", np.random.default_rng(0))
    assert sound.shape == scenes[0].audio.shape
    loudness = np.abs(sound.reshape(-1, SAMPLE_RATE)).max(axis=1)
    assert loudness.min() > 0.05
    again = sound_of(scenes[0], category, "test", np.random.default_rng(0))
    np.testing.assert_array_equal(sound, again)


def test_a_model_at_another_sample_rate_hears_the_same_seconds(
    scenes: list[SyntheticClip], segmenter: Segmenter
) -> None:
    assert segmenter.processor.sample_rate != SAMPLE_RATE
    scores = measure_following(segmenter, scenes[:1], "test")
    assert scores is not None
    assert scores.frame_count >= 5
