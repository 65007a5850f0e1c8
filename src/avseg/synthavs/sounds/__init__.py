"""Sounds of 36 categories, synthesised from random parameters.

Each generator is written once; which part of its parameters' ranges it draws from is the voice's
business (`Voice`), so that the sounds of the test split come from parameters never met in training.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from avseg.synthavs.sounds import objects, voices
from avseg.synthavs.sounds.signal import (
    SAMPLE_RATE,
    ParameterSampler,
    ParameterSplit,
    Signal,
    highpass,
    unit_peak,
    unit_rms,
)

__all__ = ["GENERATORS", "SAMPLE_RATE", "ParameterSampler", "ParameterSplit", "synthesize"]

#: Makes so many samples of one source in a voice; at any scale, before `synthesize` levels it.
Generator = Callable[[ParameterSampler, int], Signal]

GENERATORS: dict[str, Generator] = {
    "dog": voices.dog,
    "cat": voices.cat,
    "lion": voices.lion,
    "horse": voices.horse,
    "bird": voices.bird,
    "rooster": voices.rooster,
    "cow": voices.cow,
    "sheep": voices.sheep,
    "pig": voices.pig,
    "duck": voices.duck,
    "wolf": voices.wolf,
    "elephant": voices.elephant,
    "frog": voices.frog,
    "car": objects.car,
    "bus": objects.bus,
    "motorcycle": objects.motorcycle,
    "train": objects.train,
    "helicopter": objects.helicopter,
    "airplane": objects.airplane,
    "ambulance": objects.ambulance,
    "tractor": objects.tractor,
    "boat": objects.boat,
    "guitar": objects.guitar,
    "piano": objects.piano,
    "violin": objects.violin,
    "trumpet": objects.trumpet,
    "saxophone": objects.saxophone,
    "drum": objects.drum,
    "accordion": objects.accordion,
    "bell": objects.bell,
    "telephone": objects.telephone,
    "clock": objects.clock_ticks,
    "gun": objects.gun,
    "baby": voices.baby,
    "man": voices.man,
    "woman": voices.woman,
}

#: Root mean square that sources are brought to, so that a mixture's levels are what it asks for.
#: Sounds that are mostly pauses (a clock) stay below: their peaks reach 1 first.
_LEVEL = 0.12

#: Below what a source is heard by, in Hz; removes any offset.
_LOWEST_FREQUENCY = 30.0


def synthesize(
    category: str,
    rng: np.random.Generator,
    seconds: float = 5.0,
    parameter_split: ParameterSplit = "train",
) -> NDArray[np.float32]:
    """Make the sound of one source that is active throughout.

    Every whole second holds something to hear, and sources are about equally loud.

    Args:
        category: One of `GENERATORS`.
        rng: All randomness: the same state gives the same sound.
        seconds: Length of the sound.
        parameter_split: Whether the parameters are drawn from the training ranges or from the
            ranges held out for testing.

    Returns:
        Mono sound at `SAMPLE_RATE`, (S,), in [-1, 1].

    Raises:
        ValueError: If there is no such category or voice, or the length is not positive.
    """
    if category not in GENERATORS:
        raise ValueError(f"No sound for {category!r}; there are {', '.join(sorted(GENERATORS))}.")
    if not seconds > 0:
        raise ValueError(f"seconds must be positive, got {seconds}.")
    source = GENERATORS[category](
        ParameterSampler(rng, parameter_split), round(seconds * SAMPLE_RATE)
    )
    levelled = _LEVEL * unit_rms(highpass(source, _LOWEST_FREQUENCY))
    if np.abs(levelled).max() > 1:
        levelled = unit_peak(levelled)
    return levelled.astype(np.float32)
