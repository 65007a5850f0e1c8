"""Tests of the rule that keeps audio windows on one side of a change of the sound."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from avseg.media import read_clip, stream_clips
from avseg.media.sound_changes import BLOCK_S, PAUSE_BLOCKS, change_times, fit_windows
from avseg.types import Clip
from tests.media.videos import Picture, Track, write

RATE = 16000
TIMES = np.arange(-RATE, 6 * RATE) / RATE  # five seconds with a margin of one second


def tone(start_s: float, stop_s: float, hertz: float = 440.0) -> npt.NDArray[np.float64]:
    """Return a tone of -23 dBFS between two times, and silence around it."""
    return 0.1 * np.sin(2 * np.pi * hertz * TIMES) * ((start_s <= TIMES) & (stop_s > TIMES))


def noise(level_dbfs: float) -> npt.NDArray[np.float64]:
    """Return white noise of an RMS level."""
    return np.random.default_rng(0).standard_normal(len(TIMES)) * 10 ** (level_dbfs / 20)


def clip(audio: npt.NDArray[np.float64], frames_per_second: float = 25.0) -> Clip:
    """Return a clip of five seconds."""
    begins = np.arange(round(5 * frames_per_second)) / frames_per_second
    return Clip(
        origin="clip",
        frames=np.zeros((len(begins), 2, 2, 3), np.uint8),
        frame_times=begins,
        audio_times=begins + 0.5 / frames_per_second,
        audio=audio.astype(np.float32),
        audio_start_s=-1.0,
        sample_rate=RATE,
        durations=np.full(len(begins), 1 / frames_per_second),
    )


def inner_changes(audio: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the times of changes within the five seconds, without the ends of the audio."""
    times = change_times(clip(audio))
    return times[(times > 0) & (times < 5)]


def audible_times(fitted: tuple[Clip, npt.NDArray[np.bool_]]) -> list[float]:
    """Return the starts of the first and the end of the last audible frame."""
    moved, audible = fitted
    times = moved.frame_times[audible]
    return [float(times[0]), float(times[-1]) + 0.04]


@pytest.mark.parametrize("start_s", [1.0, 1.237, 2.013])
def test_frames_are_audible_from_the_onset_to_the_offset(start_s: float) -> None:
    fitted = fit_windows(clip(tone(start_s, start_s + 1.5)), 1.0)
    np.testing.assert_allclose(audible_times(fitted), [start_s, start_s + 1.5], atol=0.05)


def test_frames_are_audible_from_the_onset_of_a_fade() -> None:
    fade = ((TIMES - 2) / 0.4).clip(0, 1)
    begin, _ = audible_times(fit_windows(clip(tone(2, 5) * fade), 1.0))
    assert begin == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("level_dbfs", [-50, -40, -30])
def test_an_onset_over_noise_is_found(level_dbfs: float) -> None:
    times = inner_changes(tone(1.5, 3.2) + noise(level_dbfs))
    np.testing.assert_allclose(times, [1.5, 3.2], atol=0.05)


def test_windows_do_not_reach_beyond_a_change() -> None:
    moved, audible = fit_windows(clip(tone(1.5, 3.2) + noise(-40)), 1.0)
    assert audible.all()
    before, after = moved.frame_times + 0.04 <= 1.5, moved.frame_times >= 3.2
    between = (moved.frame_times >= 1.5) & (moved.frame_times + 0.04 <= 3.2)
    slack = 0.02  # the resolution of the times of changes
    assert moved.audio_times[before].max() + 0.5 <= 1.5 + slack
    assert moved.audio_times[between].min() - 0.5 >= 1.5 - slack
    assert moved.audio_times[between].max() + 0.5 <= 3.2 + slack
    assert moved.audio_times[after].min() - 0.5 >= 3.2 - slack


def test_the_onset_of_a_second_sound_is_found() -> None:
    times = inner_changes(tone(-1, 6) + tone(2.4, 6, hertz=1100))
    np.testing.assert_allclose(times, [2.4], atol=0.03)


@pytest.mark.parametrize("hertz", [60, 440, 3000])
def test_a_steady_sound_has_no_changes(hertz: float) -> None:
    assert not inner_changes(tone(-2, 7, hertz)).size
    assert not inner_changes(noise(-30)).size


@pytest.mark.parametrize("level_dbfs", [-90, -50])
def test_a_short_transient_before_a_pause_is_the_onset(level_dbfs: float) -> None:
    # The energies of the 0.36 s before and after it are the same for a long time around it.
    times = inner_changes(tone(1.1, 1.18) + tone(1.5, 3.2) + noise(level_dbfs))
    np.testing.assert_allclose(times, [1.1, 3.2], atol=0.03)


def test_the_onset_of_a_fade_over_noise_is_where_it_emerges() -> None:
    fade = ((TIMES - 1.5) / 0.4).clip(0, 1) * ((3.5 - TIMES) / 0.4).clip(0, 1)
    times = inner_changes(tone(1.5, 3.5) * fade + noise(-50))
    np.testing.assert_allclose(times, [1.5, 3.5], atol=0.06)


def test_short_pauses_are_no_changes() -> None:
    bursts = sum(tone(at, at + 0.2) for at in np.arange(1.0, 3.5, 0.6))
    np.testing.assert_allclose(inner_changes(np.asarray(bursts)), [1.0, 3.6], atol=0.03)


def test_an_overtone_that_comes_and_goes_is_no_change() -> None:
    # 20 dB below the tone, and 25 dB above what else is in its band.
    assert not inner_changes(tone(-2, 7) + 0.1 * tone(2, 3, 1700) + noise(-55)).size


def test_frames_of_a_very_short_sound_are_audible() -> None:
    _, audible = fit_windows(clip(tone(2.0, 2.04) * 10), 1.0)
    np.testing.assert_array_equal(np.flatnonzero(audible), [50])


def test_a_sound_without_margins_starts_and_ends_with_the_audio() -> None:
    whole = clip(noise(-30)[RATE : 6 * RATE])
    moved, audible = fit_windows(replace(whole, audio_start_s=0.0), 1.0)
    assert audible.all()
    assert moved.audio_times[0] - 0.5 >= 0
    assert moved.audio_times[-1] + 0.5 <= 5


@pytest.mark.parametrize(("pause_s", "is_bridged"), [(0.2, True), (0.45, True), (0.8, False)])
def test_short_pauses_stay_audible(pause_s: float, is_bridged: bool) -> None:
    _, audible = fit_windows(clip(tone(0.5, 2.0) + tone(2.0 + pause_s, 4.5)), 1.0)
    middle = audible[round(25 * 0.5) : round(25 * 4.5)]
    interruptions = np.count_nonzero(np.diff(middle.astype(int)) == -1)
    assert interruptions == (0 if is_bridged else 1)
    if not is_bridged:
        assert (~middle).sum() / 25 == pytest.approx(pause_s, abs=0.1)


def test_barks_do_not_make_masks_flicker() -> None:
    barks = sum(
        tone(at, at + 0.12) for at in np.arange(0.5, 4.5, 0.12 + PAUSE_BLOCKS * BLOCK_S - 0.05)
    )
    _, audible = fit_windows(clip(np.asarray(barks)), 1.0)
    assert np.count_nonzero(np.diff(audible.astype(int))) == 2


def test_silence_is_not_audible() -> None:
    moved, audible = fit_windows(clip(np.zeros(len(TIMES))), 1.0)
    assert not audible.any()
    np.testing.assert_array_equal(moved.audio_times, clip(np.zeros(len(TIMES))).audio_times)


def test_one_frame_is_enough() -> None:
    whole = clip(tone(2, 4))
    one = replace(
        whole,
        frames=whole.frames[:1],
        frame_times=np.array([1.96]),
        audio_times=np.array([1.98]),
        durations=np.array([0.04]),
    )
    assert not fit_windows(one, 1.0)[1].any()
    assert fit_windows(replace(one, durations=None), 1.0)[1].all()


@pytest.mark.parametrize("interval_s", [None, 1.0])
def test_frames_that_are_a_window_apart_are_left_alone(interval_s: float | None) -> None:
    slow = clip(tone(1.9, 3.1), frames_per_second=1)
    moved, audible = fit_windows(slow, 1.0, interval_s)
    assert audible.tolist() == [False, True, True, True, False]
    np.testing.assert_array_equal(moved.audio_times, slow.audio_times)


def test_a_frame_that_stays_longer_than_its_window_is_left_alone() -> None:
    whole = clip(tone(2, 4), frames_per_second=2)
    moved, _ = fit_windows(replace(whole, durations=np.tile([2.0, 0.5], 5)), 1.0)
    difference = moved.audio_times != whole.audio_times
    assert difference[1::2].any()
    assert not difference[::2].any()


def test_audio_that_is_shorter_than_the_compared_spans_has_no_changes() -> None:
    short = replace(clip(tone(0, 1)), audio=np.zeros(100, np.float32))
    assert not change_times(short).size


@pytest.mark.parametrize("sample_rate", [16000, 44100])
def test_the_rule_is_the_same_in_clips_of_any_length(tmp_path: Path, sample_rate: int) -> None:
    rng = np.random.default_rng(1)
    sound = rng.standard_normal((1, 3 * RATE)) * np.repeat([0.001, 0.2, 0.01, 0.1], RATE * 3 // 4)
    times = [0, 40, 90, 400, 420, *range(500, 3000, 70)]  # a variable frame rate
    video = tmp_path / "a.mkv"
    track = Track(sound.clip(-1, 1).astype(np.float32))
    write(video, [Picture(times_ms=times)], [track])
    whole, audible = fit_windows(read_clip(video, None, sample_rate), 1.0)
    assert (whole.audio_times != read_clip(video, None, sample_rate).audio_times).any()
    for count in (1, 4, 16):
        parts = [fit_windows(p, 1.0) for p in stream_clips(video, None, sample_rate, count)]
        moved = np.concatenate([part.audio_times for part, _ in parts])
        np.testing.assert_array_equal(moved, whole.audio_times)
        np.testing.assert_array_equal(np.concatenate([a for _, a in parts]), audible)
        windows = np.concatenate([part.audio_windows(1.0) for part, _ in parts])
        np.testing.assert_allclose(windows, whole.audio_windows(1.0), atol=1e-6)
