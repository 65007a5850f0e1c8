"""Clips: the sampling rule, chunks, metadata, and an error for each kind of damage."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from avseg.errors import (
    ClipError,
    CorruptVideoError,
    EmptyVideoError,
    NoAudioStreamError,
    NotAVideoError,
    NoVideoStreamError,
    OutOfMemoryError,
    TruncatedVideoError,
)
from avseg.media import probe, read_clip, stream_clips
from avseg.types import Clip
from tests.media.videos import Picture, Track, cut, grey, level, overwrite, write

RATE = 16000


def sounding(seconds: float = 2.0) -> Track:
    """Return audio with the constant level (k + 1) / 10 in second k."""
    parts = [level((k + 1) / 10, 1) for k in range(round(seconds + 0.5))]
    return Track(np.concatenate(parts, axis=1)[:, : round(seconds * RATE)])


def taken(clip: Clip) -> list[int]:
    """Return the index in the video of each frame of the clip, by its shade."""
    shades = clip.frames.mean(axis=(1, 2, 3))
    return [int(np.abs(shade - [grey(index) for index in range(55)]).argmin()) for shade in shades]


def times(values: np.ndarray) -> list[float]:
    return [round(float(value), 3) for value in values]


def test_at_1_fps_a_frame_is_that_of_avsbench_with_its_own_second_of_audio(tmp_path: Path) -> None:
    # At 20 frames a second frame 18 is on screen from 0.9 s to 0.95 s, so at 15/16 s.
    picture = Picture(times_ms=range(0, 3000, 50))
    clip = read_clip(write(tmp_path / "a.mkv", [picture], [sounding(3)]))
    assert taken(clip) == [18, 38, 58 - 55]  # the shades repeat after 55
    assert times(clip.audio_times) == [0.5, 1.5, 2.5]
    windows = clip.audio_windows(1.0)
    assert windows.shape == (3, RATE)
    for second, window in enumerate(windows):
        assert window == pytest.approx((second + 1) / 10, abs=1e-3)


def test_the_frame_is_the_one_on_screen(tmp_path: Path) -> None:
    picture = Picture(times_ms=[0, 100, 900, 950, 1000, 1700])
    clip = read_clip(write(tmp_path / "a.mp4", [picture]), silent_ok=True)
    assert taken(clip) == [2, 5]
    assert times(clip.frame_times) == [0.9, 1.7]


def test_a_frame_that_stays_on_screen_is_sampled_again(tmp_path: Path) -> None:
    picture = Picture(times_ms=[0, 900, 1000, 1900])
    clip = read_clip(write(tmp_path / "a.mp4", [picture]), 4, silent_ok=True)
    assert taken(clip)[:5] == [0, 0, 0, 1, 2]
    assert times(clip.audio_times)[:3] == [0.125, 0.375, 0.625]


def test_without_a_rate_every_frame_is_sampled(tmp_path: Path) -> None:
    picture = Picture(times_ms=[0, 100, 900, 1000])
    clip = read_clip(
        write(tmp_path / "a.mp4", [picture], [Track(level(0.5, 2), codec="aac")]), None
    )
    assert taken(clip) == [0, 1, 2, 3]
    assert times(clip.frame_times) == [0.0, 0.1, 0.9, 1.0]
    assert times(clip.audio_times)[:3] == [0.05, 0.5, 0.95]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_frame_lasts_until_the_next_one(tmp_path: Path, name: str) -> None:
    picture = Picture(times_ms=[500, 600, 1400, 1450, 2500])
    clip = read_clip(write(tmp_path / name, [picture]), None, silent_ok=True)
    assert clip.durations is not None
    assert times(clip.durations)[:4] == [0.1, 0.8, 0.05, 1.05]


@pytest.mark.parametrize("frames", [1, 4, 9, 10, 14, 16, 24, 25])
@pytest.mark.parametrize("rate", [None, 1, 4, 0.3])
def test_the_durations_add_up_to_the_length_of_the_video(
    tmp_path: Path, frames: int, rate: float | None
) -> None:
    picture = Picture(times_ms=range(700, 700 + 100 * frames, 100))
    path = write(tmp_path / "a.mp4", [picture])
    clips = list(stream_clips(path, rate, frames_per_chunk=3, silent_ok=True))
    total = sum(float(clip.durations.sum()) for clip in clips if clip.durations is not None)
    assert total == pytest.approx(frames / 10, abs=1e-6)


def test_at_a_rate_a_frame_lasts_for_its_interval(tmp_path: Path) -> None:
    picture = Picture(times_ms=range(0, 2700, 100))
    clip = read_clip(write(tmp_path / "a.mp4", [picture]), 1, silent_ok=True)
    assert clip.durations is not None
    assert times(clip.durations) == [1.0, 1.0, 0.7]


@pytest.mark.parametrize(
    ("frames", "slots"), [(1, 1), (4, 1), (10, 1), (14, 1), (15, 2), (16, 2), (24, 2), (25, 3)]
)
def test_the_last_interval_is_kept_if_half_of_it_is_covered(
    tmp_path: Path, frames: int, slots: int
) -> None:
    picture = Picture(times_ms=range(0, 100 * frames, 100))
    clip = read_clip(write(tmp_path / "a.mkv", [picture]), silent_ok=True)
    assert len(clip.frames) == slots
    assert taken(clip)[-1] == min(frames - 1, 10 * slots - 1)


def test_intervals_start_with_the_video_and_audio_keeps_the_clock(tmp_path: Path) -> None:
    picture = Picture(times_ms=range(500, 2500, 100))
    clip = read_clip(write(tmp_path / "a.mkv", [picture], [sounding(2)]))
    assert times(clip.frame_times) == [1.4, 2.4]
    assert times(clip.audio_times) == [1.0, 2.0]
    windows = clip.audio_windows(1.0)
    half = RATE // 2
    assert windows[0, :half] == pytest.approx(0.1, abs=1e-3)
    assert windows[0, half:] == pytest.approx(0.2, abs=1e-3)
    assert windows[1, :half] == pytest.approx(0.2, abs=1e-3)
    assert not windows[1, half:].any()


def test_audio_that_starts_late_is_not_shifted(tmp_path: Path) -> None:
    late = Track(level(0.5, 1), start_s=1.0)
    windows = read_clip(write(tmp_path / "a.mkv", tracks=[late])).audio_windows()
    assert not windows[0].any()
    assert windows[1] == pytest.approx(0.5, abs=1e-3)


def test_the_audio_extends_two_seconds_beyond_the_audio_times(tmp_path: Path) -> None:
    clip = read_clip(write(tmp_path / "a.mkv", tracks=[sounding(2)]))
    assert clip.audio_start_s == -1.5
    assert clip.audio_start_s + len(clip.audio) / RATE == pytest.approx(3.5, abs=1e-3)


def test_audio_has_the_requested_rate(tmp_path: Path) -> None:
    clip = read_clip(write(tmp_path / "a.mkv", tracks=[sounding(2)]), sample_rate=48000)
    assert clip.sample_rate == 48000
    assert clip.audio_windows().shape == (2, 48000)


@pytest.mark.parametrize("rate", [1, 4, 0.2, None])
@pytest.mark.parametrize("chunk", [1, 3, 1000])
def test_chunks_equal_the_whole_clip(tmp_path: Path, rate: float | None, chunk: int) -> None:
    picture = Picture(times_ms=range(300, 6300, 100))
    rng = np.random.default_rng(0)
    track = Track(rng.uniform(-0.5, 0.5, (1, 6 * 44100)).astype(np.float32), 44100)
    path = write(tmp_path / "a.mkv", [picture], [track])
    whole = read_clip(path, rate)
    parts = list(stream_clips(path, rate, frames_per_chunk=chunk))
    assert {len(part.frames) for part in parts[:-1]} <= {chunk}
    for name in ("frames", "frame_times", "audio_times"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(joined, getattr(whole, name))
    for window_s in (0.3, 2.0):
        windows = np.concatenate([part.audio_windows(window_s) for part in parts])
        np.testing.assert_array_equal(windows, whole.audio_windows(window_s))


@pytest.mark.parametrize("chunk", [1, 3])
def test_chunks_have_left_and_right_beside_the_same_mono_audio(tmp_path: Path, chunk: int) -> None:
    picture = Picture(times_ms=range(300, 4300, 100))
    rng = np.random.default_rng(0)
    stereo = rng.uniform(-0.5, 0.5, (2, 4 * 44100)).astype(np.float32)
    path = write(tmp_path / "a.mkv", [picture], [Track(stereo, 44100, "stereo")])
    mono, whole = read_clip(path), read_clip(path, audio_channels=2)
    np.testing.assert_array_equal(whole.audio, mono.audio)
    assert mono.channels is None
    assert whole.channels is not None
    np.testing.assert_allclose(whole.channels.mean(axis=0), whole.audio, atol=1e-6)
    assert np.abs(whole.channels[0] - whole.channels[1]).max() > 0.1
    parts = list(stream_clips(path, frames_per_chunk=chunk, audio_channels=2))
    windows = np.concatenate([part.channel_windows(0.5) for part in parts])
    np.testing.assert_array_equal(windows, whole.channel_windows(0.5))


def test_a_silent_video_has_two_silent_channels(tmp_path: Path) -> None:
    clip = read_clip(write(tmp_path / "a.mp4"), silent_ok=True, audio_channels=2)
    assert clip.channels is not None
    assert clip.channels.shape == (2, len(clip.audio))
    assert not clip.channels.any()


def test_a_chunk_has_only_its_own_frames_and_audio(tmp_path: Path) -> None:
    picture = Picture(times_ms=range(0, 60_000, 500), size=(16, 16))
    path = write(tmp_path / "a.mkv", [picture], [Track(level(0.5, 60))])
    for clip in stream_clips(path, frames_per_chunk=5):
        assert len(clip.frames) == 5
        assert len(clip.audio) <= (4 + 2 * 2.0) * RATE + 1


def test_a_stream_can_be_closed_early(tmp_path: Path) -> None:
    clips = stream_clips(write(tmp_path / "a.mkv", tracks=[sounding(2)]), frames_per_chunk=1)
    assert len(next(clips).frames) == 1


def test_a_video_without_audio_raises_unless_silence_is_allowed(tmp_path: Path) -> None:
    path = write(tmp_path / "silent.mp4")
    with pytest.raises(NoAudioStreamError, match=r"silent.mp4: has no audio track.*--silent-ok"):
        read_clip(path)
    clip = read_clip(path, silent_ok=True)
    assert len(clip.audio) > 2 * RATE
    assert not clip.audio.any()


def test_a_video_that_changes_its_size_is_resized_to_the_first(tmp_path: Path) -> None:
    small, large = (
        write(tmp_path / name, [Picture(times, size)])
        for name, times, size in (
            ("small.ts", range(0, 2000, 100), (48, 64)),
            ("large.ts", range(2000, 4000, 100), (96, 128)),
        )
    )
    path = tmp_path / "both.ts"
    path.write_bytes(small.read_bytes() + large.read_bytes())
    clip = read_clip(path, silent_ok=True)
    assert clip.frames.shape == (4, 48, 64, 3)
    assert taken(clip)[:2] == [9, 19]
    assert set(taken(clip)[2:]) <= {
        8,
        9,
        18,
        19,
    }  # MPEG-TS shifts the start of each stream a little


def test_probe_reads_the_metadata(tmp_path: Path) -> None:
    picture = Picture(times_ms=range(500, 2500, 100), rotation=90)
    track = Track(level(0.5, 2, 44100).repeat(2, 0), 44100, "stereo", codec="aac")
    path = write(tmp_path / "a.mp4", [picture], [track])
    info = probe(path)
    assert (info.path, info.width, info.height, info.rotation) == (str(path), 48, 64, 90)
    assert (info.start_s, info.duration_s) == pytest.approx((0.5, 2.0))
    assert (info.average_rate, info.frame_count) == (10, 20)
    assert (info.video_codec, info.pixel_format) == ("h264", "yuv420p")
    assert (info.audio_codec, info.audio_sample_rate, info.audio_channels) == ("aac", 44100, 2)


def test_probe_reads_the_colour_description(tmp_path: Path) -> None:
    hlg = Picture(pixel_format="yuv420p10le", tags=(9, 18, 9, 1))
    info = probe(write(tmp_path / "hlg.mp4", [hlg]))
    names = (info.colour_primaries, info.colour_transfer, info.colour_matrix, info.colour_range)
    assert names == ("bt2020", "arib-std-b67", "bt2020nc", "tv")
    assert info.hdr
    untagged = probe(write(tmp_path / "untagged.mp4"))
    assert (untagged.colour_primaries, untagged.colour_transfer) == (None, None)
    assert not untagged.hdr


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "alpha"),
    [
        ("prores.mov", "prores_ks", "yuva444p10le", True),
        ("vp9.webm", "libvpx-vp9", "yuva420p", True),
        ("png.mov", "png", "rgba", True),
        ("png.mov", "png", "rgb24", False),
        ("plain.mp4", "libx264", "yuv420p", False),
    ],
)
def test_probe_reports_an_alpha_channel(
    tmp_path: Path, name: str, codec: str, pixel_format: str, alpha: bool
) -> None:
    picture = Picture((0, 100), codec=codec, pixel_format=pixel_format, options={})
    assert probe(write(tmp_path / name, [picture])).alpha is alpha


@pytest.mark.parametrize("name", ["fields.mp4", "fields.mkv", "fields.ts"])
def test_probe_reports_interlaced_video(tmp_path: Path, name: str) -> None:
    fields = Picture(options={"flags": "+ilme+ildct"})
    assert probe(write(tmp_path / name, [fields])).interlaced
    assert not probe(write(tmp_path / f"progressive_{name}")).interlaced


def test_probe_of_a_video_without_audio(tmp_path: Path) -> None:
    info = probe(write(tmp_path / "a.mkv"))
    assert (info.audio_codec, info.audio_sample_rate, info.audio_channels) == (None, None, None)
    assert info.frame_count is None
    assert info.duration_s == pytest.approx(2.0)


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.ts", "a.flv", "a.webm"])
def test_the_length_does_not_include_the_time_before_the_first_frame(
    tmp_path: Path, name: str
) -> None:
    codec, audio = ("libvpx", "libopus") if name == "a.webm" else ("libx264", "aac")
    picture = Picture(times_ms=range(1500, 4500, 100), codec=codec, options={})
    rate = 48000 if audio == "libopus" else 44100
    path = write(tmp_path / name, [picture], [Track(level(0.5, 3, rate), rate, codec=audio)])
    info = probe(path)
    assert info.duration_s == pytest.approx(3.0, abs=0.06)
    clip = read_clip(path, None)
    assert clip.durations is not None
    assert clip.durations.sum() == pytest.approx(3.0, abs=0.06)


def test_probe_computes_the_length_if_the_container_has_none(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", container_options={"live": "1"})
    assert probe(path).duration_s == pytest.approx(2.0, abs=0.11)


NOISE = Picture(times_ms=range(0, 12000, 40), noise=True)


def text(folder: Path) -> Path:
    (folder / "notes.txt").write_text("no video\n" * 100)
    return folder / "notes.txt"


def no_bytes(folder: Path) -> Path:
    (folder / "nothing.mp4").touch()
    return folder / "nothing.mp4"


def sound_only(folder: Path) -> Path:
    return write(folder / "sound.m4a", [], [Track(level(0.5, 1), codec="aac")])


def without_index(folder: Path) -> Path:
    return cut(write(folder / "cut.mp4"), 0.5)


def ends_early(folder: Path) -> Path:
    options = {"movflags": "faststart"}
    return cut(write(folder / "early.mp4", [NOISE], container_options=options), 0.4)


def corrupt(folder: Path) -> Path:
    return overwrite(write(folder / "bad.mp4", [NOISE]), 0.05, 0.9)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (text, NotAVideoError),
        (no_bytes, EmptyVideoError),
        (sound_only, NoVideoStreamError),
        (without_index, TruncatedVideoError),
        (ends_early, TruncatedVideoError),
        (corrupt, CorruptVideoError),
    ],
)
def test_each_kind_of_damage_has_its_own_error(
    tmp_path: Path, make: Callable[[Path], Path], error: type[ClipError]
) -> None:
    path = make(tmp_path)
    with pytest.raises(error, match=path.name) as raised:
        read_clip(path, silent_ok=True)
    assert raised.value.origin == str(path)


def test_a_damaged_stream_yields_the_readable_chunks_and_then_raises(tmp_path: Path) -> None:
    clips: list[Clip] = []
    with pytest.raises(TruncatedVideoError, match=r"decoded 1\d\d of 300 announced frames"):
        clips.extend(stream_clips(ends_early(tmp_path), frames_per_chunk=2, silent_ok=True))
    assert len(clips) >= 2


def test_a_truncated_audio_track_raises_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    track = Track(rng.uniform(-0.5, 0.5, (1, 2 * 44100)).astype(np.float32), 44100, codec="aac")
    path = overwrite(write(tmp_path / "a.mp4", tracks=[track]), 0.4, 0.8)
    with pytest.raises(CorruptVideoError):
        read_clip(path)


def warnings_of(path: Path, *, silent_ok: bool = False) -> list[str]:
    found: list[str] = []
    list(stream_clips(path, None, silent_ok=silent_ok, on_warning=found.append))
    return found


@pytest.mark.parametrize(
    ("video_ms", "audio_s", "place"),
    [
        *((0, 43_200.0, "starts at 4"), (0, 10.0, "starts at (10|9)"), (9_000, 0.0, "ends at 2.")),
        (0, 3.5, "starts at 3."),
    ],
)
@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_audio_that_does_not_overlap_the_picture_is_damage(
    tmp_path: Path, name: str, video_ms: int, audio_s: float, place: str
) -> None:
    picture = Picture(times_ms=range(video_ms, video_ms + 2000, 100))
    track = Track(level(0.5, 2, 44100), 44100, start_s=audio_s, codec="aac")
    path = write(tmp_path / name, [picture], [track])
    with pytest.raises(CorruptVideoError, match=f"{place}.* does not overlap the picture"):
        read_clip(path)
    (warning,) = warnings_of(path, silent_ok=True)
    assert "The video is read as silent" in warning


@pytest.mark.parametrize("name", ["a.mkv", "a.ts"])
def test_audio_that_ends_early_is_a_warning(tmp_path: Path, name: str) -> None:
    picture = Picture(times_ms=range(0, 4000, 100))
    track = Track(level(0.5, 1, 44100), 44100, codec="aac")
    (warning,) = warnings_of(write(tmp_path / name, [picture], [track]))
    assert "the audio ends at" in warning


def test_an_announced_end_of_the_audio_is_no_warning(tmp_path: Path) -> None:
    picture = Picture(times_ms=range(0, 4000, 100))
    track = Track(level(0.5, 1, 44100), 44100, codec="aac")
    assert not warnings_of(write(tmp_path / "a.mp4", [picture], [track]))


@pytest.mark.parametrize("rate", [1, None])
def test_impossible_times_are_damage(tmp_path: Path, rate: float | None) -> None:
    """A damaged time base, for which the audio would need terabytes."""
    path = write(tmp_path / "a.avi", tracks=[sounding(2)])
    data = bytearray(path.read_bytes())
    header = data.index(b"strh") + 28  # scale and rate of the first stream, little-endian
    data[header : header + 8] = (63_753_421).to_bytes(4, "little") + (5).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(CorruptVideoError, match="its times are damaged"):
        read_clip(path, rate, silent_ok=True)


@pytest.mark.parametrize("at", range(0, 48, 4))
@pytest.mark.parametrize("value", [0, 1, 2**31 - 1, 2**32 - 1])
def test_a_damaged_header_of_an_avi_is_a_clip_error(tmp_path: Path, at: int, value: int) -> None:
    path = write(tmp_path / "a.avi", [Picture(times_ms=range(0, 500, 100))], [sounding(1)])
    data = bytearray(path.read_bytes())
    header = data.index(b"strh") + 8 + at
    data[header : header + 4] = value.to_bytes(4, "little")
    path.write_bytes(data)
    try:
        assert probe(path).duration_s > 0
        read_clip(path, None)
    except ClipError as error:
        assert error.origin == str(path)


@pytest.mark.parametrize("error", [av.error.PermissionError(1, "no"), ZeroDivisionError()])
def test_an_error_of_reading_is_that_of_the_file(
    tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    path = write(tmp_path / "a.mkv", tracks=[sounding(2)])
    monkeypatch.setattr("avseg.media.clip.VideoTrack.shown_frames", fail)
    for read in (probe, read_clip):
        with pytest.raises(CorruptVideoError, match="the file is damaged: it cannot be read"):
            read(path)


@pytest.mark.parametrize("error", [MemoryError(), av.error.MemoryError(12, "Cannot allocate")])
@pytest.mark.parametrize("function", ["clip.VideoTrack.shown_frames", "video.DecoderMemory.add"])
def test_too_little_memory_is_no_damage_of_the_file(
    tmp_path: Path, function: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    path = write(tmp_path / "a.mkv", tracks=[sounding(2)])
    monkeypatch.setattr(f"avseg.media.{function}", fail)
    for read in (probe, read_clip):
        with pytest.raises(OutOfMemoryError, match=r"a\.mkv: the memory does not suffice to read"):
            read(path)


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_rate_must_be_positive(rate: float) -> None:
    with pytest.raises(ValueError, match=r"frames_per_second is .*must be positive, or None"):
        stream_clips("street.mp4", rate)


def test_chunks_and_sample_rates_must_be_positive() -> None:
    with pytest.raises(ValueError, match="frames_per_chunk is 0"):
        stream_clips("street.mp4", frames_per_chunk=0)
    with pytest.raises(ValueError, match="sample_rate is 0 Hz"):
        read_clip("street.mp4", sample_rate=0)
    with pytest.raises(ValueError, match="audio_channels is 3; it must be 1 or 2"):
        read_clip("street.mp4", audio_channels=3)
