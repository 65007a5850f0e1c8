"""Clips: sounding objects are exact in frames and audio; domains of the splits."""

import numpy as np
import pytest
from numpy.typing import NDArray

from avseg.synthavs import clips
from avseg.synthavs.categories import SEEN, TRAIN_STYLES, UNSEEN_STYLES, ZERO_SHOT
from avseg.synthavs.clips import (
    SPLIT_DOMAINS,
    SoundEvent,
    SplitDomain,
    SyntheticClip,
    make_clip,
    make_stems,
    mix,
    ramps,
)
from avseg.synthavs.scenes import MovingObject, load_style
from avseg.synthavs.sounds import SAMPLE_RATE

DOMAIN = SplitDomain(SEEN, TRAIN_STYLES, "train")


@pytest.fixture(scope="module")
def multi_clips() -> list[SyntheticClip]:
    """Draw clips with their scenes and sound events; without audio, for speed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clips, "mix", lambda *_: np.zeros(5 * SAMPLE_RATE, np.float32))
        return [make_clip(np.random.default_rng(i), DOMAIN, "multi", side=48) for i in range(400)]


def active(*seconds: int, length: int = 5) -> NDArray[np.bool_]:
    return np.isin(np.arange(length), seconds)


def rms_by_second(audio: NDArray[np.float32]) -> NDArray[np.float64]:
    squares = audio.astype(np.float64).reshape(-1, SAMPLE_RATE) ** 2
    rms: NDArray[np.float64] = np.sqrt(squares.mean(axis=1))
    return rms


def silhouettes(styles: tuple[str, ...]) -> set[bytes]:
    """Return the alpha channels of all drawings of some styles, and their mirror images."""
    drawings = [
        sprite.pixels[..., 3]
        for style in styles
        for sprites in load_style(style).values()
        for sprite in sprites
    ]
    return {a.tobytes() for drawing in drawings for a in (drawing, drawing[:, ::-1])}


@pytest.mark.parametrize("clip_type", ["single", "multi"])
def test_the_same_random_state_gives_the_same_clip(clip_type: clips.ClipType) -> None:
    first, again = (
        make_clip(np.random.default_rng(7), DOMAIN, clip_type, side=48) for _ in range(2)
    )
    assert (first.audio == again.audio).all()
    assert (first.frame(2)[0] == again.frame(2)[0]).all()
    assert (first.frame(2)[1] == again.frame(2)[1]).all()


@pytest.mark.parametrize("seconds", [1, 2, 10])
def test_a_clip_has_the_requested_length(seconds: int) -> None:
    for seed in range(10):
        rng = np.random.default_rng(seed)
        clip = make_clip(rng, DOMAIN, "multi", side=48, seconds=seconds)
        assert clip.audio.shape == (seconds * SAMPLE_RATE,)
        assert np.abs(clip.audio).max() <= 1
        assert all(source.active.shape == (seconds,) for source in clip.sound_events)


def test_a_single_source_is_visible_and_sounds_throughout() -> None:
    counts = set()
    for seed in range(25):
        clip = make_clip(np.random.default_rng(seed), DOMAIN, "single", side=48)
        (source,) = clip.sound_events
        assert source.active.all()
        assert clip.scene.objects[source.object_number - 1].category == source.category
        counts.add(len(clip.scene.objects))
    assert counts == {1, 2}


def test_multi_source_clips_have_two_to_four_objects(multi_clips: list[SyntheticClip]) -> None:
    assert {len(clip.scene.objects) for clip in multi_clips} == {2, 3, 4}


def test_up_to_three_categories_sound(multi_clips: list[SyntheticClip]) -> None:
    heard = [{s.category for s in clip.sound_events if s.object_number} for clip in multi_clips]
    assert {len(kinds) for kinds in heard} == {0, 1, 2, 3}


def test_about_half_of_the_objects_are_silent_in_any_second(
    multi_clips: list[SyntheticClip],
) -> None:
    shown = [len(clip.scene.objects) for clip in multi_clips for _ in range(5)]
    heard = [len(clip.sounding(second)) for clip in multi_clips for second in range(5)]
    assert 0.35 < sum(heard) / sum(shown) < 0.6


def test_there_are_silent_objects_off_screen_sounds_and_twins(
    multi_clips: list[SyntheticClip],
) -> None:
    def shown(clip: SyntheticClip) -> list[str]:
        return [thing.category for thing in clip.scene.objects]

    assert any(set(shown(c)) > {s.category for s in c.sound_events} for c in multi_clips)
    assert any(len(set(shown(c))) < len(shown(c)) for c in multi_clips)
    off_screen = [(s, c) for c in multi_clips for s in c.sound_events if not s.object_number]
    assert off_screen
    assert all(source.category not in shown(clip) for source, clip in off_screen)


def test_sources_start_and_stop_once(multi_clips: list[SyntheticClip]) -> None:
    runs = [source.active for clip in multi_clips for source in clip.sound_events]
    assert any(not run.all() for run in runs)
    for run in runs:
        padded = np.concatenate([[False], run, [False]])
        assert np.abs(np.diff(padded.astype(int))).sum() == 2


def test_two_objects_of_one_category_sound_together(multi_clips: list[SyntheticClip]) -> None:
    for clip in multi_clips:
        for second in range(5):
            sounding = clip.sounding(second)
            for number, thing in enumerate(clip.scene.objects, start=1):
                assert (number in sounding) == (thing.category in sounding.values())


def test_sounding_returns_the_visible_objects_of_active_events() -> None:
    scene = make_clip(np.random.default_rng(0), DOMAIN, "multi", side=48).scene
    sources = (
        SoundEvent("dog", 1, active(0, 1)),
        SoundEvent("cat", 2, active(1, 2)),
        SoundEvent("bell", 0, active(0, 1, 2)),
    )
    clip = SyntheticClip(scene, sources, 3, lambda: pytest.fail("nothing is heard"))
    assert [clip.sounding(second) for second in range(3)] == [
        {1: "dog"},
        {1: "dog", 2: "cat"},
        {2: "cat"},
    ]


def test_a_frame_shows_the_scene_at_15_16_of_its_second() -> None:
    clip = make_clip(np.random.default_rng(3), DOMAIN, "multi", side=48)
    expected = clip.scene.render(2.9375)
    assert (clip.frame(2)[0] == expected[0]).all()
    assert (clip.frame(2)[1] == expected[1]).all()


def test_an_event_is_audible_in_its_active_seconds_only() -> None:
    for seed, category in enumerate(["dog", "clock", "gun", "piano", "train"]):
        source = SoundEvent(category, 1, active(1, 2))
        rms = rms_by_second(mix(make_stems(np.random.default_rng(seed), [source], "train", 5)))
        floor = rms[[0, 3, 4]]
        assert floor.max() <= 10 ** (-41 / 20)
        assert rms[[1, 2]].min() > 2 * floor.max(), category


def test_without_events_the_audio_is_the_noise_floor() -> None:
    rms = rms_by_second(mix(make_stems(np.random.default_rng(0), [], "train", 5)))
    assert rms.min() > 10 ** (-71 / 20)
    assert rms.max() < 10 ** (-41 / 20)


def test_training_and_test_parameters_give_different_sounds() -> None:
    source = [SoundEvent("violin", 1, active(0, 1, 2, 3, 4))]
    train, test = (
        mix(make_stems(np.random.default_rng(0), source, parameter_split, 5))
        for parameter_split in ("train", "test")
    )
    assert np.abs(train - test).max() > 0.01


def test_the_audio_of_a_clip_does_not_depend_on_later_use_of_the_generator() -> None:
    rng = np.random.default_rng(0)
    clip = make_clip(rng, DOMAIN, "multi", side=48)
    rng.random(100)
    expected = make_clip(np.random.default_rng(0), DOMAIN, "multi", side=48)
    np.testing.assert_array_equal(clip.stems, expected.stems)
    np.testing.assert_array_equal(clip.synthesize_stems(), expected.stems)


def test_the_audio_is_the_sum_of_the_stems(multi_clips: list[SyntheticClip]) -> None:
    for clip in multi_clips[:5]:
        assert clip.stems.shape == (1 + len(clip.sound_events), 5 * SAMPLE_RATE)
        np.testing.assert_allclose(clip.audio, clip.stems.sum(0).clip(-1, 1), atol=1e-6)
        assert clip.seconds == 5


def test_removing_a_category_leaves_everything_else_unchanged(
    multi_clips: list[SyntheticClip],
) -> None:
    clip = next(c for c in multi_clips if len({s.category for s in c.sound_events}) > 1)
    gone = clip.sound_events[0].category
    rest = clip.without(gone)
    assert rest.sound_events == tuple(s for s in clip.sound_events if s.category != gone)
    assert rest.scene is clip.scene
    lost = [
        stem
        for s, stem in zip(clip.sound_events, clip.stems[1:], strict=True)
        if s.category == gone
    ]
    np.testing.assert_allclose(rest.stems.sum(0) + sum(lost), clip.stems.sum(0), atol=1e-6)


def test_ramps_are_one_while_active_and_zero_otherwise() -> None:
    envelope = ramps(active(1, 2, length=4))
    edge = SAMPLE_RATE // 40
    assert not envelope[:SAMPLE_RATE].any()
    assert not envelope[3 * SAMPLE_RATE :].any()
    assert (envelope[SAMPLE_RATE + edge : 3 * SAMPLE_RATE - edge] == 1).all()
    assert (np.diff(envelope[SAMPLE_RATE : SAMPLE_RATE + edge]) > 0).all()
    assert (np.diff(envelope[3 * SAMPLE_RATE - edge : 3 * SAMPLE_RATE]) < 0).all()


def test_clips_use_the_categories_styles_and_parameters_of_their_domain(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    domain = SplitDomain(("dog", "cat", "bell"), UNSEEN_STYLES, "test")
    asked: list[tuple[str, str]] = []

    def note(
        category: str, rng: np.random.Generator, seconds: float, parameter_split: str
    ) -> NDArray[np.float32]:
        del rng
        asked.append((category, parameter_split))
        return np.zeros(int(seconds * SAMPLE_RATE), np.float32)

    monkeypatch.setattr(clips, "synthesize", note)
    known, foreign = silhouettes(UNSEEN_STYLES), silhouettes(TRAIN_STYLES)
    assert not known & foreign
    for seed in range(20):
        clip = make_clip(np.random.default_rng(seed), domain, "multi", side=48)
        assert len(clip.stems) == 1 + len(clip.sound_events)
        for thing in clip.scene.objects:
            assert thing.category in domain.categories
            assert isinstance(thing, MovingObject)
            assert thing.pixels[..., 3].tobytes() in known
    assert {parameter_split for _, parameter_split in asked} == {"test"}
    assert {category for category, _ in asked} <= set(domain.categories)


def test_unseen_styles_never_occur_in_training() -> None:
    assert not set(SPLIT_DOMAINS["test"].styles) & set(TRAIN_STYLES)
    assert set(SPLIT_DOMAINS["train"].styles) == set(TRAIN_STYLES)


def test_seen_evaluation_styles_are_styles_of_training() -> None:
    for split in ("val", "test_seen", "test_zero_shot"):
        assert set(SPLIT_DOMAINS[split].styles) <= set(TRAIN_STYLES)


def test_zero_shot_categories_occur_in_their_own_split_alone() -> None:
    for split, domain in SPLIT_DOMAINS.items():
        assert bool(set(domain.categories) & set(ZERO_SHOT)) == (split == "test_zero_shot")
    assert set(SPLIT_DOMAINS["test_zero_shot"].categories) == set(ZERO_SHOT)


def test_no_evaluation_sound_has_parameters_of_training() -> None:
    assert {
        split: domain.parameter_split for split, domain in SPLIT_DOMAINS.items() if split != "train"
    } == {
        "val": "test",
        "test": "test",
        "test_seen": "test",
        "test_zero_shot": "test",
    }
    assert SPLIT_DOMAINS["train"].parameter_split == "train"
