"""Instruments: each plays a random tune of its own notes."""

from collections.abc import Callable

import numpy as np

from avseg.datasets.synthetic.sounds.signal import (
    SAMPLE_RATE,
    Signal,
    Voice,
    bandpass,
    clock,
    envelope,
    formants,
    harmonics,
    highpass,
    ringing,
    rolloff,
    samples,
    sawtooth,
    sine,
    steady,
    unit_peak,
    vibrato,
)

_MAJOR_SCALE = (0, 2, 4, 5, 7, 9, 11, 12, 14, 16)  # semitones above the root


def note_frequency(pitch: float) -> float:
    """Return the frequency of a MIDI pitch; 69 is the A at 440 Hz."""
    return 440.0 * float(np.exp2((pitch - 69) / 12))


def melody(
    voice: Voice,
    num_samples: int,
    note: Callable[[float, float], Signal],
    root: float,
    beat_s: float,
    chord_size: int = 1,
) -> Signal:
    """Play a tune that wanders up and down a major scale without rests.

    Args:
        voice: Draws the tune.
        num_samples: Length of the result.
        note: Makes one note from its frequency and the time until the next, which it may outlast.
        root: MIDI pitch of the scale's first degree.
        beat_s: Notes last half a beat, one or two.
        chord_size: Notes struck together, in thirds.

    Returns:
        The tune, (num_samples,).
    """
    track = np.zeros(num_samples)
    at, degree = int(voice.rng.uniform(0, 0.06) * SAMPLE_RATE), int(voice.rng.integers(0, 8))
    while at < num_samples:
        degree = int(np.clip(degree + voice.rng.integers(-2, 3), 0, len(_MAJOR_SCALE) - 1))
        duration_s = beat_s * float(voice.rng.choice([0.5, 1, 1, 2]))
        for third in range(chord_size):
            pitch = root + _MAJOR_SCALE[(degree + 2 * third) % len(_MAJOR_SCALE)]
            sound = note(note_frequency(pitch), duration_s)[: num_samples - at]
            track[at : at + len(sound)] += voice.rng.uniform(0.75, 1) * sound
        at += samples(duration_s)
    return track


def guitar(voice: Voice, num_samples: int) -> Signal:
    """Plucked strings: bright at once, their high harmonics gone in a moment, from low E up."""
    root, beat_s = voice.uniform(43, 56), voice.uniform(0.22, 0.4)
    place, damping = voice.uniform(0.12, 0.25), voice.uniform(0.35, 0.8)
    chord_size = int(voice.rng.choice([1, 1, 3]))
    # a string plucked at a fraction of its length lacks the harmonics with a node there
    amplitudes = [np.sin(np.pi * k * place) / k**0.7 for k in range(1, 26)]

    def pluck(frequency: float, _: float) -> Signal:
        num = samples(1.0)
        string = ringing(frequency, amplitudes, 1.5, damping, num)
        return unit_peak(string * envelope(num, 0.002, 0.05))

    return melody(voice, num_samples, pluck, root, beat_s, chord_size)


def piano(voice: Voice, num_samples: int) -> Signal:
    """Struck strings: a soft hammer thump, pairs of strings that beat, few harmonics."""
    root, beat_s = voice.uniform(57, 69), voice.uniform(0.2, 0.42)
    decay, brightness = voice.uniform(1.8, 3.2), voice.uniform(0.45, 0.65)
    detuning = voice.uniform(1.0008, 1.002)
    chord_size = int(voice.rng.choice([1, 2]))
    amplitudes = [brightness**k for k in range(10)]

    def strike(frequency: float, _: float) -> Signal:
        num, knock = samples(1.1), samples(0.02)
        strings = ringing(frequency, amplitudes, decay, decay / 4, num)
        strings += 0.7 * ringing(frequency * detuning, amplitudes, decay, decay / 4, num)
        strings[:knock] += 0.3 * bandpass(voice.noise(knock), 300, 3000) * np.linspace(1, 0, knock)
        return unit_peak(strings * envelope(num, 0.004, 0.05))

    return melody(voice, num_samples, strike, root, beat_s, chord_size)


def violin(voice: Voice, num_samples: int) -> Signal:
    """Bowed string: a sawtooth with slow attack and vibrato through the body's resonances."""
    root, beat_s = voice.uniform(61, 71), voice.uniform(0.35, 0.65)
    rate, depth = voice.uniform(5, 6.8), voice.uniform(0.007, 0.014)
    body = [
        (voice.uniform(430, 520), 120, 0.6),
        (voice.uniform(900, 1200), 200, 0.6),
        (voice.uniform(2400, 3100), 500, 0.9),
    ]

    def bow(frequency: float, duration_s: float) -> Signal:
        num = samples(1.05 * duration_s)
        late = np.minimum(1, 4 * clock(num))  # the hand starts to swing after the bow
        swing = 1 + depth * late * np.sin(2 * np.pi * rate * clock(num))
        string = sawtooth(frequency * swing) + 0.05 * voice.noise(num)
        return unit_peak(
            (0.4 * string + formants(string, body)) * envelope(num, 0.07, 0.06, sustain=0.9)
        )

    return melody(voice, num_samples, bow, root, beat_s)


def trumpet(voice: Voice, num_samples: int) -> Signal:
    """Brass: tongued notes whose harmonics around 1.4 kHz grow with loudness."""
    root, beat_s = voice.uniform(60, 69), voice.uniform(0.2, 0.42)
    brassiness, centre = voice.uniform(0.8, 1.1), voice.uniform(1250, 1600)

    def blow(frequency: float, duration_s: float) -> Signal:
        num = samples(0.9 * duration_s)
        loudness = envelope(num, 0.035, 0.05, sustain=0.8)
        amplitudes = (
            loudness ** (1 + 0.28 * k * brassiness)
            * np.exp(-(((k * frequency - centre) / 2000) ** 2))
            for k in range(1, 15)
        )
        return unit_peak(harmonics(frequency * vibrato(5.5, 0.004, num), amplitudes))

    return melody(voice, num_samples, blow, root, beat_s)


def saxophone(voice: Voice, num_samples: int) -> Signal:
    """Reed: low notes scooped from below, overdriven and growling, with audible breath."""
    root, beat_s = voice.uniform(47, 58), voice.uniform(0.25, 0.48)
    growl, drive = voice.uniform(0.05, 0.35), voice.uniform(1.3, 1.8)
    body = [(voice.uniform(570, 670), 220, 1.0), (1250, 260, 0.6), (2600, 400, 0.3)]
    reed = [1, 0.9, 0.75, 0.6, 0.35, 0.3, 0.22, 0.16, 0.1, 0.08]

    def blow(frequency: float, duration_s: float) -> Signal:
        num = samples(0.97 * duration_s)
        scoop = vibrato(4.8, 0.008, num) - 0.04 * np.exp(-25 * clock(num))
        source = np.tanh(drive * harmonics(frequency * scoop, reed)) * vibrato(65, growl, num)
        source += 0.15 * bandpass(voice.noise(num), 700, 4000)
        return unit_peak(formants(source, body) * envelope(num, 0.05, 0.07, sustain=0.85))

    return melody(voice, num_samples, blow, root, beat_s)


def drum(voice: Voice, num_samples: int) -> Signal:
    """Drum kit: kicks and snares on a grid of sixteenths, one of them on every beat."""
    tempo = voice.uniform(95, 165)
    kick_pitch = voice.uniform(55, 105)
    snare_pitch = voice.uniform(165, 235)
    num = samples(0.22)
    times = clock(num)
    drop = 1 + 1.5 * np.exp(-40 * times)
    kick = unit_peak(sine(kick_pitch * drop) * np.exp(-18 * times))
    rattle = 0.9 * highpass(voice.noise(num), 1200) * np.exp(-26 * times)
    snare = unit_peak(sine(snare_pitch * drop) * np.exp(-22 * times) + rattle)
    pattern = voice.rng.random((2, 16)) < np.array([[0.3], [0.35]])  # (kick and snare, sixteenths)
    pattern[0, ::8] = True
    pattern[1, 4::8] = True

    track = np.zeros(num_samples + num)
    for place, at in enumerate(range(0, num_samples, samples(15 / tempo))):
        for struck, hit in zip(pattern[:, place % 16], (kick, snare), strict=True):
            track[at : at + num] += struck * voice.rng.uniform(0.7, 1) * hit
    return track[:num_samples]


def accordion(voice: Voice, num_samples: int) -> Signal:
    """Free reeds: steady chords, each note three reeds that beat against each other."""
    root, beat_s = voice.uniform(57, 66), voice.uniform(0.25, 0.48)
    detuning, bellows = voice.uniform(0.005, 0.009), voice.uniform(3, 5)
    chord_size = int(voice.rng.choice([2, 3]))
    reed = rolloff(12, voice.uniform(0.7, 0.9))

    def squeeze(frequency: float, duration_s: float) -> Signal:
        num = samples(1.02 * duration_s)
        ranks = [
            harmonics(steady(frequency * rank, num), reed)
            for rank in (1 - detuning, 1 + detuning, 0.5)
        ]
        tone = np.sum(ranks, axis=0) * vibrato(bellows, 0.05, num)
        return unit_peak(tone * envelope(num, 0.04, 0.04))

    return melody(voice, num_samples, squeeze, root, beat_s, chord_size)
