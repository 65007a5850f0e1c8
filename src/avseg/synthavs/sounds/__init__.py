"""Synthesized sounds of 36 categories with random parameters.

Each category has one generator for all splits. A `ParameterSampler` restricts the ranges of its
parameters, so that the sounds of test clips have parameters that training never uses.

S is the number of samples.
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

#: Synthesizes a number of samples of one sound, at any level; `synthesize` normalizes it.
Generator = Callable[[ParameterSampler, int], Signal]

#: Sound generator of each category.
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

#: Root mean square of all sounds, so that equal gains in a mixture give equal levels. Sounds that
#: consist mostly of pauses (a clock) have a lower level, because their peaks are limited to 1.
_LEVEL = 0.12

#: Cutoff of the high-pass filter that removes offsets, in Hz; below the lowest tone of any sound.
_LOWEST_FREQUENCY = 30.0


def synthesize(
    category: str,
    rng: np.random.Generator,
    seconds: float = 5.0,
    parameter_split: ParameterSplit = "train",
) -> NDArray[np.float32]:
    """Synthesize a sound that is audible in every whole second.

    Args:
        category: Key of `GENERATORS`.
        rng: Random generator; the same state gives the same sound.
        seconds: Length, in seconds.
        parameter_split: Whether the parameters are drawn from the training ranges or from the
            ranges held out for testing.

    Returns:
        Mono samples in [-1, 1] at `SAMPLE_RATE`, (S,) float32.

    Raises:
        ValueError: If the category or the parameter split is unknown, or the length is not
            positive.
    """
    if category not in GENERATORS:
        raise ValueError(f"no sound for {category!r}; choose from {', '.join(sorted(GENERATORS))}.")
    if not seconds > 0:
        raise ValueError(f"seconds must be positive, got {seconds}.")
    sound = GENERATORS[category](
        ParameterSampler(rng, parameter_split), round(seconds * SAMPLE_RATE)
    )
    levelled = _LEVEL * unit_rms(highpass(sound, _LOWEST_FREQUENCY))
    if np.abs(levelled).max() > 1:
        levelled = unit_peak(levelled)
    return levelled.astype(np.float32)
