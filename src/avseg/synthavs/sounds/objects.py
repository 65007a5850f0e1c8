"""Sounds of objects: instruments, then vehicles, then other objects.

The random parameters of an individual are drawn first; nested functions synthesize one note or one
event, with small variations. Frequencies are in Hz, times in seconds.
"""

import numpy as np
import scipy.signal  # type: ignore[import-untyped]

from avseg.synthavs.sounds.signal import (
    SAMPLE_RATE,
    ParameterSampler,
    Signal,
    bandpass,
    clock,
    cycles,
    envelope,
    fade,
    formants,
    glide,
    harmonics,
    highpass,
    lowpass,
    melody,
    noisy_sine,
    pulses,
    repeat,
    ringing,
    rolloff,
    samples,
    sawtooth,
    sine,
    steady,
    unit_peak,
    vibrato,
)

# Instruments: each plays a random tune of its own notes.


def guitar(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize plucked strings: bright at first, with high harmonics that decay quickly."""
    root, beat_s = sampler.uniform(43, 56), sampler.uniform(0.22, 0.4)
    place, damping = sampler.uniform(0.12, 0.25), sampler.uniform(0.35, 0.8)
    chord_size = int(sampler.rng.choice([1, 1, 3]))
    # A string plucked at some fraction of its length lacks the harmonics with a node there.
    amplitudes = [np.sin(np.pi * k * place) / k**0.7 for k in range(1, 26)]

    def pluck(frequency: float, _: float) -> Signal:
        num = samples(1.0)
        string = ringing(frequency, amplitudes, 1.5, damping, num)
        return unit_peak(string * envelope(num, 0.002, 0.05))

    return melody(sampler, num_samples, pluck, root, beat_s, chord_size)


def piano(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize struck strings: a soft hammer noise and pairs of slightly detuned strings."""
    root, beat_s = sampler.uniform(57, 69), sampler.uniform(0.2, 0.42)
    decay, brightness = sampler.uniform(1.8, 3.2), sampler.uniform(0.45, 0.65)
    detuning = sampler.uniform(1.0008, 1.002)
    chord_size = int(sampler.rng.choice([1, 2]))
    amplitudes = [brightness**k for k in range(10)]

    def strike(frequency: float, _: float) -> Signal:
        num, knock = samples(1.1), samples(0.02)
        strings = ringing(frequency, amplitudes, decay, decay / 4, num)
        # A note has several strings of slightly different pitch, whose sum beats slowly.
        strings += 0.7 * ringing(frequency * detuning, amplitudes, decay, decay / 4, num)
        strings[:knock] += (
            0.3 * bandpass(sampler.noise(knock), 300, 3000) * np.linspace(1, 0, knock)
        )
        return unit_peak(strings * envelope(num, 0.004, 0.05))

    return melody(sampler, num_samples, strike, root, beat_s, chord_size)


def violin(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize a bowed string: a sawtooth with slow attack, vibrato and body resonances."""
    root, beat_s = sampler.uniform(61, 71), sampler.uniform(0.35, 0.65)
    rate, depth = sampler.uniform(5, 6.8), sampler.uniform(0.007, 0.014)
    body = [
        # Wood resonances near 0.5 and 1 kHz, and the "bridge hill" near 2.7 kHz.
        (sampler.uniform(430, 520), 120, 0.6),
        (sampler.uniform(900, 1200), 200, 0.6),
        (sampler.uniform(2400, 3100), 500, 0.9),
    ]

    def bow(frequency: float, duration_s: float) -> Signal:
        num = samples(1.05 * duration_s)
        late = np.minimum(1, 4 * clock(num))  # the vibrato sets in during the first 0.25 s
        swing = 1 + depth * late * np.sin(2 * np.pi * rate * clock(num))
        string = sawtooth(frequency * swing) + 0.05 * sampler.noise(num)
        return unit_peak(
            (0.4 * string + formants(string, body)) * envelope(num, 0.07, 0.06, sustain=0.9)
        )

    return melody(sampler, num_samples, bow, root, beat_s)


def trumpet(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize brass: tongued notes whose harmonics around 1.4 kHz grow with loudness."""
    root, beat_s = sampler.uniform(60, 69), sampler.uniform(0.2, 0.42)
    brassiness, centre = sampler.uniform(0.8, 1.1), sampler.uniform(1250, 1600)

    def blow(frequency: float, duration_s: float) -> Signal:
        num = samples(0.9 * duration_s)
        loudness = envelope(num, 0.035, 0.05, sustain=0.8)
        amplitudes = (
            # Louder brass is brighter: higher harmonics grow faster with the loudness.
            loudness ** (1 + 0.28 * k * brassiness)
            * np.exp(-(((k * frequency - centre) / 2000) ** 2))
            for k in range(1, 15)
        )
        return unit_peak(harmonics(frequency * vibrato(5.5, 0.004, num), amplitudes))

    return melody(sampler, num_samples, blow, root, beat_s)


def saxophone(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize a reed: low notes that start flat, overdriven and growling, with breath noise."""
    root, beat_s = sampler.uniform(47, 58), sampler.uniform(0.25, 0.48)
    growl, drive = sampler.uniform(0.05, 0.35), sampler.uniform(1.3, 1.8)
    body = [(sampler.uniform(570, 670), 220, 1.0), (1250, 260, 0.6), (2600, 400, 0.3)]
    reed = [1, 0.9, 0.75, 0.6, 0.35, 0.3, 0.22, 0.16, 0.1, 0.08]

    def blow(frequency: float, duration_s: float) -> Signal:
        num = samples(0.97 * duration_s)
        scoop = vibrato(4.8, 0.008, num) - 0.04 * np.exp(-25 * clock(num))
        excitation = np.tanh(drive * harmonics(frequency * scoop, reed)) * vibrato(65, growl, num)
        excitation += 0.15 * bandpass(sampler.noise(num), 700, 4000)
        return unit_peak(formants(excitation, body) * envelope(num, 0.05, 0.07, sustain=0.85))

    return melody(sampler, num_samples, blow, root, beat_s)


def drum(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize a drum kit: kicks and snares on a grid of sixteenths, one on every beat."""
    tempo = sampler.uniform(95, 165)
    kick_pitch = sampler.uniform(55, 105)
    snare_pitch = sampler.uniform(165, 235)
    num = samples(0.22)
    times = clock(num)
    drop = 1 + 1.5 * np.exp(-40 * times)
    kick = unit_peak(sine(kick_pitch * drop) * np.exp(-18 * times))
    rattle = 0.9 * highpass(sampler.noise(num), 1200) * np.exp(-26 * times)
    snare = unit_peak(sine(snare_pitch * drop) * np.exp(-22 * times) + rattle)
    pattern = sampler.rng.random((2, 16)) < np.array(
        [[0.3], [0.35]]
    )  # (kick and snare, sixteenths)
    # The kick is on beats 1 and 3, the snare on beats 2 and 4; other hits are random.
    pattern[0, ::8] = True
    pattern[1, 4::8] = True

    track = np.zeros(num_samples + num)
    # A sixteenth is a quarter of a beat: 60 / tempo / 4 seconds.
    for place, at in enumerate(range(0, num_samples, samples(15 / tempo))):
        for struck, hit in zip(pattern[:, place % 16], (kick, snare), strict=True):
            track[at : at + num] += struck * sampler.rng.uniform(0.7, 1) * hit
    return track[:num_samples]


def accordion(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize free reeds: steady chords, each note three slightly detuned reeds."""
    root, beat_s = sampler.uniform(57, 66), sampler.uniform(0.25, 0.48)
    detuning, bellows = sampler.uniform(0.005, 0.009), sampler.uniform(3, 5)
    chord_size = int(sampler.rng.choice([2, 3]))
    reed = rolloff(12, sampler.uniform(0.7, 0.9))

    def squeeze(frequency: float, duration_s: float) -> Signal:
        num = samples(1.02 * duration_s)
        ranks = [
            harmonics(steady(frequency * rank, num), reed)
            # Two reeds that beat against each other, and one an octave below.
            for rank in (1 - detuning, 1 + detuning, 0.5)
        ]
        tone = np.sum(ranks, axis=0) * vibrato(bellows, 0.05, num)
        return unit_peak(tone * envelope(num, 0.04, 0.04))

    return melody(sampler, num_samples, squeeze, root, beat_s, chord_size)


# Vehicles: an engine or rotor that runs throughout, and horns, hisses or whistles over it.


def _engine(
    sampler: ParameterSampler, firing: Signal, num_harmonics: int, roughness: float
) -> Signal:
    """Synthesize an engine: overdriven harmonics of the firing rate, and noise in its rhythm."""
    frequency = firing * sampler.drift(len(firing), 0.01, 20)
    strengths = sampler.rng.uniform(0.4, 1.0, num_harmonics) * rolloff(num_harmonics, 0.5)
    # `tanh` clips the waveform softly, which adds the harsh harmonics of explosions.
    combustion = np.tanh(2 * harmonics(frequency, strengths))
    return combustion + roughness * sampler.noise(len(firing)) * (1 + 0.7 * sine(frequency))


def _revs(
    sampler: ParameterSampler, low: float, high: float, num_samples: int, rate: float
) -> Signal:
    """Draw a firing rate that varies between two limits, with `rate` values per second."""
    return glide(
        sampler.rng.uniform(low, high, int(num_samples / SAMPLE_RATE * rate) + 3), num_samples
    )


def car(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize an engine hum around 80 Hz with honks of two square tones a third apart."""
    idle = sampler.uniform(55, 85)
    horn = sampler.uniform(370, 480)
    third = sampler.uniform(1.2, 1.3)
    gap_s = sampler.uniform(0.2, 0.45)
    engine = lowpass(
        _engine(sampler, _revs(sampler, idle, 1.3 * idle, num_samples, 1.2), 6, 0.5), 900
    )

    def honk() -> Signal:
        num = samples(sampler.rng.uniform(0.2, 0.5))
        # A square wave has odd harmonics only, with amplitudes of 1 / order.
        square = [order % 2 / order for order in range(1, 10)]
        tones = harmonics(steady(horn, num), square)
        tones += 0.9 * harmonics(steady(horn * third, num), square)
        return unit_peak(fade(tones, 0.01))

    return 0.4 * unit_peak(engine) + repeat(sampler, num_samples, honk, gap_s)


def bus(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize a diesel engine: a knocking rumble at 30 Hz, with hisses of the air brake."""
    idle, gap_s = sampler.uniform(22, 32), sampler.uniform(0.3, 0.5)
    engine = lowpass(
        _engine(sampler, _revs(sampler, idle, 1.2 * idle, num_samples, 0.6), 12, 1.2), 420
    )

    def hiss() -> Signal:
        num = samples(sampler.rng.uniform(0.4, 0.8))
        air = highpass(sampler.noise(num), 2500) * np.exp(-np.linspace(0, 4, num))
        return unit_peak(fade(air, 0.01))

    return unit_peak(engine) + 0.6 * repeat(sampler, num_samples, hiss, gap_s, start_s=0.4)


def motorcycle(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize a revving engine: bright and rasping, between 75 and 270 Hz."""
    idle, snarl = sampler.uniform(75, 115), sampler.uniform(2.8, 3.4)
    firing = _revs(sampler, idle, 2.3 * idle, num_samples, 2.2)
    engine = np.tanh(2 * unit_peak(_engine(sampler, firing, 9, 0.8)))
    stroke = 1 + 0.4 * sawtooth(firing / snarl)
    return lowpass(engine * stroke, 3500)


def train(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize a steam engine: a few puffs of noise per second and a four-note whistle."""
    puffs = sampler.uniform(2.8, 5.5)
    pitch = sampler.uniform(430, 620)
    gap_s = sampler.uniform(0.25, 0.5)
    puff = np.maximum(0, sine(puffs * vibrato(0.2, 0.1, num_samples))) ** 2
    steam = bandpass(sampler.noise(num_samples), 250, 2800) * puff

    def whistle() -> Signal:
        num = samples(sampler.rng.uniform(0.6, 1.2))
        frequency = pitch * vibrato(5, 0.003, num)
        # A major seventh chord: 4, 7 and 11 semitones above the root.
        chord = [harmonics(note * frequency, [1, 0.4]) for note in (1, 1.26, 1.5, 1.89)]
        breath = 0.5 * bandpass(sampler.noise(num), pitch, 3 * pitch)
        return unit_peak(fade(np.sum(chord, axis=0) + breath, 0.05))

    return 0.7 * unit_peak(steam) + 0.6 * repeat(sampler, num_samples, whistle, gap_s, start_s=0.5)


def helicopter(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize a rotor: low noise pulsed 10 to 18 times a second, and a faint turbine."""
    rate, sharpness = sampler.uniform(9.5, 18), sampler.uniform(4, 8)
    depth, turbine = sampler.uniform(500, 1100), sampler.uniform(1500, 2600)
    # Each blade gives a sharp pulse that decays until the next one.
    chop = np.exp(-sharpness * (cycles(rate * vibrato(0.3, 0.02, num_samples)) % 1))
    thump = unit_peak(lowpass(sampler.noise(num_samples), depth) * chop)
    air = 0.12 * bandpass(sampler.noise(num_samples), 900, 4000) * (0.3 + chop)
    return thump + air + 0.03 * sine(steady(turbine, num_samples))


def airplane(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize a jet: a steady broadband roar and a high, slowly varying whine of two tones."""
    whine, roar = sampler.uniform(1800, 3200), sampler.uniform(1200, 2500)
    swelling = vibrato(sampler.rng.uniform(0.1, 0.4), 0.3, num_samples)
    noise = lowpass(sampler.noise(num_samples), roar, order=1) * swelling
    frequency = whine * vibrato(sampler.rng.uniform(0.1, 0.3), 0.08, num_samples)
    return unit_peak(noise) + 0.18 * (sine(frequency) + 0.5 * sine(1.52 * frequency))


def ambulance(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize a siren: a bright tone that alternates, wails or yelps between two pitches."""
    low = sampler.uniform(440, 640)
    ratio = sampler.uniform(1.4, 1.9)
    pace = sampler.uniform(0.8, 1.25)
    turns = pace * clock(num_samples) + sampler.rng.uniform()
    sweeps = (
        (2 * turns % 2 >= 1).astype(np.float64),  # two-tone
        0.5 - 0.5 * np.cos(2 * np.pi * 0.7 * turns),  # wail
        3.4 * turns % 1,  # yelp
    )
    sweep = sweeps[sampler.rng.integers(len(sweeps))]
    return harmonics(low * (1 + (ratio - 1) * sweep), [1, 0.5, 0.45, 0.25, 0.2, 0.1])


def tractor(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize a one-cylinder engine: separate explosions, 9 to 15 per second."""
    rate, thud_pitch = sampler.uniform(9, 15), sampler.uniform(75, 120)
    wander = 1 + 0.06 * lowpass(sampler.noise(num_samples), 8)
    starts = pulses(rate * wander)
    times = clock(samples(0.06))
    thud = np.exp(-70 * times) * np.sin(2 * np.pi * thud_pitch * times)
    # Convolution with the pulses places one thud at each explosion.
    thuds = scipy.signal.oaconvolve(starts, thud)[:num_samples]
    exhaust = scipy.signal.oaconvolve(starts, np.exp(-60 * times))[:num_samples]
    exhaust = exhaust * bandpass(sampler.noise(num_samples), 200, 1800)
    return unit_peak(thuds) + 0.6 * unit_peak(exhaust) + 0.02 * sampler.noise(num_samples)


def boat(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize a fog horn: long blasts of two low tones over the noise of waves."""
    pitch = sampler.uniform(85, 155)
    length = sampler.uniform(0.9, 1.8)
    gap_s = sampler.uniform(0.2, 0.45)
    waves = vibrato(sampler.rng.uniform(0.3, 0.8), 0.8, num_samples)
    wash = bandpass(sampler.noise(num_samples), 300, 1500) * waves

    def blast() -> Signal:
        num = samples(length * sampler.jitter(0.15))
        tones = harmonics(steady(pitch, num), rolloff(12, 0.5))
        # 1.26 is a major third.
        tones += 0.5 * harmonics(steady(1.26 * pitch, num), rolloff(9, 0.5))
        return unit_peak(lowpass(tones, 1200) * envelope(num, 0.08, 0.08))

    return 0.3 * unit_peak(wash) + repeat(sampler, num_samples, blast, gap_s)


# Other objects.

#: Partials of a church bell, relative to its strike note: hum, prime, tierce (a minor third),
#: quint, nominal, and higher ones.
_BELL_PARTIALS = (0.5, 1.0, 1.19, 1.5, 2.0, 2.51, 2.66, 3.01, 4.1)


def bell(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize a church bell: slow strokes of inharmonic partials that overlap."""
    pitch = sampler.uniform(300, 740)
    decay = sampler.uniform(1.2, 2.2)
    interval = sampler.uniform(0.6, 0.95)
    num = samples(2.5)
    times = clock(num)
    stroke = np.zeros(num)
    for partial in _BELL_PARTIALS:
        strength = sampler.rng.uniform(0.4, 1.0)
        # Higher partials of a bell decay faster.
        ring = np.exp(-times * decay * (0.6 + 0.5 * partial))
        stroke += strength * np.sin(2 * np.pi * pitch * partial * times) * ring
    clapper = samples(0.025)
    stroke[:clapper] += 0.3 * sampler.noise(clapper) * np.linspace(1, 0, clapper)

    track = np.zeros(num_samples + num)
    first = samples(sampler.rng.uniform(0, 0.1))
    for at in range(first, num_samples, samples(interval)):
        track[at : at + num] += sampler.rng.uniform(0.75, 1) * stroke
    return track[:num_samples]


def telephone(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize an old telephone: a clapper that beats two small high bells in turn."""
    low, high = sampler.uniform(1080, 1480), sampler.uniform(1620, 2080)
    beats = sampler.uniform(18, 26)
    length = sampler.uniform(0.5, 1.0)
    gap_s = sampler.uniform(0.2, 0.45)

    def ring() -> Signal:
        num = samples(length)
        turns = cycles(steady(beats, num))
        # The second partial of a gong is not a multiple of the first.
        gongs = [sine(steady(f, num)) + 0.4 * sine(steady(2.76 * f, num)) for f in (low, high)]
        struck = np.where(np.floor(turns) % 2 > 0, *gongs)
        return unit_peak(fade(struck * np.exp(-3 * (turns % 1)), 0.01))

    return repeat(sampler, num_samples, ring, gap_s)


def clock_ticks(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize a clock: clicks of a few milliseconds at an even pace, tick higher than tock."""
    rate, pitch = sampler.uniform(2.0, 4.2), sampler.uniform(1800, 3800)
    ticks = [
        # Both clicks are synthesized once: a clock repeats the same two.
        unit_peak(noisy_sine(sampler, pitch * lower, decay=190, duration_s=0.035))
        for lower in (1.0, 0.78)
    ]
    track = np.zeros(num_samples + samples(0.05))
    first = samples(sampler.rng.uniform(0, 0.1))
    for number, at in enumerate(range(first, num_samples, samples(1 / rate))):
        tick = ticks[number % 2]
        track[at : at + len(tick)] += sampler.rng.uniform(0.85, 1) * tick
    return track[:num_samples]


def gun(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize shots: a crack of white noise and a blast of low noise, single or in bursts."""
    decay = sampler.uniform(12, 28)
    darkness = sampler.uniform(600, 2400)
    gap_s = sampler.uniform(0.0, 0.4)

    def shot() -> Signal:
        num = samples(0.3)
        times = clock(num)
        crack = sampler.noise(num) * np.exp(-3 * decay * times)
        blast = 2 * lowpass(sampler.noise(num), darkness) * np.exp(-0.6 * decay * times)
        thump = 0.8 * np.sin(2 * np.pi * 80 * times) * np.exp(-25 * times)
        return unit_peak((crack + blast + thump) * envelope(num, 0.001, 0.05))

    return repeat(sampler, num_samples, shot, gap_s)
