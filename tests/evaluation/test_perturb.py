"""Other sounds, as waveforms."""

import numpy as np
import pytest

from avseg.evaluation.perturb import NOISE_LEVEL, SHIFT_S, drown_in_noise, fit, mute, shift

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
