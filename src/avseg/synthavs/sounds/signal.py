"""Oscillators, filters and envelopes that the sound generators are made of.

Signals are mono, (S,) float64, at `SAMPLE_RATE`. Frequencies are in Hz, times in seconds.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import scipy.signal  # type: ignore[import-untyped]
from numpy.typing import NDArray

#: Of every synthesised sound, in Hz.
SAMPLE_RATE = 16000

#: The longest silence between two events of a repeating sound, in seconds. Far enough below one
#: that every whole second of an active source holds something to hear.
MAX_GAP_S = 0.5

#: The parts of each parameter's range that a voice draws from, as fractions of the range. The test
#: bands lie inside the range and are never drawn in training, so testing interpolates.
BANDS = {
    "train": ((0.0, 0.30), (0.40, 0.62), (0.72, 1.0)),
    "test": ((0.30, 0.40), (0.62, 0.72)),
}

#: Partials above this are left out: they would fold back.
_HIGHEST_FREQUENCY = 0.47 * SAMPLE_RATE

Signal = NDArray[np.float64]
ParameterSplit = Literal["train", "test"]


class ParameterSampler:
    """One source's random draws, with its identity kept to the parameters of training or of test.

    What makes a source this dog and no other (pitch, throat, tempo) comes from `uniform`; what
    varies from bark to bark comes from `jitter`, `noise` and `rng`, which are the same for both.

    Args:
        rng: All randomness of the source.
        name: Which bands of each identity parameter's range to draw from.

    Raises:
        ValueError: If there is no voice of that name.
    """

    def __init__(self, rng: np.random.Generator, name: ParameterSplit) -> None:
        if name not in BANDS:
            raise ValueError(f"parameter_split must be one of {', '.join(BANDS)}, got {name!r}.")
        self.rng = rng
        self._bands = np.array(BANDS[name])  # (bands, 2)
        widths = self._bands[:, 1] - self._bands[:, 0]
        self._shares = widths / widths.sum()

    def uniform(self, low: float, high: float) -> float:
        """Draw an identity parameter, uniform over this voice's bands of [low, high]."""
        start, stop = self._bands[self.rng.choice(len(self._bands), p=self._shares)]
        return low + (high - low) * float(self.rng.uniform(start, stop))

    def jitter(self, spread: float) -> float:
        """Draw a factor in [1 - spread, 1 + spread]."""
        return float(self.rng.uniform(1 - spread, 1 + spread))

    def noise(self, num_samples: int) -> Signal:
        """Draw white noise of unit variance."""
        return self.rng.standard_normal(num_samples)

    def drift(self, num_samples: int, spread: float, rate: float) -> Signal:
        """Draw a slowly wandering factor around 1, with `rate` independent turns a second."""
        turns = 1 + spread * self.rng.standard_normal(int(num_samples / SAMPLE_RATE * rate) + 3)
        return glide(turns, num_samples)


def samples(duration_s: float) -> int:
    """Return how many samples last that long, at least 16."""
    return max(16, round(duration_s * SAMPLE_RATE))


def clock(num_samples: int) -> Signal:
    """Return the time of each sample in seconds."""
    return np.arange(num_samples) / SAMPLE_RATE


def steady(value: float, num_samples: int) -> Signal:
    """Return a constant, for instance the frequency of a note without vibrato."""
    return np.full(num_samples, value)


def glide(points: Sequence[float] | Signal, num_samples: int) -> Signal:
    """Return straight lines through equally spaced points."""
    places = np.linspace(0, len(points) - 1, num_samples)
    return np.interp(places, np.arange(len(points)), points)


def vibrato(rate: float, depth: float, num_samples: int) -> Signal:
    """Return a factor around 1 that swings sinusoidally, in frequency or in loudness."""
    return 1 + depth * np.sin(2 * np.pi * rate * clock(num_samples))


def cycles(frequency: Signal) -> Signal:
    """Return the phase of an oscillator in whole turns."""
    return np.cumsum(frequency) / SAMPLE_RATE


def sine(frequency: Signal) -> Signal:
    """Return a sine of changing frequency."""
    return np.sin(2 * np.pi * cycles(frequency))


def harmonics(frequency: Signal, amplitudes: Iterable[float | Signal]) -> Signal:
    """Add up sines at the multiples of a frequency.

    Args:
        frequency: Of the first harmonic, (S,).
        amplitudes: Of each harmonic from the first, constant or (S,); those that would fold back
            are left out.

    Returns:
        The tone, (S,).
    """
    phase = 2 * np.pi * cycles(frequency)
    twice_cosine = 2 * np.cos(phase)
    previous, current = np.zeros_like(phase), np.sin(phase)
    highest = frequency.max()
    tone = np.zeros_like(phase)
    for order, amplitude in enumerate(amplitudes, start=1):
        if order * highest > _HIGHEST_FREQUENCY:
            break
        tone += amplitude * current
        # Chebyshev: sin((k + 1) x) = 2 cos(x) sin(k x) - sin((k - 1) x), far cheaper than a sine
        previous, current = current, twice_cosine * current - previous
    return tone


def rolloff(count: int, power: float) -> list[float]:
    """Return amplitudes of harmonics that fall as 1 / order ** power."""
    return [order**-power for order in range(1, count + 1)]


def ringing(
    frequency: float, amplitudes: Iterable[float], decay: float, damping: float, num_samples: int
) -> Signal:
    """Strike a string: harmonic k dies away as exp(-(decay + k * damping) t).

    Args:
        frequency: Of the first harmonic.
        amplitudes: Of each harmonic from the first.
        decay: Of all harmonics, per second.
        damping: Further decay with each harmonic, per second.
        num_samples: Length of the result.

    Returns:
        The tone, (num_samples,).
    """
    times = clock(num_samples)
    turn = np.exp((2j * np.pi * frequency - damping) * times)
    partial = np.exp(-decay * times) * turn
    tone = np.zeros(num_samples)
    for order, amplitude in enumerate(amplitudes, start=1):
        if order * frequency > _HIGHEST_FREQUENCY:
            break
        tone += amplitude * partial.imag
        partial = partial * turn
    return tone


def sawtooth(frequency: Signal) -> Signal:
    """Return a sawtooth in [-1, 1], its jumps rounded (polyBLEP) so that they hardly fold back."""
    step = frequency / SAMPLE_RATE
    phase = cycles(frequency) % 1
    wave = 2 * phase - 1
    after = phase < step
    before = phase > 1 - step
    distance = phase[after] / step[after]
    wave[after] += (1 - distance) ** 2
    distance = (phase[before] - 1) / step[before]
    wave[before] -= (1 + distance) ** 2
    return wave


def pulses(frequency: Signal) -> Signal:
    """Return one impulse of height 1 at the start of every turn."""
    return (np.diff(np.floor(cycles(frequency)), prepend=-1.0) > 0).astype(np.float64)


@lru_cache(maxsize=512)
def _design(kind: str, order: int, low: float, high: float | None) -> Signal:
    edges: Any = low if high is None else (low, high)
    sections: Signal = scipy.signal.butter(order, edges, kind, fs=SAMPLE_RATE, output="sos")
    return sections


def _filtered(signal: Signal, sections: Signal) -> Signal:
    result: Signal = scipy.signal.sosfilt(sections, signal)
    return result


def lowpass(signal: Signal, cutoff: float, order: int = 2) -> Signal:
    """Return what lies below the cutoff."""
    return _filtered(signal, _design("lowpass", order, min(cutoff, _HIGHEST_FREQUENCY), None))


def highpass(signal: Signal, cutoff: float, order: int = 2) -> Signal:
    """Return what lies above the cutoff."""
    return _filtered(signal, _design("highpass", order, cutoff, None))


def bandpass(signal: Signal, low: float, high: float) -> Signal:
    """Return what lies between two frequencies."""
    return _filtered(signal, _design("bandpass", 2, low, min(high, _HIGHEST_FREQUENCY)))


def formants(source: Signal, resonances: Iterable[tuple[float, float, float]]) -> Signal:
    """Colour a source as a throat does.

    Args:
        source: Rich in harmonics or noise, (S,).
        resonances: Frequency, bandwidth and peak gain of each; the gain is of the result, however
            much of that frequency the source has.

    Returns:
        The coloured source, (S,).
    """
    coloured = np.zeros_like(source)
    for frequency, bandwidth, gain in resonances:
        radius = np.exp(-np.pi * bandwidth / SAMPLE_RATE)
        cosine = np.cos(2 * np.pi * frequency / SAMPLE_RATE)
        resonator = [1.0, -2 * radius * cosine, radius**2]
        coloured += gain * unit_peak(scipy.signal.lfilter([1 - radius], resonator, source))
    return coloured


def noisy_sine(
    sampler: ParameterSampler, frequency: float, decay: float, duration_s: float
) -> Signal:
    """Return a short knock: a dying sine with noise around its frequency."""
    num = samples(duration_s)
    noise = bandpass(sampler.noise(num), frequency * 0.8, frequency * 2)
    return (sine(steady(frequency, num)) + 0.7 * noise) * np.exp(-decay * clock(num))


def swell(num_samples: int, power: float = 1.0) -> Signal:
    """Return an envelope that rises and falls as half a sine; small powers make it boxier."""
    return np.sin(np.pi * np.linspace(0, 1, num_samples)) ** power


def envelope(num_samples: int, attack_s: float, release_s: float, sustain: float = 1.0) -> Signal:
    """Return an envelope that rises to 1, sinks evenly to `sustain` and falls to 0."""
    attack = min(samples(attack_s), num_samples // 2)
    release = min(samples(release_s), num_samples // 2)
    times = [0, attack, num_samples - release, num_samples]
    return np.interp(np.arange(num_samples), times, [0, 1, sustain, 0])


def fade(signal: Signal, duration_s: float) -> Signal:
    """Return a signal with its start and end faded, so that they do not click."""
    return signal * envelope(len(signal), duration_s, duration_s)


def unit_peak(signal: Signal) -> Signal:
    """Return a signal scaled to a peak of 1; silence stays silence."""
    return signal / max(float(np.abs(signal).max()), 1e-9)


def unit_rms(signal: Signal) -> Signal:
    """Return a signal scaled to a root mean square of 1; silence stays silence."""
    return signal / max(float(np.sqrt(np.mean(signal**2))), 1e-9)


def repeat(
    sampler: ParameterSampler,
    num_samples: int,
    event: Callable[[], Signal],
    gap_s: float,
    start_s: float = 0.1,
) -> Signal:
    """Lay out one event after the other, each a little louder or softer than the last.

    Args:
        sampler: Draws start, gaps and loudness.
        num_samples: Length of the result; the last event is cut there.
        event: Makes one event of peak 1.
        gap_s: Mean silence between events; none is longer than `MAX_GAP_S`.
        start_s: The latest start of the first event.

    Returns:
        The events and the silence between them, (num_samples,).
    """
    track = np.zeros(num_samples)
    at = int(sampler.rng.uniform(0, start_s) * SAMPLE_RATE)
    while at < num_samples:
        sound = event()
        kept = min(len(sound), num_samples - at)
        track[at : at + kept] += sampler.rng.uniform(0.75, 1.0) * sound[:kept]
        gap = min(gap_s * sampler.jitter(0.35), MAX_GAP_S)
        at += len(sound) + int(gap * SAMPLE_RATE)
    return track
