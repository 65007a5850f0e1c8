"""Oscillators, filters and envelopes for the sound generators.

Signals are mono, (S,) float64, at `SAMPLE_RATE`, with S samples. Frequencies are in Hz, times in
seconds.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import scipy.signal  # type: ignore[import-untyped]
from numpy.typing import NDArray

#: Sample rate of all synthesized sounds, in Hz.
SAMPLE_RATE = 16000

#: Longest silence between two repetitions of a sound, in seconds. It is far below 1 second, so that
#: a sound is audible in every whole second.
MAX_GAP_S = 0.5

#: Bands of each parameter's range for training and for test, as fractions of the range. The test
#: bands are between training bands, so that a model must interpolate but not extrapolate.
BANDS = {
    "train": ((0.0, 0.30), (0.40, 0.62), (0.72, 1.0)),
    "test": ((0.30, 0.40), (0.62, 0.72)),
}

#: Frequency in Hz above which harmonics are omitted: slightly below half the sample rate, above
#: which they would alias.
_HIGHEST_FREQUENCY = 0.47 * SAMPLE_RATE

Signal = NDArray[np.float64]
ParameterSplit = Literal["train", "test"]


class ParameterSampler:
    """Sampler of the random parameters of one sound, from the ranges of training or of test.

    Parameters that distinguish individuals (pitch, resonances, tempo) are drawn by `uniform`, and
    have different ranges in training and test. Variations between repetitions are drawn by
    `jitter`, `noise` and `rng`, with the same ranges in both.

    Args:
        rng: Random generator.
        parameter_split: "train" or "test", which selects the bands of each range.

    Raises:
        ValueError: If the parameter split is unknown.
    """

    def __init__(self, rng: np.random.Generator, parameter_split: ParameterSplit) -> None:
        if parameter_split not in BANDS:
            raise ValueError(
                f"parameter_split must be one of {', '.join(BANDS)}, got {parameter_split!r}."
            )
        self.rng = rng
        self._bands = np.array(BANDS[parameter_split])  # (bands, 2)
        # A band is chosen in proportion to its width, so that the draws are uniform over all bands.
        widths = self._bands[:, 1] - self._bands[:, 0]
        self._shares = widths / widths.sum()

    def uniform(self, low: float, high: float) -> float:
        """Draw a parameter uniformly from the bands of [low, high]."""
        start, stop = self._bands[self.rng.choice(len(self._bands), p=self._shares)]
        return low + (high - low) * float(self.rng.uniform(start, stop))

    def jitter(self, spread: float) -> float:
        """Draw a factor uniformly from [1 - spread, 1 + spread]."""
        return float(self.rng.uniform(1 - spread, 1 + spread))

    def noise(self, num_samples: int) -> Signal:
        """Draw white noise of unit variance."""
        return self.rng.standard_normal(num_samples)

    def drift(self, num_samples: int, spread: float, rate: float) -> Signal:
        """Draw a slowly varying factor around 1, with `rate` independent values per second."""
        turns = 1 + spread * self.rng.standard_normal(int(num_samples / SAMPLE_RATE * rate) + 3)
        return glide(turns, num_samples)


def samples(duration_s: float) -> int:
    """Return the number of samples of a duration, at least 16."""
    return max(16, round(duration_s * SAMPLE_RATE))


def clock(num_samples: int) -> Signal:
    """Return the time of each sample, in seconds."""
    return np.arange(num_samples) / SAMPLE_RATE


def steady(value: float, num_samples: int) -> Signal:
    """Return a constant signal, for instance the frequency of a note without vibrato."""
    return np.full(num_samples, value)


def glide(points: Sequence[float] | Signal, num_samples: int) -> Signal:
    """Return the linear interpolation of equally spaced points."""
    places = np.linspace(0, len(points) - 1, num_samples)
    return np.interp(places, np.arange(len(points)), points)


def vibrato(rate: float, depth: float, num_samples: int) -> Signal:
    """Return a factor that varies sinusoidally around 1, for frequency or loudness."""
    return 1 + depth * np.sin(2 * np.pi * rate * clock(num_samples))


def cycles(frequency: Signal) -> Signal:
    """Return the phase of an oscillator of variable frequency, in cycles."""
    return np.cumsum(frequency) / SAMPLE_RATE


def sine(frequency: Signal) -> Signal:
    """Return a sine wave of variable frequency."""
    return np.sin(2 * np.pi * cycles(frequency))


def harmonics(frequency: Signal, amplitudes: Iterable[float | Signal]) -> Signal:
    """Return a sum of sine waves at the multiples of a frequency.

    Args:
        frequency: Frequency of the first harmonic, (S,).
        amplitudes: Amplitude of each harmonic from the first, a constant or (S,). Harmonics that
            would alias are omitted.

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
        # Chebyshev recurrence, much cheaper than np.sin:
        # sin((k + 1) x) = 2 cos(x) sin(k x) - sin((k - 1) x)
        previous, current = current, twice_cosine * current - previous
    return tone


def rolloff(count: int, power: float) -> list[float]:
    """Return amplitudes of harmonics that decrease as 1 / order ** power."""
    return [order**-power for order in range(1, count + 1)]


def ringing(
    frequency: float, amplitudes: Iterable[float], decay: float, damping: float, num_samples: int
) -> Signal:
    """Return the tone of a struck string: harmonic k decays as exp(-(decay + k * damping) t).

    Args:
        frequency: Frequency of the first harmonic.
        amplitudes: Initial amplitude of each harmonic from the first.
        decay: Decay rate of all harmonics, per second.
        damping: Additional decay rate per harmonic, per second.
        num_samples: Length of the result, in samples.

    Returns:
        The tone, (num_samples,).
    """
    # Powers of one complex oscillator give all harmonics with their decay.
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
    """Return a sawtooth wave in [-1, 1], with jumps smoothed by polyBLEP against aliasing."""
    # Cycles per sample. A jump is smoothed over one sample before and one after it.
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
    """Return an impulse of height 1 at the start of each cycle."""
    return (np.diff(np.floor(cycles(frequency)), prepend=-1.0) > 0).astype(np.float64)


@lru_cache(maxsize=512)
def _design(kind: str, order: int, low: float, high: float | None) -> Signal:
    edges: Any = low if high is None else (low, high)
    # Second-order sections stay stable at cutoffs far below the sample rate. The design is cached,
    # since it takes longer than filtering one short event.
    sections: Signal = scipy.signal.butter(order, edges, kind, fs=SAMPLE_RATE, output="sos")
    return sections


def _filtered(signal: Signal, sections: Signal) -> Signal:
    result: Signal = scipy.signal.sosfilt(sections, signal)
    return result


def lowpass(signal: Signal, cutoff: float, order: int = 2) -> Signal:
    """Apply a low-pass filter."""
    return _filtered(signal, _design("lowpass", order, min(cutoff, _HIGHEST_FREQUENCY), None))


def highpass(signal: Signal, cutoff: float, order: int = 2) -> Signal:
    """Apply a high-pass filter."""
    return _filtered(signal, _design("highpass", order, cutoff, None))


def bandpass(signal: Signal, low: float, high: float) -> Signal:
    """Apply a band-pass filter between two frequencies."""
    return _filtered(signal, _design("bandpass", 2, low, min(high, _HIGHEST_FREQUENCY)))


def formants(excitation: Signal, resonances: Iterable[tuple[float, float, float]]) -> Signal:
    """Apply the resonances of a vocal tract or an instrument's body (source-filter model).

    Args:
        excitation: Signal with many harmonics or noise, (S,).
        resonances: Frequency, bandwidth and gain of each resonance. The gain is the peak of its
            filtered signal, whatever the level of the excitation at that frequency.

    Returns:
        The filtered signal, (S,).
    """
    coloured = np.zeros_like(excitation)
    for frequency, bandwidth, gain in resonances:
        # A pair of poles: their radius sets the bandwidth, their angle the frequency.
        radius = np.exp(-np.pi * bandwidth / SAMPLE_RATE)
        cosine = np.cos(2 * np.pi * frequency / SAMPLE_RATE)
        resonator = [1.0, -2 * radius * cosine, radius**2]
        coloured += gain * unit_peak(scipy.signal.lfilter([1 - radius], resonator, excitation))
    return coloured


def noisy_sine(
    sampler: ParameterSampler, frequency: float, decay: float, duration_s: float
) -> Signal:
    """Return a short knock: a decaying sine wave with noise around its frequency."""
    num = samples(duration_s)
    noise = bandpass(sampler.noise(num), frequency * 0.8, frequency * 2)
    return (sine(steady(frequency, num)) + 0.7 * noise) * np.exp(-decay * clock(num))


def swell(num_samples: int, power: float = 1.0) -> Signal:
    """Return an envelope of half a sine wave; a smaller power makes its top flatter."""
    return np.sin(np.pi * np.linspace(0, 1, num_samples)) ** power


def envelope(num_samples: int, attack_s: float, release_s: float, sustain: float = 1.0) -> Signal:
    """Return an envelope that rises to 1, decreases linearly to `sustain` and falls to 0."""
    attack = min(samples(attack_s), num_samples // 2)
    release = min(samples(release_s), num_samples // 2)
    times = [0, attack, num_samples - release, num_samples]
    return np.interp(np.arange(num_samples), times, [0, 1, sustain, 0])


def fade(signal: Signal, duration_s: float) -> Signal:
    """Fade the start and the end of a signal, so that they do not click."""
    return signal * envelope(len(signal), duration_s, duration_s)


def unit_peak(signal: Signal) -> Signal:
    """Scale a signal to a peak of 1; a zero signal stays zero."""
    return signal / max(float(np.abs(signal).max()), 1e-9)


def unit_rms(signal: Signal) -> Signal:
    """Scale a signal to a root mean square of 1; a zero signal stays zero."""
    return signal / max(float(np.sqrt(np.mean(signal**2))), 1e-9)


def repeat(
    sampler: ParameterSampler,
    num_samples: int,
    event: Callable[[], Signal],
    gap_s: float,
    start_s: float = 0.1,
) -> Signal:
    """Repeat an event with random gaps and random loudness.

    Args:
        sampler: Draws start, gaps and loudness.
        num_samples: Length of the result, in samples; the last event is cut there.
        event: Synthesizes one event of peak 1.
        gap_s: Mean gap between events, in seconds; no gap is longer than `MAX_GAP_S`.
        start_s: Latest start of the first event, in seconds.

    Returns:
        The events with their gaps, (num_samples,).
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


#: Semitones above the root of a major scale of ten degrees.
_MAJOR_SCALE = (0, 2, 4, 5, 7, 9, 11, 12, 14, 16)


def note_frequency(pitch: float) -> float:
    """Return the frequency of a MIDI pitch; 69 is the note A at 440 Hz."""
    return 440.0 * float(np.exp2((pitch - 69) / 12))


def melody(
    sampler: ParameterSampler,
    num_samples: int,
    note: Callable[[float, float], Signal],
    root: float,
    beat_s: float,
    chord_size: int = 1,
) -> Signal:
    """Synthesize a random tune on a major scale without rests.

    Args:
        sampler: Draws the tune.
        num_samples: Length of the result, in samples.
        note: Synthesizes one note from its frequency and the time until the next note, beyond which
            it may last.
        root: MIDI pitch of the first degree of the scale.
        beat_s: Length of a beat, in seconds; notes last half a beat, one or two.
        chord_size: Number of notes played together, in thirds.

    Returns:
        The tune, (num_samples,).
    """
    track = np.zeros(num_samples)
    at, degree = int(sampler.rng.uniform(0, 0.06) * SAMPLE_RATE), int(sampler.rng.integers(0, 8))
    while at < num_samples:
        # A random walk of at most two degrees per note, as tunes mostly move by small steps.
        degree = int(np.clip(degree + sampler.rng.integers(-2, 3), 0, len(_MAJOR_SCALE) - 1))
        # A whole beat is twice as likely as half a beat, or as two beats.
        duration_s = beat_s * float(sampler.rng.choice([0.5, 1, 1, 2]))
        for third in range(chord_size):
            pitch = root + _MAJOR_SCALE[(degree + 2 * third) % len(_MAJOR_SCALE)]
            sound = note(note_frequency(pitch), duration_s)[: num_samples - at]
            track[at : at + len(sound)] += sampler.rng.uniform(0.75, 1) * sound
        at += samples(duration_s)
    return track
