"""Sounds of voices: animals, then people.

Most sounds follow the source-filter model: an excitation (tone, buzz or noise) is filtered by the
resonances of a throat. The random parameters of an individual are drawn first; nested functions
synthesize one call, with small variations. Frequencies are in Hz, times in seconds.
"""

import numpy as np

from avseg.synthavs.sounds.signal import (
    SAMPLE_RATE,
    ParameterSampler,
    Signal,
    bandpass,
    clock,
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
    rolloff,
    samples,
    sawtooth,
    sine,
    swell,
    unit_peak,
    vibrato,
)

# Animals.


def dog(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize barks: short rough buzzes whose pitch jumps up and falls."""
    pitch = sampler.uniform(280, 620)
    length = sampler.uniform(0.10, 0.19)
    gap_s = sampler.uniform(0.14, 0.42)
    throat = [
        (pitch * sampler.uniform(1.6, 2.2), 150, 1.0),
        (sampler.uniform(1300, 1900), 220, 0.6),
        (sampler.uniform(2500, 3200), 300, 0.35),
    ]

    def bark() -> Signal:
        num = samples(length * sampler.jitter(0.15))
        frequency = pitch * glide([0.75, 1.25, 0.7], num) * sampler.drift(num, 0.03, 8)
        excitation = sawtooth(frequency) + 0.45 * sampler.noise(num)
        return unit_peak(formants(excitation, throat) * envelope(num, 0.008, 0.05, sustain=0.5))

    return repeat(sampler, num_samples, bark, gap_s)


def cat(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize meows: a clear tone that bends up and down while its vowel opens and closes."""
    pitch = sampler.uniform(450, 780)
    length = sampler.uniform(0.5, 0.9)
    gap_s = sampler.uniform(0.15, 0.4)
    tremor, mouth = sampler.uniform(5, 8), sampler.uniform(0.9, 1.1)

    def meow() -> Signal:
        num = samples(length * sampler.jitter(0.15))
        bend = glide([0.8, 1.15, 1.1, 0.75], num) * vibrato(tremor, 0.012, num)
        excitation = harmonics(pitch * bend * sampler.drift(num, 0.01, 8), rolloff(13, 1.05))
        # The mouth opens and closes: a mixture of two vowels.
        openness = swell(num, 0.7)
        closed = formants(excitation, [(900 * mouth, 200, 1.0), (2700 * mouth, 300, 0.5)])
        opened = formants(excitation, [(1600 * mouth, 250, 1.0), (3200 * mouth, 300, 0.7)])
        vowel = closed * (1 - openness) + opened * openness
        return unit_peak((vowel + 0.02 * sampler.noise(num)) * openness)

    return repeat(sampler, num_samples, meow, gap_s)


def lion(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize roars: a long, very low buzz modulated by noise, with little above 1.5 kHz."""
    pitch = sampler.uniform(55, 100)
    length = sampler.uniform(0.9, 1.6)
    gap_s = sampler.uniform(0.1, 0.35)
    throat = [
        (sampler.uniform(220, 320), 120, 1.0),
        (sampler.uniform(550, 750), 180, 0.7),
        (sampler.uniform(1200, 1500), 300, 0.25),
    ]

    def roar() -> Signal:
        num = samples(length * sampler.jitter(0.2))
        frequency = pitch * glide([0.8, 1.25, 1.0], num) * sampler.drift(num, 0.09, 30)
        # Slow noise modulates the amplitude, which makes a tone rough.
        tearing = 1 + 4.8 * np.abs(lowpass(sampler.noise(num), 60))
        # At least 20 Hz, because the strong drift could make the frequency negative.
        excitation = sawtooth(np.maximum(frequency, 20)) * tearing + 0.9 * sampler.noise(num)
        return unit_peak(fade(formants(excitation, throat) * swell(num, 0.6), 0.03))

    return repeat(sampler, num_samples, roar, gap_s)


def horse(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize a trot: hollow hoof beats in uneven pairs, sometimes with a neigh."""
    strides, hoof_pitch = sampler.uniform(1.8, 3.0), sampler.uniform(700, 1300)
    pitch, tremor = sampler.uniform(650, 1000), sampler.uniform(9, 13)
    neighing = sampler.rng.uniform(0.15, 0.5)

    def trot() -> Signal:
        # Two hoof beats per stride, the second after a third of it.
        num = samples(1 / strides * sampler.jitter(0.05))
        stride = np.zeros(num + samples(0.1))
        for at in (0.0, 0.33):
            hoof = noisy_sine(sampler, hoof_pitch * sampler.jitter(0.12), decay=75, duration_s=0.09)
            start = int(at * num)
            stride[start : start + len(hoof)] += sampler.rng.uniform(0.6, 1) * hoof
        return unit_peak(stride[:num])

    def neigh() -> Signal:
        num = samples(sampler.rng.uniform(0.8, 1.2))
        frequency = pitch * glide([0.8, 1.25, 1.0, 0.55], num) * vibrato(tremor, 0.09, num)
        excitation = harmonics(frequency, rolloff(9, 0.9)) + 0.15 * sampler.noise(num)
        vowel = formants(
            excitation * vibrato(tremor, 0.5, num), [(1100, 300, 1.0), (2300, 400, 0.6)]
        )
        return unit_peak(vowel * envelope(num, 0.05, 0.3, sustain=0.85))

    def either() -> Signal:
        return neigh() if sampler.rng.random() < neighing / 3 else trot()

    return repeat(sampler, num_samples, either, gap_s=0.01)


def bird(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize birdsong: phrases of pure whistled chirps between 2 and 6 kHz."""
    pitch, length = sampler.uniform(2600, 5000), sampler.uniform(0.05, 0.15)
    bend, gap_s = sampler.uniform(-0.35, 0.4), sampler.uniform(0.1, 0.4)
    num_chirps = int(sampler.rng.integers(2, 7))
    trill = sampler.rng.choice([0.0, 0.05])

    def chirp() -> Signal:
        num = samples(length * sampler.jitter(0.2))
        frequency = pitch * sampler.jitter(0.03) * glide([1, 1 + bend, 1 + 0.2 * bend], num)
        return sine(frequency * vibrato(30, trill, num)) * swell(num)

    def phrase() -> Signal:
        pause = np.zeros(samples(sampler.rng.uniform(0.02, 0.07)))
        return np.concatenate([piece for _ in range(num_chirps) for piece in (chirp(), pause)])

    return repeat(sampler, num_samples, phrase, gap_s)


def rooster(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize crowing: three short notes and a long one that rises and falls."""
    pitch = sampler.uniform(480, 780)
    tempo = sampler.uniform(0.85, 1.15)
    gap_s = sampler.uniform(0.15, 0.4)
    throat = [(sampler.uniform(950, 1050), 200, 1.0), (1900, 260, 0.9), (3100, 300, 0.4)]

    def note(length: float, bends: list[float]) -> Signal:
        num = samples(length * tempo)
        frequency = pitch * glide(bends, num) * sampler.drift(num, 0.015, 8)
        excitation = harmonics(frequency, rolloff(12, 0.6)) + 0.12 * sampler.noise(num)
        return unit_peak(formants(excitation, throat) * envelope(num, 0.02, 0.06, sustain=0.9))

    def crow() -> Signal:
        pause = np.zeros(samples(0.05))
        notes = [
            note(0.16, [0.8, 1.0]),
            note(0.13, [1.0, 1.05]),
            note(0.3, [1.1, 1.3, 1.2]),
            note(0.7, [1.2, 1.35, 1.1, 0.75]),
        ]
        return np.concatenate([piece for sound in notes for piece in (sound, pause)])

    return repeat(sampler, num_samples, crow, gap_s)


def cow(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize moos: a long low tone whose dark vowel opens towards the end."""
    pitch = sampler.uniform(105, 185)
    length = sampler.uniform(0.9, 1.5)
    gap_s = sampler.uniform(0.2, 0.4)
    vowel = sampler.uniform(350, 480)

    def moo() -> Signal:
        num = samples(length * sampler.jitter(0.15))
        frequency = pitch * glide([0.85, 1.1, 1.08, 0.8], num) * sampler.drift(num, 0.012, 8)
        excitation = harmonics(frequency, rolloff(22, 0.8))
        # The mouth opens gradually: a mixture of two vowels.
        openness = np.linspace(0, 1, num) ** 0.5
        closed = formants(excitation, [(vowel * 0.6, 80, 1.0), (900, 200, 0.15)])
        opened = formants(
            excitation, [(vowel * 1.3, 110, 1.0), (1050, 200, 0.5), (2300, 300, 0.15)]
        )
        mixed = closed * (1 - openness) + opened * openness
        return unit_peak(mixed * envelope(num, 0.1, 0.2, sustain=0.9))

    return repeat(sampler, num_samples, moo, gap_s)


def sheep(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize bleats: a nasal tone that shakes strongly, about eight times a second."""
    pitch, shake = sampler.uniform(260, 450), sampler.uniform(6.5, 10)
    length, gap_s = sampler.uniform(0.6, 1.1), sampler.uniform(0.15, 0.4)
    throat = [(750, 180, 1.0), (sampler.uniform(1600, 1800), 220, 0.8), (2700, 300, 0.4)]

    def bleat() -> Signal:
        num = samples(length * sampler.jitter(0.15))
        frequency = pitch * glide([1.0, 1.04, 0.88], num) * vibrato(shake, 0.03, num)
        excitation = harmonics(frequency * sampler.drift(num, 0.015, 8), rolloff(16, 0.55))
        shaken = formants(excitation, throat) * vibrato(shake, 0.8, num)
        return unit_peak(shaken * envelope(num, 0.05, 0.12, sustain=0.9))

    return repeat(sampler, num_samples, bleat, gap_s)


def pig(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize grunts: quick, rough snorts of buzz and noise with a nasal band on top."""
    pitch = sampler.uniform(110, 210)
    nose = sampler.uniform(950, 1500)
    gap_s = sampler.uniform(0.04, 0.18)
    throat = [(sampler.uniform(350, 500), 150, 0.7), (nose, 200, 1.0), (nose * 1.9, 350, 0.5)]

    def grunt() -> Signal:
        num = samples(sampler.rng.uniform(0.14, 0.3))
        frequency = pitch * glide([0.8, 1.3, 1.0], num) * sampler.drift(num, 0.12, 60)
        tearing = 1 + 4 * lowpass(sampler.noise(num), 120)
        excitation = sawtooth(np.maximum(frequency, 20)) * tearing + 1.1 * sampler.noise(num)
        return unit_peak(formants(excitation, throat) * swell(num, 0.6))

    return repeat(sampler, num_samples, grunt, gap_s)


def duck(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize quacks: short bursts of a pulsed tone with its energy near 1.3 and 2.6 kHz."""
    pitch = sampler.uniform(190, 320)
    bill = sampler.uniform(1100, 1500)
    gap_s = sampler.uniform(0.05, 0.18)
    length = sampler.uniform(0.14, 0.21)

    def quack() -> Signal:
        num = samples(length * sampler.jitter(0.15))
        # A rolloff of 0 gives all harmonics the same amplitude, as in a train of pulses.
        excitation = harmonics(pitch * glide([1.1, 1.05, 0.85], num), rolloff(24, 0.0))
        honk = formants(excitation, [(bill, 140, 1.0), (bill * 2, 200, 0.7)])
        return unit_peak(honk * envelope(num, 0.01, 0.05, sustain=0.7))

    return repeat(sampler, num_samples, quack, gap_s)


def wolf(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize howls: a long, nearly pure tone that rises, stays and falls."""
    pitch = sampler.uniform(310, 520)
    length = sampler.uniform(1.8, 3.0)
    gap_s = sampler.uniform(0.1, 0.3)

    def howl() -> Signal:
        num = samples(length * sampler.jitter(0.1))
        bend = glide([0.75, 1.25, 1.35, 1.3, 0.9], num) * sampler.drift(num, 0.006, 5)
        tone = harmonics(pitch * bend, [1, 0.35, 0.12, 0.05]) + 0.01 * sampler.noise(num)
        return unit_peak(tone * envelope(num, 0.12, 0.35, sustain=0.9))

    return repeat(sampler, num_samples, howl, gap_s)


def elephant(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize trumpeting: an overdriven tone in broadband noise."""
    pitch = sampler.uniform(330, 540)
    gap_s = sampler.uniform(0.15, 0.4)
    drive = sampler.uniform(2.5, 3.5)

    def blast() -> Signal:
        num = samples(sampler.rng.uniform(0.6, 1.2))
        frequency = pitch * glide([0.8, 1.3, 1.4, 1.0], num) * sampler.drift(num, 0.03, 25)
        # Overdriving adds harmonics, which make the tone sound like brass.
        brass = np.tanh(drive * harmonics(frequency, rolloff(18, 0.3)))
        spray = 0.5 * bandpass(sampler.noise(num), 800, 5000)
        return unit_peak(bandpass(brass + spray, 400, 6500) * envelope(num, 0.04, 0.15))

    return repeat(sampler, num_samples, blast, gap_s)


def frog(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize croaks: two slow trains of clicks that resonate in the throat."""
    throat = sampler.uniform(450, 1000)
    creak = sampler.uniform(32, 65)
    gap_s = sampler.uniform(0.1, 0.4)
    length = sampler.uniform(0.14, 0.28)

    def croak() -> Signal:
        num = samples(length)
        clicks = pulses(creak * glide([0.9, 1.2], num))
        sound = formants(clicks, [(throat, 90, 1.0), (throat * 2.3, 150, 0.5)]) * swell(num, 0.5)
        pause = np.zeros(samples(0.05))
        # The second croak is the same sound, a little quieter.
        return unit_peak(np.concatenate([sound, pause, 0.8 * sound]))

    return repeat(sampler, num_samples, croak, gap_s)


# People.

#: First three formants in Hz of the vowels a, i, u, e, o and ae: means of men in Peterson and
#: Barney (1952).
_VOWELS = (
    (730, 1090, 2440),
    (270, 2290, 3010),
    (300, 870, 2240),
    (530, 1840, 2480),
    (570, 840, 2410),
    (660, 1720, 2410),
)


def _vowel(sampler: ParameterSampler, excitation: Signal, throat: float) -> Signal:
    """Filter an excitation to a random vowel; `throat` scales the formants, 1 for a man."""
    frequencies = _VOWELS[sampler.rng.integers(len(_VOWELS))]
    widths_and_gains = ((80, 1.0), (110, 0.55), (160, 0.25))
    return formants(
        excitation,
        [
            (frequency * throat, width, gain)
            for frequency, (width, gain) in zip(frequencies, widths_and_gains, strict=True)
        ],
    )


def baby(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize crying: a loud, bright wail that breaks, followed by a gasp for breath."""
    pitch, length = sampler.uniform(390, 550), sampler.uniform(0.5, 1.0)
    throat = [(sampler.uniform(1000, 1200), 200, 1.0), (2100, 300, 0.75), (3500, 400, 0.6)]

    def cry() -> Signal:
        num = samples(length * sampler.jitter(0.2))
        frequency = pitch * glide([0.85, 1.2, 1.15, 0.8], num) * sampler.drift(num, 0.02, 14)
        strain = 1 + lowpass(sampler.noise(num), 40)
        wail = formants(harmonics(frequency, rolloff(16, 0.45)), throat) * strain
        return unit_peak(wail * envelope(num, 0.06, 0.12, sustain=0.95))

    def gasp() -> Signal:
        num = samples(sampler.rng.uniform(0.12, 0.2))
        return 0.25 * unit_peak(fade(bandpass(sampler.noise(num), 1200, 4500), 0.03))

    def breath() -> Signal:
        return np.concatenate([cry(), np.zeros(samples(0.05)), gasp()])

    return repeat(sampler, num_samples, breath, gap_s=0.08)


def man(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize speech: syllables of changing vowels at a low pitch, with hissed consonants."""
    pitch = sampler.uniform(85, 145)
    throat = sampler.uniform(0.92, 1.02)
    pace = sampler.uniform(0.9, 1.2)

    def syllable() -> Signal:
        num = samples(pace * sampler.rng.uniform(0.12, 0.24))
        tune = glide([sampler.rng.uniform(0.9, 1.2), sampler.rng.uniform(0.85, 1.1)], num)
        frequency = pitch * tune * sampler.drift(num, 0.02, 20)
        # The mean of the pulses is subtracted, which removes their offset.
        excitation = pulses(frequency) - frequency / SAMPLE_RATE + 0.01 * sampler.noise(num)
        vowel = _vowel(sampler, excitation, throat)
        return unit_peak(vowel * envelope(num, 0.03, 0.04, sustain=0.9))

    def consonant() -> Signal:
        num = samples(sampler.rng.uniform(0.04, 0.1))
        return 0.3 * unit_peak(fade(highpass(sampler.noise(num), 2500), 0.01))

    def spoken() -> Signal:
        pause_s = sampler.rng.uniform(0.1, 0.3) if sampler.rng.random() < 0.15 else 0.0
        parts = [syllable()] if sampler.rng.random() < 0.55 else [consonant(), syllable()]
        return np.concatenate([*parts, np.zeros(int(pause_s * SAMPLE_RATE))])

    return repeat(sampler, num_samples, spoken, gap_s=0.0)


def woman(sampler: ParameterSampler, num_samples: int) -> Signal:
    """Synthesize singing: sustained vowels of a random tune, with a deep vibrato."""
    root, beat_s = sampler.uniform(57, 66), sampler.uniform(0.3, 0.58)
    # A shorter vocal tract than a man's has higher formants.
    throat, rate = sampler.uniform(1.1, 1.22), sampler.uniform(5, 6.3)

    def sing(frequency: float, duration_s: float) -> Signal:
        num = samples(1.02 * duration_s)
        late = np.minimum(1, 3 * clock(num))  # the vibrato sets in during the first 0.33 s
        swing = 1 + 0.02 * late * np.sin(2 * np.pi * rate * clock(num))
        vowel = _vowel(sampler, harmonics(frequency * swing, rolloff(18, 0.7)), throat)
        return unit_peak(vowel * envelope(num, 0.06, 0.08, sustain=0.9))

    return melody(sampler, num_samples, sing, root, beat_s)
