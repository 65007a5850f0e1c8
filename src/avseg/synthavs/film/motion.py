"""Smooth functions of time: the paths of objects, the camera, and the loudness of sounds.

Positions are relative to the side of the frame as the camera shows it at zoom 1 from its rest
position: such a frame is the square [0, 1] x [0, 1] of the world.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_TURN = 2 * math.pi


@dataclass(frozen=True)
class Wave:
    """Sine wave over time.

    Attributes:
        amplitude: Amplitude.
        period_s: Period, in seconds.
        phase: Phase at time 0, in cycles.
    """

    amplitude: float
    period_s: float
    phase: float


@dataclass(frozen=True)
class Course:
    """Smooth function of time: a mean plus sine waves. It is defined at any time.

    Attributes:
        mean: Mean value.
        waves: Waves that are added to the mean.
    """

    mean: float
    waves: tuple[Wave, ...] = ()

    def at(self, time_s: float) -> float:
        """Return the value at a time in seconds."""
        return self.mean + sum(
            w.amplitude * math.sin(_TURN * (time_s / w.period_s + w.phase)) for w in self.waves
        )

    def sample(self, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the values at times in seconds, in the shape of the times."""
        values = np.full(times_s.shape, self.mean)
        for wave in self.waves:
            values += wave.amplitude * np.sin(_TURN * (times_s / wave.period_s + wave.phase))
        return values

    def speed(self, time_s: float) -> float:
        """Return the derivative at a time in seconds, per second."""
        return sum(
            w.amplitude * _TURN / w.period_s * math.cos(_TURN * (time_s / w.period_s + w.phase))
            for w in self.waves
        )

    @property
    def reach(self) -> float:
        """Largest possible distance from the mean."""
        return sum(abs(wave.amplitude) for wave in self.waves)


@dataclass(frozen=True)
class Path:
    """Motion of an object in the world.

    Attributes:
        x: Horizontal position of the centre.
        y: Vertical position of the centre, downwards.
        size: Logarithm to base 2 of the longer side.
        angle: Counter-clockwise rotation, in degrees.
    """

    x: Course
    y: Course
    size: Course
    angle: Course


@dataclass(frozen=True)
class Camera:
    """Motion of the camera.

    Attributes:
        x: Horizontal position in the world of the centre of the frame.
        y: Vertical position in the world of the centre of the frame.
        zoom: Logarithm to base 2 of the magnification.
        roll: Counter-clockwise rotation of the picture, in degrees.
    """

    x: Course
    y: Course
    zoom: Course
    roll: Course

    def matrix(self, time_s: float) -> NDArray[np.float64]:
        """Return the matrix from offsets in the world to offsets in the frame, (2, 2).

        Args:
            time_s: Time, in seconds.

        Returns:
            The matrix; offsets in the frame are relative to its side.
        """
        return float(np.exp2(self.zoom.at(time_s))) * rotation(self.roll.at(time_s))

    def centre(self, time_s: float) -> NDArray[np.float64]:
        """Return the centre of the frame in the world at a time in seconds, (2,)."""
        return np.array([self.x.at(time_s), self.y.at(time_s)])

    def velocity(self, time_s: float) -> NDArray[np.float64]:
        """Return the velocity of the centre in the world at a time in seconds, (2,)."""
        return np.array([self.x.speed(time_s), self.y.speed(time_s)])


def rotation(degrees: float) -> NDArray[np.float64]:
    """Return the matrix of a counter-clockwise rotation, for a vertical axis that points down.

    Args:
        degrees: Angle, in degrees.

    Returns:
        The matrix, (2, 2).
    """
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[cosine, sine], [-sine, cosine]])
