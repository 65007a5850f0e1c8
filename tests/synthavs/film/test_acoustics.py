"""Rooms and background noise."""

import numpy as np
import pytest

from avseg.synthavs.film.acoustics import Room, draw_noise, draw_room
from avseg.synthavs.sounds import SAMPLE_RATE

ROOM = Room((7.0, 5.0, 3.0), 0.25, (2.0, 2.5, 1.5), seed=3)


def test_the_direct_sound_is_the_first_sample() -> None:
    response = ROOM.impulse_response((5.0, 2.0, 1.2))
    assert response[0] == 1
    assert np.abs(response[1:]).max() < 1


def test_the_energy_decays_by_60_db_in_the_time_of_sabine() -> None:
    response = ROOM.impulse_response((5.0, 2.0, 1.2)).astype(float)
    remaining = np.cumsum(response[::-1] ** 2)[::-1]  # Schroeder's integral
    level = 10 * np.log10(remaining / remaining[1] + 1e-12)
    start, stop = (int(np.argmax(level < db)) for db in (-5, -25))
    assert 3 * (stop - start) / SAMPLE_RATE == pytest.approx(ROOM.reverberation_s, rel=0.2)
    assert ROOM.reverberation_s == pytest.approx(0.161 * 105 / (142 * 0.25), rel=1e-6)


@pytest.mark.parametrize("distance", [1.0, 2.0, 4.0])
def test_reverberation_grows_with_the_distance_as_in_a_diffuse_field(distance: float) -> None:
    response = ROOM.impulse_response((2.0 + distance, 2.5, 1.5)).astype(float)
    ratio_db = 10 * np.log10((response[1:] ** 2).sum())
    expected_db = 20 * np.log10(distance / ROOM.critical_distance)
    assert ratio_db == pytest.approx(expected_db, abs=3)


def test_an_absorbing_room_is_almost_silent_after_the_direct_sound() -> None:
    damped = Room((7.0, 5.0, 3.0), 1.0, (2.0, 2.5, 1.5), seed=3)
    assert (damped.impulse_response((3.0, 2.5, 1.5))[1:] ** 2).sum() < 0.2


def test_rooms_reverberate_between_a_tenth_of_a_second_and_some_seconds() -> None:
    times_s = [draw_room(np.random.default_rng(seed)).reverberation_s for seed in range(100)]
    assert 0.05 < min(times_s) < 0.3
    assert 0.8 < max(times_s) < 5


def test_noise_has_unit_level_and_colours_from_white_to_brown() -> None:
    slopes = []
    for seed in range(20):
        noise = draw_noise(np.random.default_rng(seed), 2 * SAMPLE_RATE)
        assert np.sqrt(np.mean(noise**2)) == pytest.approx(1, rel=1e-3)
        power = np.abs(np.fft.rfft(noise)) ** 2
        low, high = power[1000:2000].mean(), power[8000:15000].mean()
        slopes.append(10 * np.log10(low / high))
    assert min(slopes) < 4
    assert max(slopes) > 12
