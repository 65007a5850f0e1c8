"""Human voices: a baby cries, a man speaks, a woman sings."""

import numpy as np

from avseg.datasets.synthetic.sounds.instruments import melody
from avseg.datasets.synthetic.sounds.signal import (
    SAMPLE_RATE,
    Signal,
    Voice,
    bandpass,
    clock,
    envelope,
    fade,
    formants,
    glide,
    harmonics,
    highpass,
    lowpass,
    pulses,
    repeat,
    rolloff,
    samples,
    unit_peak,
)

#: First three formants of a, i, u, e, o and ae as a man speaks them.
_VOWELS = (
    (730, 1090, 2440),
    (270, 2290, 3010),
    (300, 870, 2240),
    (530, 1840, 2480),
    (570, 840, 2410),
    (660, 1720, 2410),
)


def _vowel(voice: Voice, source: Signal, throat: float) -> Signal:
    """A random vowel of a throat that is shorter than a man's by the factor given."""
    frequencies = _VOWELS[voice.rng.integers(len(_VOWELS))]
    widths_and_gains = ((80, 1.0), (110, 0.55), (160, 0.25))
    return formants(
        source,
        [
            (frequency * throat, width, gain)
            for frequency, (width, gain) in zip(frequencies, widths_and_gains, strict=True)
        ],
    )


def baby(voice: Voice, num_samples: int) -> Signal:
    """Cry: a loud, bright wail that breaks, then a gasp for breath, again and again."""
    pitch, length = voice.uniform(390, 550), voice.uniform(0.5, 1.0)
    throat = [(voice.uniform(1000, 1200), 200, 1.0), (2100, 300, 0.75), (3500, 400, 0.6)]

    def cry() -> Signal:
        num = samples(length * voice.jitter(0.2))
        frequency = pitch * glide([0.85, 1.2, 1.15, 0.8], num) * voice.drift(num, 0.02, 14)
        strain = 1 + lowpass(voice.noise(num), 40)
        wail = formants(harmonics(frequency, rolloff(16, 0.45)), throat) * strain
        return unit_peak(wail * envelope(num, 0.06, 0.12, sustain=0.95))

    def gasp() -> Signal:
        num = samples(voice.rng.uniform(0.12, 0.2))
        return 0.25 * unit_peak(fade(bandpass(voice.noise(num), 1200, 4500), 0.03))

    def breath() -> Signal:
        return np.concatenate([cry(), np.zeros(samples(0.05)), gasp()])

    return repeat(voice, num_samples, breath, gap_s=0.08)


def man(voice: Voice, num_samples: int) -> Signal:
    """Speech: syllables of changing vowels on a low pulsed pitch, hissed consonants between."""
    pitch = voice.uniform(85, 145)
    throat = voice.uniform(0.92, 1.02)
    pace = voice.uniform(0.9, 1.2)

    def syllable() -> Signal:
        num = samples(pace * voice.rng.uniform(0.12, 0.24))
        tune = glide([voice.rng.uniform(0.9, 1.2), voice.rng.uniform(0.85, 1.1)], num)
        frequency = pitch * tune * voice.drift(num, 0.02, 20)
        source = pulses(frequency) - frequency / SAMPLE_RATE + 0.01 * voice.noise(num)
        vowel = _vowel(voice, source, throat)
        return unit_peak(vowel * envelope(num, 0.03, 0.04, sustain=0.9))

    def consonant() -> Signal:
        num = samples(voice.rng.uniform(0.04, 0.1))
        return 0.3 * unit_peak(fade(highpass(voice.noise(num), 2500), 0.01))

    def spoken() -> Signal:
        pause_s = voice.rng.uniform(0.1, 0.3) if voice.rng.random() < 0.15 else 0.0
        parts = [syllable()] if voice.rng.random() < 0.55 else [consonant(), syllable()]
        return np.concatenate([*parts, np.zeros(int(pause_s * SAMPLE_RATE))])

    return repeat(voice, num_samples, spoken, gap_s=0.0)


def woman(voice: Voice, num_samples: int) -> Signal:
    """Song: sustained vowels on a wandering tune, with a deep vibrato."""
    root, beat_s = voice.uniform(57, 66), voice.uniform(0.3, 0.58)
    throat, rate = voice.uniform(1.1, 1.22), voice.uniform(5, 6.3)

    def sing(frequency: float, duration_s: float) -> Signal:
        num = samples(1.02 * duration_s)
        late = np.minimum(1, 3 * clock(num))  # the vibrato sets in after the note
        swing = 1 + 0.02 * late * np.sin(2 * np.pi * rate * clock(num))
        vowel = _vowel(voice, harmonics(frequency * swing, rolloff(18, 0.7)), throat)
        return unit_peak(vowel * envelope(num, 0.06, 0.08, sustain=0.9))

    return melody(voice, num_samples, sing, root, beat_s)
