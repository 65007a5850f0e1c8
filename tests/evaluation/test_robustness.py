"""Robustness tests: conditions with replaced audio, and whether the mask follows the audio."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from avseg.datasets import AVSBench
from avseg.evaluation import robustness
from avseg.evaluation.prediction import FunctionPredictor, SegmenterPredictor, Waveform
from avseg.evaluation.robustness import (
    DESCRIPTIONS,
    NEGATIVES,
    NOISE_LEVEL,
    SHIFT_S,
    Condition,
    Conditions,
    FollowingScores,
    fit_length,
    measure_following,
    mute,
    shift,
    synthesize_category,
    white_noise,
)
from avseg.segmenter import Segmenter
from avseg.synthavs.clips import SplitDomain, SyntheticClip, make_clip
from avseg.synthavs.contents import ClipContents, find_synthavs_split, read_contents
from avseg.synthavs.sounds import SAMPLE_RATE

SIDE = 64
DOMAIN = SplitDomain(("dog", "car", "bell"), ("noto",), "test")

#: A model as a function from the masks of all objects and the sounding number to its mask.
Behaviour = Callable[[list[NDArray[np.bool_]], int], NDArray[np.bool_]]


def conditions_of(split: AVSBench, *, drawn: bool = True) -> Conditions:
    generated = find_synthavs_split(split) if drawn else None

    def read_audio(index: int) -> Waveform:
        return split[index].clip.audio[None]

    contents = read_contents(split, generated)
    return Conditions(split.sample_rate, read_audio, contents, generated)


@pytest.fixture(scope="module")
def conditions(split: AVSBench) -> list[dict[str, Condition]]:
    """Return the conditions of each clip, by name."""
    others = conditions_of(split)
    return [{c.name: c for c in others.of(i, clip.masks)} for i, clip in enumerate(split)]


def test_replaced_audio_has_the_length_of_the_original(
    split: AVSBench, conditions: list[dict[str, Condition]]
) -> None:
    for clip, given in zip(split, conditions, strict=True):
        for condition in given.values():
            assert condition.audio.shape == (1, len(clip.clip.audio))
            assert condition.truth is not None
            assert condition.truth.shape == clip.masks.shape


def test_the_ground_truth_of_negative_conditions_is_empty(
    conditions: list[dict[str, Condition]],
) -> None:
    for given in conditions:
        assert set(NEGATIVES) - {"off-screen"} <= set(given) <= set(DESCRIPTIONS)
        for name in set(NEGATIVES) & set(given):
            truth = given[name].truth
            assert truth is not None
            assert not truth.any()


def test_synthavs_has_all_conditions(conditions: list[dict[str, Condition]]) -> None:
    assert {name for given in conditions for name in given} >= {"shifted", "silent object"}


def test_the_ground_truth_is_shifted_with_the_audio(
    split: AVSBench, conditions: list[dict[str, Condition]]
) -> None:
    generated = find_synthavs_split(split)
    assert generated is not None
    for index, given in enumerate(conditions):
        scene = generated.draw(index)
        truth = given["shifted"].truth
        assert truth is not None
        for second in range(scene.seconds):
            sounding = scene.sounding((second - SHIFT_S) % scene.seconds)
            expected = np.isin(scene.frame(second)[1], list(sounding))
            np.testing.assert_array_equal(truth[second], expected)


def test_the_ground_truth_of_a_silent_object_does_not_overlap_the_original(
    split: AVSBench, conditions: list[dict[str, Condition]]
) -> None:
    for clip, given in zip(split, conditions, strict=True):
        if "silent object" in given:
            truth = given["silent object"].truth
            assert truth is not None
            assert truth.any()
            assert not (truth & clip.masks).any()


def seen(scene: SyntheticClip) -> set[str]:
    """Return the sounding categories in the picture."""
    return {source.category for source in scene.sound_events if source.object_number}


def test_without_one_source_the_others_still_sound(split: AVSBench) -> None:
    others = conditions_of(split)
    assert others.generated is not None
    scenes = map(others.generated.draw, range(50))
    scene = next(s for s in scenes if len(seen(s)) > 1)
    rng = np.random.default_rng(0)
    (removed,) = others._with_one_removed(scene, rng)
    assert removed.truth is not None
    whole = np.stack(
        [np.isin(scene.frame(t)[1], list(scene.sounding(t))) for t in range(scene.seconds)]
    )
    assert not (removed.truth & ~whole).any()
    assert removed.truth.sum() < whole.sum()
    assert removed.audio.shape == (1, scene.seconds * split.sample_rate)


def test_without_metadata_there_are_three_conditions(split: AVSBench) -> None:
    given = list(conditions_of(split, drawn=False).of(0, split[0].masks))
    assert [condition.name for condition in given] == ["muted", "noise", "shifted"]
    assert given[-1].truth is None


def test_an_off_screen_sound_is_the_audio_of_another_clip(split: AVSBench) -> None:
    contents = [
        ClipContents(frozenset({name}), frozenset({name})) for name in ("dog", "dog", "car")
    ]
    others = Conditions(8000, lambda index: np.full((1, 90), index, np.float32), contents, None)
    given = {c.name: c for c in others.of(0, split[0].masks)}
    assert (given["off-screen"].audio == 2).all()


#: Five seconds at 100 Hz, each louder than the previous one.
SECONDS = np.repeat(np.arange(5) / 10, 100)[None].astype(np.float32)


def test_muted_audio_is_digital_silence() -> None:
    assert mute(SECONDS).shape == SECONDS.shape
    assert not mute(SECONDS).any()


def test_noise_is_white_and_as_loud_as_a_source() -> None:
    (audio,) = white_noise(np.zeros((1, 20000), np.float32), np.random.default_rng(0))
    assert audio.dtype == np.float32
    assert float(audio.std()) == pytest.approx(NOISE_LEVEL, rel=0.05)
    assert abs(float(np.corrcoef(audio[1:], audio[:-1])[0, 1])) < 0.05


def test_noise_depends_on_the_seed_alone_and_is_equal_in_all_channels() -> None:
    stereo = np.zeros((2, 100), np.float32)
    one, other = (white_noise(stereo, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(one[0], one[1])


def test_shifted_audio_is_delayed_and_wraps_around() -> None:
    seconds = shift(SECONDS, 100)[0, 50::100]
    np.testing.assert_allclose(seconds, np.roll([0, 0.1, 0.2, 0.3, 0.4], SHIFT_S), atol=1e-6)


@pytest.mark.parametrize(("length", "last"), [(300, 0.2), (700, 0.0)])
def test_audio_is_cut_or_padded_with_silence(length: int, last: float) -> None:
    fitted = fit_length(SECONDS, length)
    assert fitted.shape == (1, length)
    assert fitted[0, -1] == pytest.approx(last)


@pytest.fixture(scope="module")
def scenes() -> list[SyntheticClip]:
    """Return three scenes with two or three categories each."""
    drawn = (make_clip(np.random.default_rng(i), DOMAIN, "multi", SIDE) for i in range(12))
    return [s for s in drawn if len({t.category for t in s.scene.objects}) > 1][:3]


def objects_of(scene: SyntheticClip, second: int) -> list[NDArray[np.bool_]]:
    """Return the mask of each category of a scene, in the order of their names."""
    numbers = scene.frame(second)[1]
    shown = [thing.category for thing in scene.scene.objects]
    return [
        np.isin(numbers, [i for i, name in enumerate(shown, start=1) if name == category])
        for category in sorted(set(shown))
    ]


def measure(
    behaviour: Behaviour, scenes: list[SyntheticClip], monkeypatch: pytest.MonkeyPatch
) -> FollowingScores:
    """Measure a behaviour; the level of the audio is the number of the sounding category."""

    def level_of(scene: SyntheticClip, category: str, *_: object) -> NDArray[np.float32]:
        number = sorted({thing.category for thing in scene.scene.objects}).index(category)
        return np.full(len(scene.audio), 0.1 * (number + 1), np.float32)

    def model(frames: NDArray[np.uint8], audio: NDArray[np.float32]) -> NDArray[np.bool_]:
        number = round(float(np.median(audio)) / 0.1) - 1
        scene = next(s for s in scenes if np.array_equal(s.frame(0)[0], frames[0]))
        return np.stack([behaviour(objects_of(scene, t), number) for t in range(len(frames))])

    monkeypatch.setattr(robustness, "synthesize_category", level_of)
    scores = measure_following(FunctionPredictor(model, 8000), scenes, "test")
    assert scores is not None
    return scores


def test_a_model_that_marks_the_sounding_object_always_follows(
    scenes: list[SyntheticClip], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = measure(lambda objects, n: objects[n], scenes, monkeypatch)
    assert (scores.follows, scores.iou, scores.iou_of_others) == (1.0, 1.0, 0.0)
    assert scores.scene_count == 3


def test_a_model_that_always_marks_one_object_follows_at_random(
    scenes: list[SyntheticClip], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = measure(lambda objects, _: objects[0], scenes, monkeypatch)
    assert 0.25 < scores.follows < 0.6
    assert scores.iou == pytest.approx(scores.follows)


@pytest.mark.parametrize("value", [True, False], ids=["everything", "nothing"])
def test_a_model_that_marks_everything_or_nothing_does_not_follow(
    value: bool,
    scenes: list[SyntheticClip],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def behave(objects: list[NDArray[np.bool_]], number: int) -> NDArray[np.bool_]:
        del number
        return np.full_like(objects[0], value)

    scores = measure(behave, scenes, monkeypatch)
    assert scores.follows < (0.7 if value else 0.01)
    assert scores.iou < 0.3


def test_a_scene_with_one_category_is_not_measured(segmenter: Segmenter) -> None:
    lonely = SplitDomain(("dog",), ("noto",), "test")
    scene = make_clip(np.random.default_rng(0), lonely, "single", SIDE, seconds=1)
    assert measure_following(SegmenterPredictor(segmenter), [scene], "test") is None


def test_the_synthesised_category_sounds_in_each_second(scenes: list[SyntheticClip]) -> None:
    category = scenes[0].scene.objects[0].category
    sound = synthesize_category(scenes[0], category, "test", np.random.default_rng(0))
    assert sound.shape == scenes[0].audio.shape
    loudness = np.abs(sound.reshape(-1, SAMPLE_RATE)).max(axis=1)
    assert loudness.min() > 0.05
    again = synthesize_category(scenes[0], category, "test", np.random.default_rng(0))
    np.testing.assert_array_equal(sound, again)


def test_a_model_with_another_sample_rate_gets_the_same_seconds(
    scenes: list[SyntheticClip], segmenter: Segmenter
) -> None:
    assert segmenter.processor.sample_rate != SAMPLE_RATE
    scores = measure_following(SegmenterPredictor(segmenter), scenes[:1], "test")
    assert scores is not None
    assert scores.frame_count >= 5
