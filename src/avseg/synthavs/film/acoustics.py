"""Rooms and noise: impulse responses by the image-source method, and background noise.

S is the number of samples, at `SAMPLE_RATE`.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from avseg.synthavs.sounds import SAMPLE_RATE

_SOUND_SPEED = 343.0  # metres per second

#: Longest impulse response, in seconds.
_LONGEST_S = 1.2

Signal = NDArray[np.float32]


@dataclass(frozen=True)
class Room:
    """Box-shaped room with a microphone.

    Attributes:
        size: Length, width and height, in metres.
        absorption: Share of the energy that a wall absorbs, in (0, 1].
        microphone: Position of the microphone, in metres.
        seed: Seed of the diffuse reverberation.
    """

    size: tuple[float, float, float]
    absorption: float
    microphone: tuple[float, float, float]
    seed: int

    @property
    def volume(self) -> float:
        """Volume, in cubic metres."""
        return math.prod(self.size)

    @property
    def reverberation_s(self) -> float:
        """Time in which the reverberation decays by 60 dB, by Sabine's formula."""
        length, width, height = self.size
        surface = 2 * (length * width + length * height + width * height)
        return 0.161 * self.volume / (surface * self.absorption)

    @property
    def critical_distance(self) -> float:
        """Distance at which the reverberation has the energy of the direct sound, in metres."""
        return 0.057 * math.sqrt(self.volume / self.reverberation_s)

    def impulse_response(self, source: tuple[float, float, float]) -> Signal:
        """Compute the impulse response from a source to the microphone.

        Its first sample is the direct sound, with an amplitude of 1. The first reflections come
        from mirror images of the source (Allen and Berkley 1979, doi:10.1121/1.382599); after them
        follows diffuse noise that decays exponentially. The energy of this diffuse sound follows
        from the distance and the critical distance of the room.

        Args:
            source: Position of the source, in metres.

        Returns:
            Impulse response, (samples,) float32.
        """
        count = int(min(self.reverberation_s, _LONGEST_S) * SAMPLE_RATE)
        response = np.zeros(count + 1, np.float32)
        distances, reflections = self._images(np.array(source))
        direct = float(distances[0])
        delays = np.rint((distances - direct) / _SOUND_SPEED * SAMPLE_RATE).astype(int)
        amplitudes = (1 - self.absorption) ** (reflections / 2) * direct / distances
        # Images of higher orders are missing from here on: the diffuse sound takes over.
        begin = min(int(2 * min(self.size) / _SOUND_SPEED * SAMPLE_RATE), count)
        early = delays < max(begin, 1)
        np.add.at(response, delays[early], amplitudes[early].astype(np.float32))
        times = np.arange(begin, count) / SAMPLE_RATE
        rate = 13.8 / self.reverberation_s  # decay of the energy, per second
        energy = (direct / self.critical_distance) ** 2 * rate / SAMPLE_RATE
        noise = np.random.default_rng(self.seed).standard_normal(len(times))
        response[begin:count] += (noise * np.sqrt(energy * np.exp(-rate * times))).astype(
            np.float32
        )
        return response

    def _images(self, source: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the distance of each image, the source first, and its number of reflections."""
        mirrored, shifts = _image_indices()
        places = (1 - 2 * mirrored) * source + 2 * shifts * np.array(self.size)
        distances = np.linalg.norm(places - np.array(self.microphone), axis=1)
        reflections = (np.abs(shifts - mirrored) + np.abs(shifts)).sum(axis=1)
        return distances, reflections


def draw_room(rng: np.random.Generator) -> Room:
    """Draw a random room, from a small damped one to a large hall.

    Args:
        rng: Random generator.

    Returns:
        The room.
    """
    length = float(np.exp(rng.uniform(np.log(2.5), np.log(16))))
    size = (
        length,
        length * float(rng.uniform(0.6, 1.0)),
        float(rng.uniform(2.3, 3.0 + length / 4)),
    )
    return Room(
        size=size,
        absorption=float(rng.uniform(0.12, 0.6)),
        microphone=draw_position(rng, size),
        seed=int(rng.integers(2**31)),
    )


def draw_position(
    rng: np.random.Generator, size: tuple[float, float, float]
) -> tuple[float, float, float]:
    """Draw a position in a room that is not close to a wall.

    Args:
        rng: Random generator.
        size: Size of the room, in metres.

    Returns:
        The position, in metres.
    """
    x, y, z = rng.uniform(0.15, 0.85, 3) * size
    return float(x), float(y), float(z)


def draw_noise(rng: np.random.Generator, count: int) -> Signal:
    """Draw background noise: of any colour from white to brown, some with gusts, some with hum.

    Args:
        rng: Random generator.
        count: S.

    Returns:
        Noise with a root mean square of 1, (S,) float32.
    """
    spectrum = np.fft.rfft(rng.standard_normal(count, np.float32))
    frequency = np.fft.rfftfreq(count, 1 / SAMPLE_RATE)
    # Below 40 Hz the spectrum is flat: small loudspeakers and ears do not reproduce it.
    spectrum *= np.maximum(frequency, 40) ** -rng.uniform(0, 1)
    noise = np.fft.irfft(spectrum, count)
    noise /= noise.std()
    times = np.arange(count) / SAMPLE_RATE
    if rng.random() < 0.35:  # gusts of wind, passing traffic
        phase = 2 * np.pi * (times / rng.uniform(0.8, 5) + rng.random())
        noise *= 1 + rng.uniform(0.2, 0.8) * np.sin(phase)
    if rng.random() < 0.25:  # mains hum and its overtones
        mains = float(rng.choice([50, 60]))
        for order in (1, 2, 3):
            noise += rng.uniform(0, 0.6) * np.sin(2 * np.pi * order * mains * times)
    level = float(np.sqrt(np.mean(noise**2)))
    return (noise / level).astype(np.float32)


@cache
def _image_indices() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the mirrorings and shifts of all images, (216, 3) each, the source itself first."""
    axes = np.meshgrid(*[[0, 1]] * 3, *[[0, -1, 1]] * 3, indexing="ij")
    grid = np.stack([axis.ravel() for axis in axes], axis=1)
    return grid[:, :3], grid[:, 3:]
