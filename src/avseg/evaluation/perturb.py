"""The same clip with another sound, and what is then true.

A model that looks but does not listen marks the same pixels whatever it hears; these clips show it
(AVSBench-Robust does the same with silence, noise and sounds from off the screen).

T frames of H x W pixels, S samples of sound.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from avseg.datasets.avsbench import AnnotatedClip

#: Root mean square of the noise, relative to full scale: about that of a source in SynthAVS.
NOISE_LEVEL = 0.1


def mute(clip: AnnotatedClip) -> AnnotatedClip:
    """Replace the sound by digital silence; then nothing sounds.

    Args:
        clip: The clip.

    Returns:
        The same frames, silent, with empty masks.
    """
    return with_sound(clip, np.zeros_like(clip.clip.audio), np.zeros_like(clip.masks))


def drown_in_noise(clip: AnnotatedClip, rng: np.random.Generator) -> AnnotatedClip:
    """Replace the sound by white noise, which no object makes.

    Args:
        clip: The clip.
        rng: Source of chance.

    Returns:
        The same frames with noise and empty masks.
    """
    noise = NOISE_LEVEL * rng.standard_normal(len(clip.clip.audio), np.float32)
    return with_sound(clip, np.clip(noise, -1, 1), np.zeros_like(clip.masks))


def dub(clip: AnnotatedClip, other: AnnotatedClip) -> AnnotatedClip:
    """Replace the sound by that of a clip none of whose sounding objects is in the picture.

    Args:
        clip: The clip.
        other: Where the sound comes from; it is cut, or followed by silence, to the clip's length.

    Returns:
        The same frames with a sound from off the screen and empty masks.

    Raises:
        ValueError: If the two have sound at different rates.
    """
    if other.clip.sample_rate != clip.clip.sample_rate:
        raise ValueError(
            f"{other.clip_id} has sound at {other.clip.sample_rate} Hz, {clip.clip_id} at "
            f"{clip.clip.sample_rate} Hz; read both at one rate."
        )
    audio = np.zeros_like(clip.clip.audio)
    length = min(len(audio), len(other.clip.audio))
    audio[:length] = other.clip.audio[:length]
    return with_sound(clip, audio, np.zeros_like(clip.masks))


def with_sound(
    clip: AnnotatedClip, audio: NDArray[np.float32], masks: NDArray[np.bool_]
) -> AnnotatedClip:
    """Give a clip another sound and the truth that belongs to it.

    Args:
        clip: The clip.
        audio: Sound at the clip's rate, (S,) in [-1, 1].
        masks: Pixels of what then sounds, (T, H, W).

    Returns:
        The same frames with both, and without class numbers, which no longer hold.
    """
    return replace(clip, clip=replace(clip.clip, audio=audio), masks=masks, labels=None)
