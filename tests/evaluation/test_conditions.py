"""Which sounds a clip is shown with, and what is then true."""

import numpy as np
import pytest

from avseg.datasets import AVSBench
from avseg.evaluation.conditions import (
    DESCRIPTIONS,
    NEGATIVES,
    NOISE_LEVEL,
    SHIFT_S,
    Condition,
    OtherSounds,
    drown_in_noise,
    fit,
    mute,
    shift,
)
from avseg.evaluation.prediction import Waveform
from avseg.synthavs.clips import SyntheticClip
from avseg.synthavs.contents import ClipContents, find_synthavs_split, read_contents


def other_sounds(split: AVSBench, *, drawn: bool = True) -> OtherSounds:
    generated = find_synthavs_split(split) if drawn else None

    def waveform(index: int) -> Waveform:
        return split[index].clip.audio[None]

    contents = read_contents(split, generated)
    return OtherSounds(split.sample_rate, waveform, contents, generated)


@pytest.fixture(scope="module")
def conditions(split: AVSBench) -> list[dict[str, Condition]]:
    """Of each clip, by their names."""
    others = other_sounds(split)
    return [{c.name: c for c in others.of(i, clip.masks)} for i, clip in enumerate(split)]


def test_sounds_have_the_length_of_the_clips_own(
    split: AVSBench, conditions: list[dict[str, Condition]]
) -> None:
    for clip, given in zip(split, conditions, strict=True):
        for condition in given.values():
            assert condition.audio.shape == (1, len(clip.clip.audio))
            assert condition.truth is not None
            assert condition.truth.shape == clip.masks.shape


def test_with_negative_sounds_nothing_is_true(conditions: list[dict[str, Condition]]) -> None:
    for given in conditions:
        assert set(NEGATIVES) - {"off-screen"} <= set(given) <= set(DESCRIPTIONS)
        for name in set(NEGATIVES) & set(given):
            truth = given[name].truth
            assert truth is not None
            assert not truth.any()


def test_all_sounds_are_tried_on_synthavs(conditions: list[dict[str, Condition]]) -> None:
    assert {name for given in conditions for name in given} >= {"shifted", "silent object"}


def test_what_sounds_is_shifted_with_the_sound(
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


def test_a_silent_object_was_not_true_before(
    split: AVSBench, conditions: list[dict[str, Condition]]
) -> None:
    for clip, given in zip(split, conditions, strict=True):
        if "silent object" in given:
            truth = given["silent object"].truth
            assert truth is not None
            assert truth.any()
            assert not (truth & clip.masks).any()


def seen(scene: SyntheticClip) -> set[str]:
    """Name what sounds in the picture."""
    return {source.category for source in scene.sound_events if source.object_number}


def test_without_one_source_the_others_go_on(split: AVSBench) -> None:
    others = other_sounds(split)
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


def test_where_the_data_set_tells_nothing_three_sounds_are_left(split: AVSBench) -> None:
    given = list(other_sounds(split, drawn=False).of(0, split[0].masks))
    assert [condition.name for condition in given] == ["muted", "noise", "shifted"]
    assert given[-1].truth is None


def test_a_foreign_sound_is_that_of_the_clip_that_lends_it(split: AVSBench) -> None:
    contents = [
        ClipContents(frozenset({name}), frozenset({name})) for name in ("dog", "dog", "car")
    ]
    others = OtherSounds(8000, lambda index: np.full((1, 90), index, np.float32), contents, None)
    given = {c.name: c for c in others.of(0, split[0].masks)}
    assert (given["off-screen"].audio == 2).all()


#: Five seconds at 100 Hz, each louder than the one before.
SECONDS = np.repeat(np.arange(5) / 10, 100)[None].astype(np.float32)


def test_a_muted_sound_is_digital_silence() -> None:
    assert mute(SECONDS).shape == SECONDS.shape
    assert not mute(SECONDS).any()


def test_noise_is_white_and_as_loud_as_a_source() -> None:
    (audio,) = drown_in_noise(np.zeros((1, 20000), np.float32), np.random.default_rng(0))
    assert audio.dtype == np.float32
    assert float(audio.std()) == pytest.approx(NOISE_LEVEL, rel=0.05)
    assert abs(float(np.corrcoef(audio[1:], audio[:-1])[0, 1])) < 0.05


def test_noise_is_the_same_for_the_same_chance_and_in_all_channels() -> None:
    stereo = np.zeros((2, 100), np.float32)
    one, other = (drown_in_noise(stereo, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(one[0], one[1])


def test_a_shifted_sound_comes_later_and_its_end_first() -> None:
    seconds = shift(SECONDS, 100)[0, 50::100]
    np.testing.assert_allclose(seconds, np.roll([0, 0.1, 0.2, 0.3, 0.4], SHIFT_S), atol=1e-6)


@pytest.mark.parametrize(("length", "last"), [(300, 0.2), (700, 0.0)])
def test_a_sound_is_cut_or_followed_by_silence(length: int, last: float) -> None:
    fitted = fit(SECONDS, length)
    assert fitted.shape == (1, length)
    assert fitted[0, -1] == pytest.approx(last)
