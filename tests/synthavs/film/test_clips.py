"""Film-like clips: who sounds, what is marked, and at which rate."""

import numpy as np
import pytest

from avseg.media.clip import FRAME_POSITION
from avseg.synthavs.categories import SEEN, TRAIN_STYLES
from avseg.synthavs.clips import ClipType, SplitDomain, SyntheticClip
from avseg.synthavs.film.clips import make_film_clip, make_off_screen_sound
from avseg.synthavs.film.soundtrack import FilmEvent
from avseg.synthavs.sounds import SAMPLE_RATE

DOMAIN = SplitDomain(SEEN, TRAIN_STYLES, "train")


def draw(seed: int, clip_type: ClipType = "multi", seconds: int = 5) -> SyntheticClip:
    return make_film_clip(np.random.default_rng(seed), DOMAIN, clip_type, 48, seconds)


@pytest.fixture(scope="module")
def clips() -> list[SyntheticClip]:
    return [draw(seed) for seed in range(120)]


@pytest.mark.parametrize("clip_type", ["single", "multi"])
def test_the_same_random_state_gives_the_same_clip(clip_type: ClipType) -> None:
    first, again = (draw(7, clip_type) for _ in range(2))
    np.testing.assert_array_equal(again.frame(2)[0], first.frame(2)[0])
    np.testing.assert_array_equal(again.frame(2)[1], first.frame(2)[1])
    # In the other order: the audio does not depend on what is rendered before.
    np.testing.assert_array_equal(draw(7, clip_type).audio, first.audio)


def test_the_truth_at_25_frames_per_second_is_that_at_one() -> None:
    clip, other = draw(3), draw(3)
    fine = {i: clip.truth_at(i / 25) for i in range(125)}
    for second in range(5):
        np.testing.assert_array_equal(fine[25 * second], other.truth_at(float(second)))
        assert clip.sounding_at(second + 0.5) == other.sounding_at(second + 0.5)


def test_the_truth_has_the_visible_pixels_of_the_objects_that_sound_at_the_time() -> None:
    for seed in range(6):
        clip = draw(seed)
        for time_s in (0.31, 2.77, 4.9):
            _, numbers = clip.scene.render(time_s)
            wanted = {
                event.object_number
                for event in clip.sound_events
                if event.object_number and event.sounds_at(time_s)
            }
            assert set(np.unique(numbers[clip.truth_at(time_s)])) <= wanted
            assert not np.isin(numbers[~clip.truth_at(time_s)], list(wanted)).any()


def test_onsets_are_at_any_time(clips: list[SyntheticClip]) -> None:
    starts = [e.start_s for clip in clips for e in clip.sound_events if isinstance(e, FilmEvent)]
    assert len({round(start % 1, 2) for start in starts}) > 30


def test_some_clips_have_no_sounding_object_and_mark_nothing(clips: list[SyntheticClip]) -> None:
    quiet = [c for c in clips if not any(e.object_number for e in c.sound_events)]
    assert 0.06 < len(quiet) / len(clips) < 0.22
    assert any(clip.sound_events for clip in quiet)  # an off-screen sound alone
    assert any(not clip.sound_events for clip in quiet)  # noise alone
    for clip in quiet:
        assert not clip.truth_at(2 + FRAME_POSITION).any()
        assert not clip.sounding(2)


def test_off_screen_sounds_are_of_no_category_in_the_picture(clips: list[SyntheticClip]) -> None:
    off_screen = [(e, c) for c in clips for e in c.sound_events if not e.object_number]
    assert len(off_screen) > 10
    for event, clip in off_screen:
        assert event.category not in {shown.category for shown in clip.scene.objects}


def test_there_are_silent_objects_and_two_of_a_kind(clips: list[SyntheticClip]) -> None:
    shown = [[thing.category for thing in clip.scene.objects] for clip in clips]
    assert {len(names) for names in shown} == {2, 3, 4}
    assert 0.05 < np.mean([len(set(names)) < len(names) for names in shown]) < 0.25
    heard = [len(clip.sounding(second)) for clip in clips for second in range(5)]
    assert 0.25 < sum(heard) / (5 * sum(map(len, shown))) < 0.6


def test_a_single_source_sounds_in_every_second_and_is_in_the_picture() -> None:
    for seed in range(40):
        clip = draw(seed, "single")
        (event,) = clip.sound_events
        assert event.active.all()
        numbers = clip.frame(0)[1]
        assert (numbers == event.object_number).any(), seed


@pytest.mark.parametrize("seconds", [1, 2, 10])
def test_a_clip_has_the_requested_length(seconds: int) -> None:
    for seed in range(4):
        clip = draw(seed, seconds=seconds)
        assert clip.audio.shape == (seconds * SAMPLE_RATE,)
        assert all(event.active.shape == (seconds,) for event in clip.sound_events)


def test_a_removed_category_leaves_the_other_stems_unchanged(clips: list[SyntheticClip]) -> None:
    clip = next(c for c in clips if len({e.category for e in c.sound_events}) > 1)
    category = clip.sound_events[0].category
    reduced = clip.without(category)
    assert category not in {event.category for event in reduced.sound_events}
    kept = [0, *(n for n, e in enumerate(clip.sound_events, 1) if e.category != category)]
    np.testing.assert_array_equal(reduced.stems, clip.stems[kept])


def test_off_screen_audio_lasts_for_the_whole_clip() -> None:
    audio = make_off_screen_sound(np.random.default_rng(0), "violin", "test", 5)
    assert audio.shape == (5 * SAMPLE_RATE,)
    assert (np.abs(audio.reshape(5, -1)).max(axis=1) > 1e-3).all()
