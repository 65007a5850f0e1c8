"""Sound of films: exact onsets, the level of the noise, rooms, loudness changes."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from avseg.synthavs.categories import CATEGORIES
from avseg.synthavs.film.acoustics import Room
from avseg.synthavs.film.motion import Course, Wave
from avseg.synthavs.film.soundtrack import (
    FilmEvent,
    Soundtrack,
    draw_soundtrack,
    excerpt,
    film_event,
)
from avseg.synthavs.sounds import SAMPLE_RATE

ROOM = Room((7.0, 5.0, 3.0), 0.25, (2.0, 2.5, 1.5), seed=3)


def synthesize(
    *events: FilmEvent, room: Room | None = None, noise_db: float = -20.0
) -> NDArray[np.float32]:
    track = Soundtrack(events, room, noise_db, 0.0, 5)
    return track.synthesize(np.random.default_rng(0), "train")


def event(start_s: float, stop_s: float, category: str = "violin") -> FilmEvent:
    return film_event(category, 1, (start_s, stop_s), 5)


@pytest.mark.parametrize("category", ["violin", "clock", "bird"])
@pytest.mark.parametrize("room", [None, ROOM], ids=["outdoors", "room"])
def test_onsets_and_offsets_are_exact_to_a_sample(room: Room | None, category: str) -> None:
    start, stop = 20_011, 50_337  # samples, far from whole seconds
    placed = replace(
        event(start / SAMPLE_RATE, stop / SAMPLE_RATE, category),
        position=None if room is None else (5.0, 2.0, 1.2),
    )
    sound = synthesize(placed, room=room)[1]
    assert not sound[:start].any()
    assert sound[start] != 0
    assert np.abs(sound[start : start + 480]).max() > 0.02 * np.abs(sound).max()
    if room is None:
        assert not sound[stop:].any()
        assert np.abs(sound[stop - 480 : stop]).max() > 0.02 * np.abs(sound).max()
    else:  # the reverberation remains
        assert 0 < (sound[stop + 1600 :] ** 2).sum() < 0.1 * (sound**2).sum()


def test_an_event_sounds_from_its_onset_to_its_offset() -> None:
    placed = event(1.25, 3.5)
    assert [placed.sounds_at(t) for t in (1.2499, 1.25, 3.4999, 3.5)] == [False, True, True, False]


def test_an_event_is_active_in_seconds_of_which_it_sounds_half() -> None:
    assert event(0.4, 2.6).active.tolist() == [True, True, True, False, False]
    assert event(0.6, 2.4).active.tolist() == [False, True, False, False, False]
    assert event(0.0, 5.0).active.all()


@pytest.mark.parametrize("noise_db", [0.0, -12.0, -30.0])
def test_the_noise_has_its_level_relative_to_the_sounding_events(noise_db: float) -> None:
    noise, *sounds = synthesize(event(1.3, 2.9), event(2.0, 4.1, "dog"), noise_db=noise_db)
    active = slice(int(1.3 * SAMPLE_RATE), int(4.1 * SAMPLE_RATE))
    level_db = 10 * np.log10(np.mean(noise**2) / np.mean(sum(sounds)[active] ** 2))
    assert level_db == pytest.approx(noise_db, abs=0.05)


def test_without_events_the_noise_is_relative_to_full_scale() -> None:
    (noise,) = synthesize(noise_db=-40.0)
    assert 10 * np.log10(np.mean(noise**2)) == pytest.approx(-40, abs=0.05)


def test_the_loudness_of_an_event_changes_with_time() -> None:
    steady = event(0.0, 5.0)
    swelling = replace(steady, level_db=Course(0.0, (Wave(6.0, 4.0, 0.0),)))
    ratio = np.abs(synthesize(swelling)[1]) / np.maximum(np.abs(synthesize(steady)[1]), 1e-6)
    seconds = [float(np.median(ratio[int(t * SAMPLE_RATE) :][:800])) for t in (1.0, 3.0)]
    assert 20 * np.log10(seconds) == pytest.approx([6, -6], abs=0.3)


def test_the_sum_of_the_stems_is_never_clipped() -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        events = [film_event("piano", n, (0.0, 2.0), 2) for n in (1, 2, 3)]
        stems = draw_soundtrack(rng, events, 2).synthesize(rng, "train")
        assert np.abs(stems.sum(axis=0)).max() <= 1


@pytest.mark.parametrize("count", [9_607, 16_007, 40_000])
@pytest.mark.parametrize("category", CATEGORIES)
def test_an_excerpt_starts_and_stops_with_sound(category: str, count: int) -> None:
    sound = excerpt(np.random.default_rng(1), category, count, "train")
    assert sound.shape == (count,)
    assert sound[0] != 0
    loudest = np.abs(sound).max()
    assert np.abs(sound[:480]).max() > 0.002 * loudest
    assert np.abs(sound[-480:]).max() > 0.002 * loudest


def test_most_films_have_a_room_and_noise_of_0_to_30_db() -> None:
    tracks = [draw_soundtrack(np.random.default_rng(s), [event(0.0, 5.0)], 5) for s in range(200)]
    assert 0.6 < np.mean([track.room is not None for track in tracks]) < 0.8
    levels = np.array([track.noise_db for track in tracks])
    assert 0.75 < np.mean((levels >= -30) & (levels <= 0)) < 0.95
    assert len({track.events[0].position for track in tracks if track.room}) > 100
