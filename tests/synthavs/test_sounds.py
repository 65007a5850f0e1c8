"""Synthesized sounds: properties of all categories, and training and test parameters."""

import itertools

import numpy as np
import pytest

from avseg.synthavs.sounds import GENERATORS, SAMPLE_RATE, ParameterSplit, synthesize
from avseg.synthavs.sounds.signal import (
    BANDS,
    ParameterSampler,
    harmonics,
    repeat,
    ringing,
    sawtooth,
    steady,
)

PARAMETER_SPLITS: tuple[ParameterSplit, ...] = ("train", "test")


def loudest_frequency(signal: np.ndarray) -> float:
    """Return the loudest frequency of a signal of one second, in Hz."""
    return float(np.abs(np.fft.rfft(signal[:SAMPLE_RATE])).argmax())


def test_there_are_36_categories() -> None:
    assert len(GENERATORS) == 36


def quietest_second_db(sound: np.ndarray) -> float:
    """Return the level of the quietest second, in dB relative to the whole sound."""
    rms = np.sqrt(np.mean(sound.reshape(-1, SAMPLE_RATE) ** 2, axis=1))
    return float(20 * np.log10(rms.min() / np.sqrt(np.mean(sound**2))))


@pytest.mark.parametrize("parameter_split", PARAMETER_SPLITS)
@pytest.mark.parametrize("category", GENERATORS)
def test_every_whole_second_of_a_sound_is_audible(
    category: str, parameter_split: ParameterSplit
) -> None:
    for seed in range(2):
        sound = synthesize(category, np.random.default_rng(seed), parameter_split=parameter_split)
        assert quietest_second_db(sound) > -30, f"seed {seed}"


@pytest.mark.slow
@pytest.mark.parametrize("parameter_split", PARAMETER_SPLITS)
@pytest.mark.parametrize("category", GENERATORS)
def test_every_second_of_many_sounds_is_audible(
    category: str, parameter_split: ParameterSplit
) -> None:
    for seed in range(20):
        sound = synthesize(category, np.random.default_rng(seed), parameter_split=parameter_split)
        assert quietest_second_db(sound) > -30, f"seed {seed}"


@pytest.mark.parametrize("category", GENERATORS)
def test_sounds_are_finite_normalized_and_without_offset(category: str) -> None:
    sound = synthesize(category, np.random.default_rng(0))
    assert sound.dtype == np.float32
    assert sound.shape == (5 * SAMPLE_RATE,)
    assert np.isfinite(sound).all()
    assert np.abs(sound).max() <= 1
    assert 0.02 < np.sqrt(np.mean(sound**2)) < 0.13
    assert abs(sound.mean()) < 1e-3


def test_a_mixture_of_all_sounds_is_finite_and_without_offset() -> None:
    rng = np.random.default_rng(0)
    mixture = np.sum([synthesize(category, rng) for category in GENERATORS], axis=0)
    assert np.isfinite(mixture).all()
    assert abs(mixture.mean()) < 1e-3


@pytest.mark.parametrize("category", GENERATORS)
def test_the_same_seed_gives_the_same_sound_and_another_seed_another(category: str) -> None:
    first, again, other = (synthesize(category, np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("category", GENERATORS)
def test_sounds_may_be_shorter_than_one_event(category: str) -> None:
    sound = synthesize(category, np.random.default_rng(0), seconds=0.3)
    assert sound.shape == (4800,)
    assert np.isfinite(sound).all()


def test_test_parameters_are_never_drawn_in_training() -> None:
    train = ParameterSampler(np.random.default_rng(0), "train")
    test = ParameterSampler(np.random.default_rng(0), "test")
    drawn = {
        name: np.array([sampler.uniform(100, 200) for _ in range(2000)])
        for name, sampler in (("train", train), ("test", test))
    }
    for low, high in BANDS["test"]:
        held_out = (100 * (1 + low), 100 * (1 + high))
        assert not ((drawn["train"] > held_out[0]) & (drawn["train"] < held_out[1])).any()
    in_test_bands = sum(
        (drawn["test"] >= 100 * (1 + low)) & (drawn["test"] <= 100 * (1 + high))
        for low, high in BANDS["test"]
    )
    assert np.all(in_test_bands)


def test_training_and_test_bands_cover_the_range_without_overlap() -> None:
    edges = sorted(band for name in PARAMETER_SPLITS for band in BANDS[name])
    assert edges[0][0] == 0.0
    assert edges[-1][1] == 1.0
    assert all(left[1] == right[0] for left, right in itertools.pairwise(edges))


def test_training_and_test_sounds_of_one_seed_differ() -> None:
    train, test = (
        synthesize("wolf", np.random.default_rng(3), parameter_split=parameter_split)
        for parameter_split in PARAMETER_SPLITS
    )
    assert not np.array_equal(train, test)


def test_oscillators_have_the_requested_pitch() -> None:
    frequency = steady(440.0, SAMPLE_RATE)
    assert loudest_frequency(harmonics(frequency, [1.0, 0.5])) == 440
    assert loudest_frequency(sawtooth(frequency)) == 440
    assert loudest_frequency(ringing(440.0, [1.0, 0.5], 1.0, 0.5, SAMPLE_RATE)) == 440


def test_harmonics_equal_a_sum_of_sines() -> None:
    amplitudes = [1.0, 0.0, 0.3, 0.2]
    phase = 2 * np.pi * 300 * np.arange(1, 1001) / SAMPLE_RATE
    expected = sum(a * np.sin(k * phase) for k, a in enumerate(amplitudes, start=1))
    np.testing.assert_allclose(harmonics(steady(300.0, 1000), amplitudes), expected, atol=1e-9)


def test_harmonics_that_would_alias_are_omitted() -> None:
    tone = harmonics(steady(5000.0, SAMPLE_RATE), [0.0, 1.0])
    assert np.abs(tone).max() == 0


def test_gaps_between_events_stay_below_the_limit() -> None:
    sampler = ParameterSampler(np.random.default_rng(0), "train")
    track = repeat(sampler, 5 * SAMPLE_RATE, lambda: np.ones(1000), gap_s=10.0)
    gaps = np.diff(np.flatnonzero(track)) / SAMPLE_RATE
    assert gaps.max() == pytest.approx(0.5, abs=1e-3)


def test_an_unknown_category_raises_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="no sound for 'unicorn'; choose from accordion, airplane"):
        synthesize("unicorn", np.random.default_rng(0))


def test_an_unknown_parameter_split_raises() -> None:
    with pytest.raises(ValueError, match="parameter_split must be one of train, test, got 'val'"):
        synthesize("dog", np.random.default_rng(0), parameter_split="val")  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_a_length_that_is_not_positive_raises(seconds: float) -> None:
    with pytest.raises(ValueError, match="seconds must be positive, got"):
        synthesize("dog", np.random.default_rng(0), seconds=seconds)
