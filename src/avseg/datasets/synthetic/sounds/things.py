"""Things that ring, tick and bang."""

import numpy as np

from avseg.datasets.synthetic.sounds.signal import (
    Signal,
    Voice,
    clock,
    cycles,
    envelope,
    fade,
    lowpass,
    noisy_sine,
    repeat,
    samples,
    sine,
    steady,
    unit_peak,
)

#: Partials of a church bell, relative to its strike note.
_BELL_PARTIALS = (0.5, 1.0, 1.19, 1.5, 2.0, 2.51, 2.66, 3.01, 4.1)


def bell(voice: Voice, num_samples: int) -> Signal:
    """Church bell: slow strokes of inharmonic partials that ring on into each other."""
    pitch = voice.uniform(300, 740)
    decay = voice.uniform(1.2, 2.2)
    interval = voice.uniform(0.6, 0.95)
    num = samples(2.5)
    times = clock(num)
    stroke = np.zeros(num)
    for partial in _BELL_PARTIALS:
        strength = voice.rng.uniform(0.4, 1.0)
        ring = np.exp(-times * decay * (0.6 + 0.5 * partial))
        stroke += strength * np.sin(2 * np.pi * pitch * partial * times) * ring
    clapper = samples(0.025)
    stroke[:clapper] += 0.3 * voice.noise(clapper) * np.linspace(1, 0, clapper)

    track = np.zeros(num_samples + num)
    first = samples(voice.rng.uniform(0, 0.1))
    for at in range(first, num_samples, samples(interval)):
        track[at : at + num] += voice.rng.uniform(0.75, 1) * stroke
    return track[:num_samples]


def telephone(voice: Voice, num_samples: int) -> Signal:
    """Old telephone: a clapper beating two small high bells in turn, ring and pause."""
    low, high = voice.uniform(1080, 1480), voice.uniform(1620, 2080)
    beats = voice.uniform(18, 26)
    length = voice.uniform(0.5, 1.0)
    gap_s = voice.uniform(0.2, 0.45)

    def ring() -> Signal:
        num = samples(length)
        turns = cycles(steady(beats, num))
        gongs = [sine(steady(f, num)) + 0.4 * sine(steady(2.76 * f, num)) for f in (low, high)]
        struck = np.where(np.floor(turns) % 2 > 0, *gongs)
        return unit_peak(fade(struck * np.exp(-3 * (turns % 1)), 0.01))

    return repeat(voice, num_samples, ring, gap_s)


def clock_ticks(voice: Voice, num_samples: int) -> Signal:
    """Clock: dry clicks of a few milliseconds, tick higher than tock, at an even pace."""
    rate, pitch = voice.uniform(2.0, 4.2), voice.uniform(1800, 3800)
    ticks = [
        unit_peak(noisy_sine(voice, pitch * lower, decay=190, duration_s=0.035))
        for lower in (1.0, 0.78)
    ]
    track = np.zeros(num_samples + samples(0.05))
    first = samples(voice.rng.uniform(0, 0.1))
    for number, at in enumerate(range(first, num_samples, samples(1 / rate))):
        tick = ticks[number % 2]
        track[at : at + len(tick)] += voice.rng.uniform(0.85, 1) * tick
    return track[:num_samples]


def gun(voice: Voice, num_samples: int) -> Signal:
    """Shots: a crack of white noise, a blast of low noise behind it, single or in bursts."""
    decay = voice.uniform(12, 28)
    darkness = voice.uniform(600, 2400)
    gap_s = voice.uniform(0.0, 0.4)

    def shot() -> Signal:
        num = samples(0.3)
        times = clock(num)
        crack = voice.noise(num) * np.exp(-3 * decay * times)
        blast = 2 * lowpass(voice.noise(num), darkness) * np.exp(-0.6 * decay * times)
        thump = 0.8 * np.sin(2 * np.pi * 80 * times) * np.exp(-25 * times)
        return unit_peak((crack + blast + thump) * envelope(num, 0.001, 0.05))

    return repeat(voice, num_samples, shot, gap_s)
