"""Vehicles: engines, rotors, wheels, and the horns, whistles and sirens that go with them."""

import numpy as np
import scipy.signal  # type: ignore[import-untyped]

from avseg.datasets.synthetic.sounds.signal import (
    SAMPLE_RATE,
    Signal,
    Voice,
    bandpass,
    clock,
    cycles,
    envelope,
    fade,
    glide,
    harmonics,
    highpass,
    lowpass,
    pulses,
    repeat,
    rolloff,
    samples,
    sawtooth,
    sine,
    steady,
    unit_peak,
    vibrato,
)


def _engine(voice: Voice, firing: Signal, num_harmonics: int, roughness: float) -> Signal:
    """Harmonics of the firing rate, overdriven, in noise that beats with the firing."""
    frequency = firing * voice.drift(len(firing), 0.01, 20)
    strengths = voice.rng.uniform(0.4, 1.0, num_harmonics) * rolloff(num_harmonics, 0.5)
    combustion = np.tanh(2 * harmonics(frequency, strengths))
    return combustion + roughness * voice.noise(len(firing)) * (1 + 0.7 * sine(frequency))


def _revs(voice: Voice, low: float, high: float, num_samples: int, rate: float) -> Signal:
    """A firing rate that wanders between two, `rate` turns a second."""
    return glide(
        voice.rng.uniform(low, high, int(num_samples / SAMPLE_RATE * rate) + 3), num_samples
    )


def car(voice: Voice, num_samples: int) -> Signal:
    """Engine hum around 80 Hz, and honks of two square tones a third apart."""
    idle = voice.uniform(55, 85)
    horn = voice.uniform(370, 480)
    third = voice.uniform(1.2, 1.3)
    gap_s = voice.uniform(0.2, 0.45)
    engine = lowpass(_engine(voice, _revs(voice, idle, 1.3 * idle, num_samples, 1.2), 6, 0.5), 900)

    def honk() -> Signal:
        num = samples(voice.rng.uniform(0.2, 0.5))
        square = [order % 2 / order for order in range(1, 10)]
        tones = harmonics(steady(horn, num), square)
        tones += 0.9 * harmonics(steady(horn * third, num), square)
        return unit_peak(fade(tones, 0.01))

    return 0.4 * unit_peak(engine) + repeat(voice, num_samples, honk, gap_s)


def bus(voice: Voice, num_samples: int) -> Signal:
    """Diesel rumble at 30 Hz and its knocking, with hisses of the air brake."""
    idle, gap_s = voice.uniform(22, 32), voice.uniform(0.3, 0.5)
    engine = lowpass(_engine(voice, _revs(voice, idle, 1.2 * idle, num_samples, 0.6), 12, 1.2), 420)

    def hiss() -> Signal:
        num = samples(voice.rng.uniform(0.4, 0.8))
        air = highpass(voice.noise(num), 2500) * np.exp(-np.linspace(0, 4, num))
        return unit_peak(fade(air, 0.01))

    return unit_peak(engine) + 0.6 * repeat(voice, num_samples, hiss, gap_s, start_s=0.4)


def motorcycle(voice: Voice, num_samples: int) -> Signal:
    """Revving: a bright, fast, rasping engine that races up and down between 75 and 270 Hz."""
    idle, snarl = voice.uniform(75, 115), voice.uniform(2.8, 3.4)
    firing = _revs(voice, idle, 2.3 * idle, num_samples, 2.2)
    engine = np.tanh(2 * unit_peak(_engine(voice, firing, 9, 0.8)))
    stroke = 1 + 0.4 * sawtooth(firing / snarl)
    return lowpass(engine * stroke, 3500)


def train(voice: Voice, num_samples: int) -> Signal:
    """Steam: puffs of noise a few times a second under a four-note whistle."""
    puffs = voice.uniform(2.8, 5.5)
    pitch = voice.uniform(430, 620)
    gap_s = voice.uniform(0.25, 0.5)
    puff = np.maximum(0, sine(puffs * vibrato(0.2, 0.1, num_samples))) ** 2
    steam = bandpass(voice.noise(num_samples), 250, 2800) * puff

    def whistle() -> Signal:
        num = samples(voice.rng.uniform(0.6, 1.2))
        frequency = pitch * vibrato(5, 0.003, num)
        chord = [harmonics(note * frequency, [1, 0.4]) for note in (1, 1.26, 1.5, 1.89)]
        breath = 0.5 * bandpass(voice.noise(num), pitch, 3 * pitch)
        return unit_peak(fade(np.sum(chord, axis=0) + breath, 0.05))

    return 0.7 * unit_peak(steam) + 0.6 * repeat(voice, num_samples, whistle, gap_s, start_s=0.5)


def helicopter(voice: Voice, num_samples: int) -> Signal:
    """Rotor: low noise chopped ten to eighteen times a second, and a faint turbine."""
    rate, sharpness = voice.uniform(9.5, 18), voice.uniform(4, 8)
    depth, turbine = voice.uniform(500, 1100), voice.uniform(1500, 2600)
    chop = np.exp(-sharpness * (cycles(rate * vibrato(0.3, 0.02, num_samples)) % 1))
    thump = unit_peak(lowpass(voice.noise(num_samples), depth) * chop)
    air = 0.12 * bandpass(voice.noise(num_samples), 900, 4000) * (0.3 + chop)
    return thump + air + 0.03 * sine(steady(turbine, num_samples))


def airplane(voice: Voice, num_samples: int) -> Signal:
    """Jet: a steady broad roar with a high, slowly drifting whine of two tones."""
    whine, roar = voice.uniform(1800, 3200), voice.uniform(1200, 2500)
    swelling = vibrato(voice.rng.uniform(0.1, 0.4), 0.3, num_samples)
    noise = lowpass(voice.noise(num_samples), roar, order=1) * swelling
    frequency = whine * vibrato(voice.rng.uniform(0.1, 0.3), 0.08, num_samples)
    return unit_peak(noise) + 0.18 * (sine(frequency) + 0.5 * sine(1.52 * frequency))


def ambulance(voice: Voice, num_samples: int) -> Signal:
    """Siren: a bright tone that alternates, wails or yelps between two pitches."""
    low = voice.uniform(440, 640)
    ratio = voice.uniform(1.4, 1.9)
    pace = voice.uniform(0.8, 1.25)
    turns = pace * clock(num_samples) + voice.rng.uniform()
    sweeps = (
        (2 * turns % 2 >= 1).astype(np.float64),  # two-tone
        0.5 - 0.5 * np.cos(2 * np.pi * 0.7 * turns),  # wail
        3.4 * turns % 1,  # yelp
    )
    sweep = sweeps[voice.rng.integers(len(sweeps))]
    return harmonics(low * (1 + (ratio - 1) * sweep), [1, 0.5, 0.45, 0.25, 0.2, 0.1])


def tractor(voice: Voice, num_samples: int) -> Signal:
    """Putt-putt: separate explosions of one big cylinder, ten to sixteen a second."""
    rate, thud_pitch = voice.uniform(9, 15), voice.uniform(75, 120)
    wander = 1 + 0.06 * lowpass(voice.noise(num_samples), 8)
    starts = pulses(rate * wander)
    times = clock(samples(0.06))
    thud = np.exp(-70 * times) * np.sin(2 * np.pi * thud_pitch * times)
    thuds = scipy.signal.oaconvolve(starts, thud)[:num_samples]
    exhaust = scipy.signal.oaconvolve(starts, np.exp(-60 * times))[:num_samples]
    exhaust = exhaust * bandpass(voice.noise(num_samples), 200, 1800)
    return unit_peak(thuds) + 0.6 * unit_peak(exhaust) + 0.02 * voice.noise(num_samples)


def boat(voice: Voice, num_samples: int) -> Signal:
    """Fog horn: long blasts of two low tones over the wash of waves."""
    pitch = voice.uniform(85, 155)
    length = voice.uniform(0.9, 1.8)
    gap_s = voice.uniform(0.2, 0.45)
    waves = vibrato(voice.rng.uniform(0.3, 0.8), 0.8, num_samples)
    wash = bandpass(voice.noise(num_samples), 300, 1500) * waves

    def blast() -> Signal:
        num = samples(length * voice.jitter(0.15))
        tones = harmonics(steady(pitch, num), rolloff(12, 0.5))
        tones += 0.5 * harmonics(steady(1.26 * pitch, num), rolloff(9, 0.5))
        return unit_peak(lowpass(tones, 1200) * envelope(num, 0.08, 0.08))

    return 0.3 * unit_peak(wash) + repeat(voice, num_samples, blast, gap_s)
