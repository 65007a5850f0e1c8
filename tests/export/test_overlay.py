"""The overlay keeps times and audio of the video, and lights sounding objects."""

import errno
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from avseg.errors import OutputError
from avseg.export import open_overlay, save_overlay
from avseg.media import probe, read_clip
from avseg.media.conversion import stored_rgb
from avseg.types import AudioTrackOption, Segmentation
from tests.export.conftest import (
    VideoMaker,
    audio_packets,
    chunks_of,
    luma,
    segment,
    segment_named,
    video_times,
)
from tests.media.patches import COLOURS, SIZE, first_frame, means, write_patches
from tests.media.videos import Picture, Track, level, write

EVEN_TIMES_MS = range(0, 1000, 100)
UNEVEN_TIMES_MS = [0, 33, 150, 151, 400, 900, 1000, 1750]
LATE_TIMES_MS = range(1500, 2500, 100)


@pytest.mark.parametrize(
    "times_ms", [EVEN_TIMES_MS, UNEVEN_TIMES_MS, LATE_TIMES_MS], ids=["even", "uneven", "late"]
)
def test_every_frame_keeps_its_time(
    make_video: VideoMaker, tmp_path: Path, times_ms: list[int]
) -> None:
    video = make_video(times_ms=times_ms)
    report = save_overlay(segment(video, [0.0]), tmp_path / "overlay.mp4")
    assert video_times(report.path) == pytest.approx([time / 1000 for time in times_ms])
    assert report.frame_count == len(times_ms)


@pytest.mark.parametrize(
    ("codec", "container"),
    [("aac", "mp4"), ("aac", "ts"), ("libmp3lame", "mp4"), ("libopus", "mkv"), ("flac", "mkv")],
)
def test_audio_that_mp4_supports_is_copied_bit_for_bit_at_its_times(
    make_video: VideoMaker, tmp_path: Path, codec: str, container: str
) -> None:
    video = make_video(f"video.{container}", audio_codec=codec)
    report = save_overlay(segment(video, [0.0]), tmp_path / "overlay.mp4")
    before, after = audio_packets(video.path), audio_packets(report.path)
    name = codec.removeprefix("lib").replace("mp3lame", "mp3")
    assert report.sound == f"copied ({name})"
    assert len(before) >= 10
    if container != "ts":  # whose packets carry a header each, which mp4 keeps once for all
        assert [md5 for _, md5 in after] == [md5 for _, md5 in before]
    assert [time for time, _ in after] == pytest.approx([time for time, _ in before], abs=1e-3)


def test_frames_of_an_avi_have_the_times_of_the_segmentation(
    make_video: VideoMaker, tmp_path: Path
) -> None:
    video = make_video("video.avi", audio_codec="libmp3lame")
    report = save_overlay(segment(video, [0.0]), tmp_path / "overlay.mp4")
    assert report.sound == "copied (mp3)"
    clip = read_clip(video.path, frames_per_second=None)
    assert video_times(report.path) == pytest.approx(clip.frame_times)


def test_audio_and_video_that_start_late_stay_in_sync(
    make_video: VideoMaker, tmp_path: Path
) -> None:
    video = make_video(times_ms=LATE_TIMES_MS, audio_codec="aac")
    report = save_overlay(segment(video, [2.0]), tmp_path / "overlay.mp4")
    assert video_times(report.path)[0] == pytest.approx(1.5)
    assert audio_packets(report.path) == audio_packets(video.path)


@pytest.mark.parametrize(
    ("codec", "container"), [("ac3", "mp4"), ("pcm_s16le", "mov"), ("alac", "mov")]
)
def test_other_audio_is_encoded_again_and_reported(
    make_video: VideoMaker, tmp_path: Path, codec: str, container: str
) -> None:
    video = make_video(f"video.{container}", audio_codec=codec)
    report = save_overlay(segment(video, [0.0]), tmp_path / "overlay.mp4")
    assert report.sound == f"encoded anew ({codec} to aac)"
    with av.open(str(report.path)) as overlay:
        sound = np.concatenate([f.to_ndarray()[0] for f in overlay.decode(audio=0)])
        assert overlay.streams.audio[0].codec_context.name == "aac"
    assert len(sound) / 48000 == pytest.approx(1.0, abs=0.05)
    assert np.abs(sound[4800:-4800]).max() == pytest.approx(9000 / 32768, rel=0.1)


def test_a_video_without_audio_gets_an_overlay_without_audio(
    make_video: VideoMaker, tmp_path: Path
) -> None:
    report = save_overlay(segment(make_video(), [0.0]), tmp_path / "overlay.mp4")
    assert report.sound == "none"
    assert not av.open(str(report.path)).streams.audio


def test_the_overlay_is_h264_in_yuv420p_with_its_index_at_the_front(
    make_video: VideoMaker, tmp_path: Path
) -> None:
    report = save_overlay(segment(make_video(full_range=True), [0.0]), tmp_path / "overlay.mp4")
    info = probe(report.path)
    assert (info.video_codec, info.pixel_format) == ("h264", "yuv420p")
    content = report.path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_odd_sizes_are_padded_to_even_ones(make_video: VideoMaker, tmp_path: Path) -> None:
    video = make_video(size=(47, 63))
    report = save_overlay(segment(video, [0.0], sounding=[False]), tmp_path / "overlay.mp4")
    drawn, original = luma(report.path)[0], luma(video.path)[0]
    assert drawn.shape == (48, 64)
    above_the_strip = slice(0, 40)
    difference = drawn[above_the_strip, :63].astype(int) - original[above_the_strip]
    assert np.abs(difference).max() < 12


def test_a_large_video_is_scaled_down_by_a_whole_number(
    make_video: VideoMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avseg.export.overlay.MAX_OVERLAY_PIXELS", 48 * 64 // 4)
    monkeypatch.setattr("avseg.export.overlay._LARGE_PIXELS", 1)
    video = make_video()
    save_overlay(segment(video, [0.0]), tmp_path / "overlay.mp4")
    drawn = luma(tmp_path / "overlay.mp4")
    assert drawn.shape[1:] == (24, 32)
    # The mask covers the middle half of each side, so the corner is darkened.
    assert drawn[0, 12, 10] > drawn[0, 2, 2] + 10


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_a_rotated_or_mirrored_video_is_drawn_as_displayed(
    make_video: VideoMaker, tmp_path: Path, rotation: int, mirrored: bool
) -> None:
    video = make_video(rotation=rotation, mirrored=mirrored)
    info = probe(video.path)
    silent = segment(type(video)(video.path, info.height, info.width), [0.0], sounding=[False])
    picture = luma(save_overlay(silent, tmp_path / "overlay.mp4").path)[0].astype(int)
    upright = np.rot90(luma(video.path)[0].astype(int), rotation // 90)
    upright = upright[:, ::-1] if mirrored else upright
    assert picture.shape == upright.shape == (info.height, info.width)
    assert np.abs(picture - upright)[:-4].mean() < 3


def test_sounding_objects_stay_bright_and_the_background_is_darkened(
    make_video: VideoMaker, tmp_path: Path
) -> None:
    video = make_video(size=(96, 128))
    report = save_overlay(segment(video, [0.0]), tmp_path / "overlay.mp4")
    before, after = luma(video.path)[5].astype(int), luma(report.path)[5].astype(int)
    assert after[40:56, 44:56].mean() > before[40:56, 44:56].mean()
    assert after[:8, :8].mean() < 0.75 * before[:8, :8].mean()


def test_a_sounding_object_is_outlined(make_video: VideoMaker, tmp_path: Path) -> None:
    video = make_video(size=(96, 128))
    picture = luma(save_overlay(segment(video, [0.0]), tmp_path / "overlay.mp4").path)[5]
    on_the_edge = picture[30:66, 31:33].mean()  # columns on either side of the left edge
    assert on_the_edge > picture[30:66, 40:50].mean() + 20


def test_a_frame_without_a_mask_is_unchanged(make_video: VideoMaker, tmp_path: Path) -> None:
    video = make_video(full_range=False)
    silent = segment(video, [0.0], sounding=[False])
    drawn = luma(save_overlay(silent, tmp_path / "overlay.mp4").path)[:, :-4].astype(int)
    assert np.abs(drawn - luma(video.path)[:, :-4]).mean() < 2


def test_a_frame_shows_the_mask_nearest_in_time(make_video: VideoMaker, tmp_path: Path) -> None:
    video = make_video(times_ms=range(0, 2000, 100))
    masks = segment(video, [0.4, 1.05, 1.9], sounding=[True, False, True])
    drawn = luma(save_overlay(masks, tmp_path / "overlay.mp4").path)
    dimmed = drawn[:, :6, :6].mean(axis=(1, 2)) < 0.75 * luma(video.path)[:, :6, :6].mean()
    # The middles are 0.725 s and 1.475 s.
    assert dimmed.tolist() == [True] * 8 + [False] * 7 + [True] * 5


def test_a_legend_lists_the_sources_with_a_mask(make_video: VideoMaker, tmp_path: Path) -> None:
    video = make_video(size=(96, 128), times_ms=range(0, 2000, 100))
    box = (slice(60, 80), slice(80, 110))
    masks = segment_named(video, [0.5, 1.5], dog=(box, [0.5, 0.0]))
    drawn = luma(save_overlay(masks, tmp_path / "overlay.mp4").path)
    corner = drawn[:, 4:20, 4:40].astype(int)
    assert (corner.max(axis=(1, 2)) > 180).tolist() == [True] * 11 + [False] * 9


def test_the_timeline_shows_sounding_times(make_video: VideoMaker, tmp_path: Path) -> None:
    video = make_video(size=(96, 128), times_ms=range(0, 2000, 100))
    masks = segment(video, [0.5, 1.5], sounding=[True, False])
    strip = luma(save_overlay(masks, tmp_path / "overlay.mp4").path)[:, -2]
    sounded, silent = strip[-1, 10:50].mean(), strip[-1, 80:120].mean()
    to_come = strip[0, 20:].mean()
    assert sounded > silent + 20 > to_come + 40


def test_chunks_give_the_same_overlay_as_the_whole(make_video: VideoMaker, tmp_path: Path) -> None:
    video = make_video(audio_codec="aac")
    whole = segment(video, [0.1, 0.4, 0.7], sounding=[True, False, True])
    expected = save_overlay(whole, tmp_path / "whole.mp4").path
    with open_overlay(probe(video.path), tmp_path / "chunks.mp4") as writer:
        for part in chunks_of(whole):
            writer.write(part)
    # Not bit for bit: x264 itself may differ a little between two runs on such small frames.
    difference = luma(tmp_path / "chunks.mp4").astype(int) - luma(expected)
    assert np.abs(difference).max() <= 8


def test_frames_are_drawn_as_soon_as_their_mask_is_known(
    make_video: VideoMaker, tmp_path: Path
) -> None:
    video = make_video()
    with open_overlay(probe(video.path), tmp_path / "overlay.mp4") as writer:
        counts = []
        for part in chunks_of(segment(video, [0.05, 0.45, 0.85])):
            writer.write(part)
            counts.append(writer.frame_count)
    assert counts == [0, 3, 7]  # the middles are 0.25 s and 0.65 s
    assert writer.frame_count == 10


def test_masks_of_another_size_raise(make_video: VideoMaker, tmp_path: Path) -> None:
    small, large = make_video("small.mp4"), make_video("large.mp4", size=(64, 64))
    masks = segment(large, [0.0])
    with (
        pytest.raises(
            OutputError, match=r"have \(height, width\) \(48, 64\), the masks \(64, 64\)"
        ),
        open_overlay(probe(small.path), tmp_path / "overlay.mp4") as writer,
    ):
        writer.write(masks)
    assert not list(tmp_path.glob("*overlay*"))


def test_chunks_out_of_order_raise(make_video: VideoMaker, tmp_path: Path) -> None:
    video = make_video()
    with (
        pytest.raises(OutputError, match=r"masks at 0.100 s were written after masks at 0.500 s"),
        open_overlay(probe(video.path), tmp_path / "overlay.mp4") as writer,
    ):
        writer.write(segment(video, [0.5]))
        writer.write(segment(video, [0.1]))


def test_an_interrupted_overlay_leaves_nothing_behind_and_the_old_one_in_place(
    make_video: VideoMaker, tmp_path: Path
) -> None:
    video, path = make_video(), tmp_path / "out" / "overlay.mp4"
    save_overlay(segment(video, [0.0]), path)
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), open_overlay(probe(video.path), path) as writer:
        writer.write(segment(video, [0.0]))
        raise KeyboardInterrupt
    assert [entry.name for entry in path.parent.iterdir()] == ["overlay.mp4"]
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("layout", "channels"), [("7.1", 8), ("9 channels", 9), ("7.1.4", 12), ("37 channels", 37)]
)
def test_audio_of_many_channels_is_encoded(tmp_path: Path, layout: str, channels: int) -> None:
    track = Track(np.full((channels, 16000), 0.5, np.float32), layout=layout)
    path = write(tmp_path / "many.mkv", tracks=[track])
    blank = blank_segmentation(path)
    report = save_overlay(blank, tmp_path / "overlay.mp4")
    assert report.sound == "encoded anew (pcm_s16le to aac)"
    with av.open(str(report.path)) as overlay:
        assert sum(frame.samples for frame in overlay.decode(audio=0)) >= 15000


class FailsToClose:
    """A container whose first call of `close` fails, as on a full disk."""

    def __init__(self, container: av.container.OutputContainer) -> None:
        self.container = container

    def __getattr__(self, name: str) -> Any:
        return getattr(self.container, name)

    def __enter__(self) -> "FailsToClose":
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    def close(self) -> None:
        """Fail."""
        raise av.error.OSError(errno.ENOSPC, "No space left on device")


def test_an_error_is_not_hidden_by_that_of_closing_the_overlay(
    make_video: VideoMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video, path = make_video(), tmp_path / "overlay.mp4"
    real: Any = av.open

    def open_output(name: str, mode: str = "r", **options: Any) -> Any:
        opened = real(name, mode, **options)
        return FailsToClose(opened) if mode == "w" else opened

    monkeypatch.setattr(av, "open", open_output)
    with (
        pytest.raises(ZeroDivisionError, match="the first error"),
        open_overlay(probe(video.path), path) as writer,
    ):
        writer.write(blank_segmentation(video.path))
        raise ZeroDivisionError("the first error")
    assert not path.exists()


def two_tracks(path: Path, **options: Any) -> Path:
    """Write a silent default track and a second one with a tone."""
    silent = Track(level(0.0, 2, 44100), 44100, codec="aac", default=True)
    sounding = Track(level(0.5, 2, 44100), 44100, codec="aac", **options)
    return write(path, tracks=[silent, sounding])


def audio_of(path: Path, number: int = 1) -> list[str]:
    """Read the hashes of the packets of an audio track."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[number - 1]
        return [bytes(packet).hex() for packet in container.demux(stream) if packet.size]


@pytest.mark.parametrize(("option", "number"), [("auto", 2), (2, 2), (1, 1)])
def test_the_overlay_has_the_audio_track_that_was_used(
    tmp_path: Path, option: AudioTrackOption, number: int
) -> None:
    path = two_tracks(tmp_path / "two.mp4")
    report = save_overlay(blank_segmentation(path), tmp_path / "overlay.mp4", option)
    assert audio_of(report.path) == audio_of(path, number)


def test_the_overlay_of_a_mix_has_the_mix(tmp_path: Path) -> None:
    tracks = [Track(level(value, 2)) for value in (0.25, 0.5)]
    path = write(tmp_path / "two.mkv", tracks=tracks)
    report = save_overlay(blank_segmentation(path), tmp_path / "overlay.mp4", "mix")
    assert report.sound == "mixed (audio tracks 1, 2 to mono aac)"
    with av.open(str(report.path)) as overlay:
        samples = np.concatenate([f.to_ndarray() for f in overlay.decode(audio=0)], axis=1)[0]
    assert len(samples) == pytest.approx(2 * 48000, abs=2048)
    # AAC does not keep a constant level at the start and the end.
    assert samples[24000:72000].mean() == pytest.approx(0.75, abs=0.05)


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
@pytest.mark.parametrize("start_s", [43_200.0, 10.0])
@pytest.mark.parametrize("option", ["auto", "mix"])
def test_audio_that_does_not_overlap_the_picture_is_not_in_the_overlay(
    tmp_path: Path,
    codec: str,
    start_s: float,
    option: AudioTrackOption,
    caplog: pytest.LogCaptureFixture,
) -> None:
    track = Track(level(0.5, 2, 44100), 44100, start_s=start_s, codec=codec)
    path = write(tmp_path / "late.mkv", tracks=[track])
    report = save_overlay(blank_segmentation(path), tmp_path / "overlay.mp4", option)
    assert report.sound == "none"
    assert "audio track 1 does not overlap the picture" in caplog.text
    with av.open(str(report.path)) as overlay:
        assert not overlay.streams.audio
        assert overlay.duration == pytest.approx(2_000_000, abs=200_000)


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
def test_audio_long_after_the_picture_is_not_in_the_overlay(
    tmp_path: Path, codec: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A jump of the timestamps by twelve hours."""
    track = Track(level(0.5, 3, 44100), 44100, codec=codec, gap=(1.0, 43_200.0))
    path = write(tmp_path / "jump.mkv", tracks=[track])
    report = save_overlay(blank_segmentation(path), tmp_path / "overlay.mp4")
    with av.open(str(report.path)) as overlay:
        assert overlay.duration == pytest.approx(2_000_000, abs=200_000)
    assert "it continues at 43201 s, long after the picture" in caplog.text


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "tags", "written"),
    [
        ("a.mkv", "libx264rgb", "rgb24", (2, 2, 0, 2), ("bt709", "bt709", "bt709", "tv")),
        ("a.mov", "png", "rgba", (2, 2, 2, 0), ("bt709", "bt709", "bt709", "tv")),
        ("a.mov", "qtrle", "rgb24", (2, 2, 2, 0), ("bt709", "bt709", "bt709", "tv")),
        ("a.mp4", "libx264", "yuvj420p", (1, 1, 1, 2), ("bt709", "bt709", "bt709", "tv")),
        ("b.mp4", "libx264", "yuv444p10le", (1, 1, 1, 1), ("bt709", "bt709", "bt709", "tv")),
        ("a.mov", "prores_ks", "yuv422p10le", (1, 1, 1, 1), ("bt709", "bt709", "bt709", "tv")),
        ("c.mp4", "libx264", "yuv420p", (5, 5, 5, 1), ("bt470bg", "bt470bg", "bt470bg", "tv")),
        ("d.mp4", "libx264", "yuv420p", (2, 2, 2, 0), (None, None, None, None)),
        ("e.mp4", "libx264", "yuvj420p", (2, 2, 2, 2), (None, None, None, None)),
    ],
)
def test_the_overlay_has_the_colours_of_its_video_and_describes_them(
    tmp_path: Path,
    name: str,
    codec: str,
    pixel_format: str,
    tags: tuple[int, int, int, int],
    written: tuple[str | None, ...],
) -> None:
    video = write_patches(tmp_path / name, codec, pixel_format, tags)
    path = save_overlay(blank_segmentation(video), tmp_path / "overlay.mp4").path
    shown = first_frame(path)
    colours = stored_rgb(shown.reformat(format="yuv444p16le"), SIZE, SIZE)
    assert np.abs(means(colours) - COLOURS).max() <= 3
    assert np.abs(means(colours) - COLOURS).mean() <= 1
    info = probe(path)
    found = (info.colour_primaries, info.colour_transfer, info.colour_matrix, info.colour_range)
    assert found == written


def test_the_overlay_of_hdr_is_sdr(tmp_path: Path) -> None:
    video = write_patches(tmp_path / "a.mkv", "ffv1", "yuv420p10le", (9, 18, 9, 1), COLOURS * 0.7)
    path = save_overlay(blank_segmentation(video), tmp_path / "overlay.mp4").path
    info = probe(path)
    assert (info.colour_primaries, info.colour_transfer) == ("bt709", "bt709")
    assert (info.colour_matrix, info.colour_range, info.hdr) == ("bt709", "tv", False)
    seen = means(stored_rgb(first_frame(video), SIZE, SIZE))
    shown = means(stored_rgb(first_frame(path).reformat(format="yuv444p16le"), SIZE, SIZE))
    assert np.abs(shown - seen).mean() <= 1


@pytest.mark.parametrize(
    ("rate", "timecode"),
    [("25", "01:02:03:04"), ("30000/1001", "01:02:03;04"), ("24000/1001", "23:59:59:23")],
)
@pytest.mark.parametrize("name", ["a.mov", "a.mkv"])
def test_the_overlay_has_the_timecode_of_its_video(
    tmp_path: Path, name: str, rate: str, timecode: str
) -> None:
    fps = Fraction(rate)
    picture = Picture((0, 40, 80), time_base=1 / fps, rate=fps, metadata={"timecode": timecode})
    video = write(tmp_path / name, [picture])
    report = save_overlay(blank_segmentation(video), tmp_path / "overlay.mp4")
    assert probe(report.path).timecode == timecode
    with av.open(str(report.path)) as overlay:
        assert [stream.metadata["timecode"] for stream in overlay.streams.data] == [timecode]


def test_a_timecode_that_mp4_cannot_store_is_left_out(tmp_path: Path) -> None:
    """Drop-frame timecode counts 30 or 60 frames per second only."""
    picture = Picture(rate=Fraction(25), metadata={"timecode": "01:02:03;04"})
    video = write(tmp_path / "a.mkv", [picture])
    report = save_overlay(blank_segmentation(video), tmp_path / "overlay.mp4")
    assert probe(video).timecode == "01:02:03;04"
    assert probe(report.path).timecode is None


def blank_segmentation(path: Path) -> Segmentation:
    info = probe(path)
    return Segmentation(
        origin=str(path),
        frame_times=np.array([info.start_s]),
        masks=np.zeros((1, info.height, info.width), np.bool_),
        scores=np.zeros(1, np.float32),
        model="drawn",
        threshold=0.5,
    )
