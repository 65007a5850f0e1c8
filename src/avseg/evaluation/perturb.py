"""Other sounds for the same frames, made of waveforms.

Models compute their features of these as of any sound, so that nothing but what is heard tells them
apart. (AVSBench-Robust ships features of its negatives that were computed in another way than those
of its positives.)

C channels, S samples of sound.
"""

import numpy as np
from numpy.typing import NDArray

#: Root mean square of the noise, relative to full scale: about that of a source in SynthAVS.
NOISE_LEVEL = 0.1

#: How far a sound is shifted, in seconds.
SHIFT_S = 2

#: Sound of a clip, (C, S) float32 in [-1, 1].
Waveform = NDArray[np.float32]


def mute(audio: Waveform) -> Waveform:
    """Replace a sound by digital silence.

    Args:
        audio: The sound, (C, S).

    Returns:
        Zeros, (C, S).
    """
    return np.zeros_like(audio)


def drown_in_noise(audio: Waveform, rng: np.random.Generator) -> Waveform:
    """Replace a sound by white noise, which no object makes.

    Args:
        audio: The sound, (C, S).
        rng: Source of chance.

    Returns:
        The same noise in all channels, (C, S).
    """
    noise = NOISE_LEVEL * rng.standard_normal(audio.shape[1], np.float32)
    return np.tile(np.clip(noise, -1, 1), (len(audio), 1))


def shift(audio: Waveform, sample_rate: int) -> Waveform:
    """Let a sound come later; what is pushed out at the end begins it.

    Args:
        audio: The sound, (C, S).
        sample_rate: In Hz.

    Returns:
        The sound, `SHIFT_S` seconds later, (C, S).
    """
    return np.roll(audio, SHIFT_S * sample_rate, axis=1)


def fit(audio: Waveform, samples: int) -> Waveform:
    """Cut a sound to a length, or let silence follow it.

    Args:
        audio: The sound, (C, S).
        samples: The length.

    Returns:
        The sound, (C, samples).
    """
    return np.pad(audio[:, :samples], ((0, 0), (0, max(0, samples - audio.shape[1]))))
