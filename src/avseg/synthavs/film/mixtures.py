"""Mixtures of one second of recorded sounds in a room and over noise.

N is the number of recordings of a category, S their number of samples.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import scipy.signal  # type: ignore[import-untyped]
from numpy.typing import NDArray

from avseg.synthavs.film.acoustics import Room, Signal, draw_noise, draw_position, draw_room
from avseg.synthavs.sounds import SAMPLE_RATE

#: Sound before the second whose reverberation lasts into it, in samples.
_BEFORE = int(0.4 * SAMPLE_RATE)

#: Time in which a sound fades in or out, in samples.
_FADE = SAMPLE_RATE // 100


def mix_film_second(
    rng: np.random.Generator, sounds: Mapping[str, NDArray[np.int16]], audible: Sequence[str]
) -> Signal:
    """Mix one second of each audible category in one room, over background noise.

    An audible sound lasts for at least half of the second: a third of the sounds start or stop in
    it.

    Args:
        rng: Random generator.
        sounds: Recordings of each category, (N, S) int16, longer than 1.4 s.
        audible: Categories of the mixture.

    Returns:
        Audio, (SAMPLE_RATE,) float32 in [-1, 1].
    """
    room = draw_room(rng) if rng.random() < 0.7 else None
    mixture = np.zeros(SAMPLE_RATE, np.float32)
    for category in audible:
        mixture += _second_in_room(rng, sounds[category], room)
    # The same levels as in `film.soundtrack`.
    noise_db = rng.uniform(-30, 0) if rng.random() < 0.85 else rng.uniform(-60, -40)
    level = float(np.sqrt(np.mean(mixture**2))) * 10 ** (noise_db / 20)
    if not audible:
        level = 10 ** (rng.uniform(-70, -15) / 20)
    mixture += draw_noise(rng, SAMPLE_RATE) * np.float32(level)
    mixture *= np.float32(10 ** (rng.uniform(-12, 0) / 20))
    # As in a film, a mixture that is too loud is turned down, not clipped.
    mixture /= np.float32(max(1.0, float(np.abs(mixture).max()) / 0.99))
    return mixture


def _second_in_room(
    rng: np.random.Generator, recordings: NDArray[np.int16], room: Room | None
) -> Signal:
    """Draw one second of one recording from any time on, with the reverberation of a room."""
    recording = recordings[rng.integers(len(recordings))] / np.float32(32767)
    begin = int(rng.integers(0, len(recording) - _BEFORE - SAMPLE_RATE + 1))
    sound = recording[begin : begin + _BEFORE + SAMPLE_RATE].copy()
    # The level of the whole recording, so that a quiet second stays quiet.
    level = float(np.sqrt(np.mean(recording**2))) + 0.02
    sound *= np.float32(0.1 / level * 10 ** (rng.uniform(-8, 2) / 20))
    change = int(rng.integers(0, SAMPLE_RATE // 2))
    ramp = np.linspace(0, 1, _FADE, dtype=np.float32)
    kind = rng.random()
    if kind < 0.17:  # it starts in the first half
        onset = _BEFORE + change
        sound[:onset] = 0
        sound[onset : onset + _FADE] *= ramp
    elif kind < 0.34:  # it stops in the second half
        offset = len(sound) - change
        sound[offset:] = 0
        sound[offset - _FADE : offset] *= ramp[::-1]
    if room is not None:
        response = room.impulse_response(draw_position(rng, room.size))[: len(sound)]
        sound = scipy.signal.oaconvolve(sound, response)[: len(sound)].astype(np.float32)
    second: Signal = sound[_BEFORE:]
    return second
