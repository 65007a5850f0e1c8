"""Mixtures of one second of recorded sounds, for pre-training on audio windows.

N is the number of recordings of a category, S their number of samples.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from avseg.synthavs.clips import ramps
from avseg.synthavs.sounds import SAMPLE_RATE


def mix_second(
    rng: np.random.Generator, sounds: Mapping[str, NDArray[np.int16]], audible: Sequence[str]
) -> NDArray[np.float32]:
    """Mix one second of each audible category with faint noise.

    Args:
        rng: Random generator.
        sounds: Recordings of each category, (N, S) int16.
        audible: Categories of the mixture.

    Returns:
        Audio, (SAMPLE_RATE,) float32 in [-1, 1].
    """
    # The same range of noise levels as in `clips.make_stems`.
    mixture = rng.standard_normal(SAMPLE_RATE, np.float32) * 10 ** (rng.uniform(-70, -42) / 20)
    for category in audible:
        mixture += _second_of(rng, sounds[category])
    mixture *= 10 ** (rng.uniform(-6, 3) / 20)
    mixed: NDArray[np.float32] = np.clip(mixture, -1, 1).astype(np.float32)
    return mixed


def _second_of(rng: np.random.Generator, recordings: NDArray[np.int16]) -> NDArray[np.float32]:
    """Draw one second of one recording, with the levels and ramps of `clips.make_stems`."""
    recording = recordings[rng.integers(len(recordings))]
    second = int(rng.integers(len(recording) // SAMPLE_RATE))
    sound = recording[second * SAMPLE_RATE : (second + 1) * SAMPLE_RATE] / np.float32(32767)
    # The level of the whole recording, so that a quiet second stays quiet.
    level = np.sqrt(np.mean((recording / np.float32(32767)) ** 2)) + 0.02
    gain = 0.1 * 10 ** (rng.uniform(-8, 2) / 20)
    # Half of the recordings fade in and out, as at the start and the end of a sound event.
    edges = ramps(np.array([True])) if rng.random() < 0.5 else 1.0
    louder: NDArray[np.float32] = np.clip(sound * np.float32(gain / level), -1, 1) * edges
    return louder
