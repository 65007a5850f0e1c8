"""One-second mixtures in rooms and over noise."""

import numpy as np
import pytest

from avseg.synthavs.film.mixtures import mix_film_second
from avseg.synthavs.sounds import SAMPLE_RATE

TIME = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
SOUNDS = {
    name: (0.5 * 32767 * np.sin(2 * np.pi * frequency * TIME)).astype(np.int16)[None]
    for name, frequency in (("dog", 800), ("cat", 1500))
}


def share(audio: np.ndarray, frequency: int) -> float:
    """Return the share of the energy within 5 Hz of a frequency."""
    power = np.abs(np.fft.rfft(audio)) ** 2
    return float(power[frequency - 5 : frequency + 6].sum() / power.sum())


@pytest.mark.parametrize("seed", range(8))
def test_only_the_audible_categories_sound(seed: int) -> None:
    audio = mix_film_second(np.random.default_rng(seed), SOUNDS, ["dog"])
    assert audio.shape == (SAMPLE_RATE,)
    assert audio.dtype == np.float32
    assert np.abs(audio).max() <= 1
    # The noise is at most as loud as the sound.
    assert share(audio, 800) > 0.3
    assert share(audio, 1500) < 0.1


def test_the_same_random_state_gives_the_same_mixture() -> None:
    first, again = (mix_film_second(np.random.default_rng(3), SOUNDS, ["cat"]) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_a_third_of_the_sounds_start_or_stop_and_all_last_for_half_of_the_second() -> None:
    silent_ends = 0
    for seed in range(60):
        audio = mix_film_second(np.random.default_rng(seed), SOUNDS, ["dog"])
        spectra = np.abs(np.fft.rfft(audio.reshape(20, -1), axis=1)) ** 2
        tone = spectra[:, 40]  # 800 Hz in blocks of 50 ms
        loud = tone > 0.1 * tone.max()
        assert loud.sum() >= 9, seed
        silent_ends += not (loud[0] and loud[-1])
    assert 8 < silent_ends < 40


def test_without_audible_categories_there_is_noise_alone() -> None:
    levels = [mix_film_second(np.random.default_rng(seed), SOUNDS, []).std() for seed in range(20)]
    assert min(levels) > 0
    assert max(levels) > 20 * min(levels)
