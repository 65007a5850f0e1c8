"""Sound of a film: events with exact onsets and offsets in one room, over background noise.

S is the number of samples, at `SAMPLE_RATE`, and N the number of events.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.signal  # type: ignore[import-untyped]
from numpy.typing import NDArray

from avseg.synthavs.clips import SoundEvent
from avseg.synthavs.film.acoustics import Room, Signal, draw_noise, draw_position, draw_room
from avseg.synthavs.film.motion import Course, Wave
from avseg.synthavs.sounds import SAMPLE_RATE, ParameterSplit, synthesize

#: Sound is generated in excess by this time, so that an excerpt can start and stop with sound.
_SPARE_S = 1.0

#: A block of sound is audible if its level is at most this far below that of the loudest block.
_AUDIBLE_DB = 30.0

#: Length of the blocks in which sound is judged audible, in samples.
_BLOCK = SAMPLE_RATE // 100

#: Longest time in which an event fades in or out, in seconds.
_FADE_S = 0.01


@dataclass(frozen=True, eq=False)
class FilmEvent(SoundEvent):
    """Sound event with exact times.

    `active` is true for each second of which the event sounds at least half, as in AVSBench, whose
    masks are for one-second excerpts. The reverberation of an event lasts beyond its offset.

    Attributes:
        start_s: Onset, in seconds.
        stop_s: Offset, in seconds.
        level_db: Loudness over time, in dB.
        position: Position in the room, in metres; None outdoors.
    """

    start_s: float
    stop_s: float
    level_db: Course
    position: tuple[float, float, float] | None

    def sounds_at(self, time_s: float) -> bool:
        """Return whether the event sounds at a time in seconds."""
        return self.start_s <= time_s < self.stop_s


@dataclass(frozen=True)
class Soundtrack:
    """Description of the sound of a film.

    Attributes:
        events: Sound events.
        room: The room; None outdoors, without reflections.
        noise_db: Level of the background noise relative to that of all events together, in dB,
            measured while at least one sounds; relative to full scale if there are no events.
        loudness_db: Level of the whole sound, in dB.
        seconds: Length, in seconds.
    """

    events: tuple[FilmEvent, ...]
    room: Room | None
    noise_db: float
    loudness_db: float
    seconds: int

    def synthesize(
        self, rng: np.random.Generator, parameter_split: ParameterSplit
    ) -> NDArray[np.float32]:
        """Synthesize the background noise and each event.

        Args:
            rng: Random generator.
            parameter_split: Ranges of the synthesis parameters.

        Returns:
            Background noise, then each event, (1 + N, S) float32. Their sum is within [-1, 1].
        """
        count = self.seconds * SAMPLE_RATE
        stems = np.zeros((1 + len(self.events), count), np.float32)
        for stem, event in zip(stems[1:], self.events, strict=True):
            stem[:] = _play(rng, event, self.room, parameter_split, count)
        reference = _active_level(stems[1:].sum(axis=0), self.events)
        stems[0] = draw_noise(rng, count) * np.float32(reference * 10 ** (self.noise_db / 20))
        stems *= np.float32(10 ** (self.loudness_db / 20))
        peak = float(np.abs(stems.sum(axis=0)).max())
        if peak > 0.99:
            stems *= np.float32(0.99 / peak)
        return stems


def film_event(
    category: str, object_number: int, times_s: tuple[float, float], seconds: int
) -> FilmEvent:
    """Create an event at a constant level and outdoors.

    Args:
        category: Category of the sound.
        object_number: Number of its object, from 1; 0 for an off-screen sound.
        times_s: Onset and offset, in seconds.
        seconds: Length of the film, in seconds.

    Returns:
        The event.
    """
    start_s, stop_s = times_s
    beats = np.arange(seconds)
    shares = np.minimum(beats + 1, stop_s) - np.maximum(beats, start_s)
    return FilmEvent(category, object_number, shares >= 0.5, start_s, stop_s, Course(0.0), None)


def draw_soundtrack(
    rng: np.random.Generator, events: Sequence[FilmEvent], seconds: int
) -> Soundtrack:
    """Draw the room, the noise and the loudness of a film; place its events in the room.

    Two events of one object, and objects of one category that sound together, keep their times.

    Args:
        rng: Random generator.
        events: Events.
        seconds: Length, in seconds.

    Returns:
        The sound of the film.
    """
    room = draw_room(rng) if rng.random() < 0.7 else None
    placed = tuple(
        FilmEvent(
            event.category,
            event.object_number,
            event.active,
            event.start_s,
            event.stop_s,
            _draw_level(rng),
            None if room is None else draw_position(rng, room.size),
        )
        for event in events
    )
    # Mostly 0 to 30 dB below the sounds; some films are recorded in a quiet studio.
    noise_db = rng.uniform(-30, 0) if rng.random() < 0.85 else rng.uniform(-60, -40)
    if not events:
        noise_db = rng.uniform(-70, -15)
    return Soundtrack(placed, room, float(noise_db), float(rng.uniform(-12, 0)), seconds)


def _draw_level(rng: np.random.Generator) -> Course:
    """Draw the level of an event over time, in dB: constant for half of the events."""
    mean = float(rng.uniform(-8, 2))
    if rng.random() < 0.5:
        return Course(mean)
    wave = Wave(float(rng.uniform(1, 7)), float(rng.uniform(1.5, 8)), float(rng.random()))
    return Course(mean, (wave,))


def _play(
    rng: np.random.Generator,
    event: FilmEvent,
    room: Room | None,
    parameter_split: ParameterSplit,
    count: int,
) -> Signal:
    """Synthesize one event in its room, (S,)."""
    begin, end = round(event.start_s * SAMPLE_RATE), round(event.stop_s * SAMPLE_RATE)
    begin, end = max(0, begin), min(count, end)
    sound = excerpt(rng, event.category, end - begin, parameter_split)
    times_s = np.arange(begin, end) / SAMPLE_RATE
    # 0.1 leaves headroom for the sum of three sounds; see `clips.make_stems`.
    level = np.sqrt(np.mean(sound**2)) + 0.02
    sound *= (0.1 / level * 10 ** (event.level_db.sample(times_s) / 20)).astype(np.float32)
    stem = np.zeros(count, np.float32)
    stem[begin:end] = sound
    if room is not None and event.position is not None:
        response = room.impulse_response(event.position)
        stem[begin:] = scipy.signal.oaconvolve(stem[begin:], response)[: count - begin]
    return stem


def excerpt(
    rng: np.random.Generator, category: str, count: int, parameter_split: ParameterSplit
) -> Signal:
    """Synthesize a sound that starts at its first sample and is audible to its end.

    Many sounds have pauses: an excerpt of a longer sound is cut so that it neither starts nor stops
    in one. If no excerpt of that length exists, the quietest moment of a shorter one is lengthened.
    The sound fades in and out in 10 ms.

    Args:
        rng: Random generator.
        category: Category of the sound.
        count: Number of samples, at least 640.
        parameter_split: Ranges of the synthesis parameters.

    Returns:
        The sound, (count,) float32 in [-1, 1].
    """
    whole = synthesize(category, rng, count / SAMPLE_RATE + _SPARE_S, parameter_split)
    blocks = whole[: len(whole) // _BLOCK * _BLOCK].reshape(-1, _BLOCK)
    power = (blocks**2).mean(axis=1)
    threshold = power.max() * 10 ** (-_AUDIBLE_DB / 10)
    audible = power > threshold
    length = -(-count // _BLOCK)
    # Whether an excerpt that starts in a block starts and stops with audible blocks: it may end in
    # the last of these blocks or in the next one.
    ends = audible[length - 2 : -2] & audible[length - 1 : -1]
    fits = audible[: len(ends)] & ends
    block = int(np.argmax(fits if fits.any() else audible))
    start = block * _BLOCK + int(np.argmax(blocks[block] ** 2 > threshold))
    if fits.any():
        sound = whole[start : start + count].copy()
    else:
        last = block + int(np.flatnonzero(audible[block : block + length - 1])[-1])
        quietest = block + 1 + int(np.argmin(power[block + 1 : max(last, block + 2)]))
        before, after = np.split(whole[start : (last + 1) * _BLOCK], [quietest * _BLOCK - start])
        pause = np.zeros(count - len(before) - len(after), np.float32)
        sound = np.concatenate([before, pause, after])
    width = min(int(_FADE_S * SAMPLE_RATE), count // 2)
    ramp = np.linspace(1 / width, 1, width, dtype=np.float32)  # the first sample is not silent
    sound[:width] *= ramp
    sound[-width:] *= ramp[::-1]
    return sound


def _active_level(sounds: Signal, events: Sequence[FilmEvent]) -> float:
    """Return the root mean square of the events while one sounds; 1 if there are none."""
    times_s = np.arange(len(sounds)) / SAMPLE_RATE
    active = np.zeros(len(sounds), bool)
    for event in events:
        active |= (event.start_s <= times_s) & (times_s < event.stop_s)
    if not active.any():
        return 1.0
    return float(np.sqrt(np.mean(sounds[active].astype(np.float64) ** 2)))
