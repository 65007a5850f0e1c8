"""Sounds of 36 categories, synthesised from random parameters.

Each generator is written once; which part of its parameters' ranges it draws from is the voice's
business (`Voice`), so that the sounds of the test split come from parameters never met in training.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from avseg.synthavs.sounds import objects as instruments
from avseg.synthavs.sounds import objects as things
from avseg.synthavs.sounds import objects as vehicles
from avseg.synthavs.sounds import voices as animals
from avseg.synthavs.sounds import voices as people
from avseg.synthavs.sounds.signal import (
    SAMPLE_RATE,
    Signal,
    Voice,
    VoiceName,
    highpass,
    unit_peak,
    unit_rms,
)

__all__ = ["GENERATORS", "SAMPLE_RATE", "Voice", "VoiceName", "synthesize"]

#: Makes so many samples of one source in a voice; at any scale, before `synthesize` levels it.
Generator = Callable[[Voice, int], Signal]

GENERATORS: dict[str, Generator] = {
    "dog": animals.dog,
    "cat": animals.cat,
    "lion": animals.lion,
    "horse": animals.horse,
    "bird": animals.bird,
    "rooster": animals.rooster,
    "cow": animals.cow,
    "sheep": animals.sheep,
    "pig": animals.pig,
    "duck": animals.duck,
    "wolf": animals.wolf,
    "elephant": animals.elephant,
    "frog": animals.frog,
    "car": vehicles.car,
    "bus": vehicles.bus,
    "motorcycle": vehicles.motorcycle,
    "train": vehicles.train,
    "helicopter": vehicles.helicopter,
    "airplane": vehicles.airplane,
    "ambulance": vehicles.ambulance,
    "tractor": vehicles.tractor,
    "boat": vehicles.boat,
    "guitar": instruments.guitar,
    "piano": instruments.piano,
    "violin": instruments.violin,
    "trumpet": instruments.trumpet,
    "saxophone": instruments.saxophone,
    "drum": instruments.drum,
    "accordion": instruments.accordion,
    "bell": things.bell,
    "telephone": things.telephone,
    "clock": things.clock_ticks,
    "gun": things.gun,
    "baby": people.baby,
    "man": people.man,
    "woman": people.woman,
}

#: Root mean square that sources are brought to, so that a mixture's levels are what it asks for.
#: Sounds that are mostly pauses (a clock) stay below: their peaks reach 1 first.
_LEVEL = 0.12

#: Below what a source is heard by, in Hz; removes any offset.
_LOWEST_FREQUENCY = 30.0


def synthesize(
    category: str, rng: np.random.Generator, seconds: float = 5.0, voice: VoiceName = "train"
) -> NDArray[np.float32]:
    """Make the sound of one source that is active throughout.

    Every whole second holds something to hear, and sources are about equally loud.

    Args:
        category: One of `GENERATORS`.
        rng: All randomness: the same state gives the same sound.
        seconds: Length of the sound.
        voice: Whether to draw the source's parameters from the ranges of training or from those
            held out for testing.

    Returns:
        Mono sound at `SAMPLE_RATE`, (S,), in [-1, 1].

    Raises:
        ValueError: If there is no such category or voice, or the length is not positive.
    """
    if category not in GENERATORS:
        raise ValueError(f"No sound for {category!r}; there are {', '.join(sorted(GENERATORS))}.")
    if not seconds > 0:
        raise ValueError(f"seconds must be positive, got {seconds}.")
    source = GENERATORS[category](Voice(rng, voice), round(seconds * SAMPLE_RATE))
    levelled = _LEVEL * unit_rms(highpass(source, _LOWEST_FREQUENCY))
    if np.abs(levelled).max() > 1:
        levelled = unit_peak(levelled)
    return levelled.astype(np.float32)
