"""Video tracks: order, times, orientation, colour and damage of frames."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from avseg.errors import CorruptVideoError, EmptyVideoError, NotAVideoError, TruncatedVideoError
from avseg.media.container import choose_video_stream, open_media
from avseg.media.structure import ends_in_fragment_header
from avseg.media.video import Orientation, ShownFrame, VideoTrack, average_rate, to_rgb
from tests.media.videos import Picture, Track, copy_from, cut, grey, level, overwrite, write

LETTERS = {"R": (255, 0, 0), "G": (0, 255, 0), "B": (0, 0, 255), "W": (255, 255, 255)}
NOISE = Picture(times_ms=range(0, 12000, 40), noise=True)


@contextmanager
def opened(path: Path) -> Iterator[VideoTrack]:
    with open_media(path) as container:
        yield VideoTrack(container, choose_video_stream(container, path.name), path.name)


def decode(path: Path) -> list[ShownFrame]:
    """Decode a video that must be intact."""
    with opened(path) as picture:
        frames = list(picture.shown_frames())
        assert picture.damage() is None
    return frames


def damage_of(path: Path) -> Exception | None:
    with opened(path) as picture:
        for _ in picture.shown_frames():
            pass
        return picture.damage()


def starts(frames: list[ShownFrame]) -> list[float]:
    return [round(frame.start_s, 3) for frame in frames]


def shades(frames: list[ShownFrame]) -> list[float]:
    return [float(to_rgb(frame.frame).mean()) for frame in frames]


def corners(rgb: npt.NDArray[np.uint8]) -> str:
    """Return the names of the colours of the four quarters, row by row."""
    height, width = rgb.shape[:2]
    rows, columns = (height // 4, 3 * height // 4), (width // 4, 3 * width // 4)
    points = [rgb[y, x] > 128 for y in rows for x in columns]
    names = {tuple(value > 128 for value in colour): name for name, colour in LETTERS.items()}
    return "".join(names[tuple(point.tolist())] for point in points)


def quarters(names: str) -> npt.NDArray[np.uint8]:
    """Draw four quarters of 24 x 32 pixels in named colours."""
    cells = [np.full((24, 32, 3), LETTERS[name], np.uint8) for name in names]
    return np.block([[[cells[0]], [cells[1]]], [[cells[2]], [cells[3]]]])


@pytest.mark.parametrize("name", ["plain.mp4", "plain.mkv", "plain.ts", "plain.avi"])
@pytest.mark.parametrize("b_frames", ["0", "3"])
def test_frames_are_in_presentation_order(tmp_path: Path, name: str, b_frames: str) -> None:
    options = {"preset": "medium", "bf": b_frames, "crf": "10"}
    frames = decode(write(tmp_path / name, [Picture(options=options)]))
    assert shades(frames) == pytest.approx([grey(index) for index in range(20)], abs=2)
    first = frames[0].start_s
    assert starts(frames) == pytest.approx([first + index / 10 for index in range(20)], abs=2e-3)


def test_the_last_frame_ends_with_its_duration(tmp_path: Path) -> None:
    assert decode(write(tmp_path / "plain.mp4"))[-1].end_s == pytest.approx(2.0)


@pytest.mark.parametrize("name", ["vfr.mp4", "vfr.mkv"])
def test_a_variable_rate_keeps_its_times(tmp_path: Path, name: str) -> None:
    times_ms = [0, 100, 900, 950, 1000, 1700]
    frames = decode(write(tmp_path / name, [Picture(times_ms=times_ms)]))
    assert starts(frames) == [time / 1000 for time in times_ms]
    assert [round(frame.end_s, 3) for frame in frames[:-1]] == starts(frames)[1:]


def test_a_still_frame_is_no_damage(tmp_path: Path) -> None:
    times_ms = [*range(0, 1000, 40), *range(9000, 10000, 40)]
    assert len(decode(write(tmp_path / "pause.mkv", [Picture(times_ms, noise=True)]))) == 50


@pytest.mark.parametrize("name", ["late.mp4", "late.mkv"])
def test_a_video_that_starts_late_keeps_its_times(tmp_path: Path, name: str) -> None:
    frames = decode(write(tmp_path / name, [Picture(times_ms=range(500, 2500, 100))]))
    assert starts(frames)[:2] == [0.5, 0.6]


@pytest.mark.parametrize(
    ("rotation", "mirrored", "expected", "shape"),
    [
        (0, False, "RGBW", (48, 64, 3)),
        (90, False, "GWRB", (64, 48, 3)),
        (180, False, "WBGR", (48, 64, 3)),
        (270, False, "BRWG", (64, 48, 3)),
        (0, True, "GRWB", (48, 64, 3)),
        (90, True, "WGBR", (64, 48, 3)),
    ],
)
def test_frames_are_rotated_by_the_display_matrix(
    tmp_path: Path, rotation: int, mirrored: bool, expected: str, shape: tuple[int, int, int]
) -> None:
    drawn = Picture(rotation=rotation, mirrored=mirrored, drawing=quarters("RGBW"))
    frame = decode(write(tmp_path / "turned.mp4", [drawn]))[0].frame
    rgb = to_rgb(frame)
    assert rgb.shape == shape
    assert corners(rgb) == expected
    assert Orientation.of(frame).rotation == rotation
    assert rgb.flags.c_contiguous


def test_a_rotated_frame_is_resized_to_its_displayed_size(tmp_path: Path) -> None:
    drawn = Picture(rotation=90, drawing=quarters("RGBW"))
    frame = decode(write(tmp_path / "turned.mp4", [drawn]))[0].frame
    rgb = to_rgb(frame, size=(32, 24))
    assert rgb.shape == (32, 24, 3)
    assert corners(rgb) == "GWRB"


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "size"),
    [
        ("ten.mkv", "libx264", "yuv420p10le", (48, 64)),
        ("full.mkv", "libx264", "yuvj420p", (48, 64)),
        ("hevc.mkv", "libx265", "yuv420p", (64, 64)),
        ("odd.mkv", "libx264", "yuv444p", (47, 63)),
        ("odd.webm", "libvpx-vp9", "yuv420p", (47, 63)),
    ],
)
def test_any_pixel_format_and_size_becomes_8_bit_rgb(
    tmp_path: Path, name: str, codec: str, pixel_format: str, size: tuple[int, int]
) -> None:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    stored = Picture(codec=codec, pixel_format=pixel_format, size=size, options=options)
    rgb = to_rgb(decode(write(tmp_path / name, [stored]))[12].frame)
    assert rgb.dtype == np.uint8
    assert rgb.shape == (*size, 3)
    assert rgb.mean() == pytest.approx(grey(12), abs=3)


def test_the_colour_matrix_is_the_one_that_the_frame_declares() -> None:
    colour = np.full((48, 64, 3), (200, 40, 90), np.uint8)
    stored = av.VideoFrame.from_ndarray(colour, format="rgb24").reformat(
        format="yuv444p", dst_colorspace="ITU709"
    )
    assert np.abs(to_rgb(stored).astype(int) - colour).max() <= 3


def test_the_average_rate_is_that_of_the_container(tmp_path: Path) -> None:
    with open_media(write(tmp_path / "plain.mp4")) as container:
        assert average_rate(choose_video_stream(container, "plain.mp4")) == 10


def test_damage_of_an_mp4_reports_the_number_of_decoded_frames(tmp_path: Path) -> None:
    damage = damage_of(overwrite(write(tmp_path / "bad.mp4", [NOISE]), 0.05, 0.9))
    assert isinstance(damage, CorruptVideoError)
    assert str(damage).startswith("bad.mp4: the video stream is damaged: decoded ")
    assert "of 300 announced frames" in str(damage)


@pytest.mark.parametrize("name", ["bad.mkv", "bad.ts"])
def test_a_gap_is_detected_in_containers_without_a_frame_count(tmp_path: Path, name: str) -> None:
    options = {"preset": "veryfast", "g": "25"}
    noise = Picture(times_ms=range(0, 12000, 40), noise=True, options=options)
    damage = damage_of(overwrite(write(tmp_path / name, [noise]), 0.4, 0.6))
    assert isinstance(damage, CorruptVideoError)


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize("begin", [0.3, 0.55, 0.8])
def test_a_small_hole_in_a_transport_stream_is_no_silent_loss(
    tmp_path: Path, codec: str, begin: float
) -> None:
    options = {"g": "100", "preset": "ultrafast", "crf": "40"}
    if codec == "libx265":
        options |= {"x265-params": "log-level=none:keyint=100:bframes=4"}
    noise = Picture(range(0, 12000, 40), codec=codec, noise=True, options=options)
    path = overwrite(write(tmp_path / "hole.ts", [noise]), begin, begin + 0.03)
    with opened(path) as picture:
        count = len(list(picture.shown_frames()))
        damage = picture.damage()
        assert count >= 297 or damage is not None
    assert damage is not None or picture.warnings() or count == 300


def test_a_transport_stream_that_loses_its_packets_reports_it(tmp_path: Path) -> None:
    """A loss of 0.4 s, shorter than what counts as a jump in an intact file."""
    options = {"preset": "ultrafast", "g": "5", "crf": "10"}
    noise = Picture(range(0, 4000, 40), noise=True, options=options)
    path = write(tmp_path / "gap.ts", [noise])
    packets = path.stat().st_size // 188
    data = path.read_bytes()
    path.write_bytes(data[: packets // 2 * 188] + data[round(packets * 0.6) * 188 :])
    assert isinstance(damage_of(path), CorruptVideoError)


FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}


@pytest.mark.parametrize("share", [0.4, 0.6, 0.7, 0.8, 0.9])
def test_a_fragmented_mp4_that_was_cut_is_damaged(tmp_path: Path, share: float) -> None:
    noise = Picture(range(0, 4000, 40), noise=True, options={"g": "25", "preset": "ultrafast"})
    path = cut(write(tmp_path / "cut.mp4", [noise], container_options=FRAGMENTS), share)
    try:
        damage = damage_of(path)
    except TruncatedVideoError as error:  # FFmpeg does not open some of them
        damage = error
    assert isinstance(damage, CorruptVideoError | TruncatedVideoError)


def test_a_fragmented_mp4_that_was_cut_in_a_header_is_truncated(tmp_path: Path) -> None:
    picture = Picture(range(0, 4000, 40), options={"g": "25", "preset": "ultrafast"})
    rng = np.random.default_rng(0)
    track = Track(rng.uniform(-1, 1, (1, 4 * 44100)).astype(np.float32), 44100, codec="aac")
    path = write(tmp_path / "cut.mp4", [picture], [track], container_options=FRAGMENTS)
    assert damage_of(path) is None
    data = path.read_bytes()
    last = data.rindex(b"moof") - 4
    path.write_bytes(data[: last + 40])
    assert ends_in_fragment_header(path)
    with pytest.raises(TruncatedVideoError):
        raise damage_of(path) or AssertionError
    path.write_bytes(data[:last])
    assert not ends_in_fragment_header(path)


@pytest.mark.parametrize("start_s", [0.4, 2.6, 3.6])
def test_frames_that_an_edit_list_hides_are_not_missing(tmp_path: Path, start_s: float) -> None:
    whole = Picture(range(0, 4000, 40), options={"preset": "ultrafast", "g": "100"})
    path = copy_from(write(tmp_path / "whole.mp4", [whole]), tmp_path / "copied.mp4", start_s)
    assert len(decode(path)) == round((4 - start_s) * 25)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cut.ts", "the file ends within a packet"),
        ("cut.avi", "bytes that it announces"),
    ],
)
def test_an_end_that_is_a_little_early_is_a_warning(
    tmp_path: Path, name: str, message: str
) -> None:
    path = cut(write(tmp_path / name, [NOISE]), 0.976)
    with opened(path) as picture:
        for _ in picture.shown_frames():
            pass
        assert picture.damage() is None
        assert any(message in warning for warning in picture.warnings())


def test_times_that_start_again_are_damage(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ts", [NOISE])
    path.write_bytes(path.read_bytes() * 2)
    damage = damage_of(path)
    assert isinstance(damage, CorruptVideoError)
    assert "the times of 300 frames are not after the frame before" in str(damage)


def test_an_undecodable_start_is_a_warning(tmp_path: Path) -> None:
    options = {"preset": "ultrafast", "g": "50", "crf": "10"}
    path = write(tmp_path / "a.mp4", [Picture(range(0, 4000, 40), noise=True, options=options)])
    data = path.read_bytes()
    begin = data.index(b"mdat") + 4
    path.write_bytes(data[:begin] + bytes(1000) + data[begin + 1000 :])
    with opened(path) as picture:
        count = len(list(picture.shown_frames()))
        assert count == 100 or picture.damage() is not None or picture.warnings()


@pytest.mark.parametrize("name", ["bad.mp4", "bad.mkv", "bad.ts"])
def test_frames_that_the_decoder_repaired_count_as_missing(tmp_path: Path, name: str) -> None:
    damage = damage_of(overwrite(write(tmp_path / name, [NOISE]), 0.05, 0.9, flips=400))
    assert isinstance(damage, CorruptVideoError | TruncatedVideoError)
    assert "of them damaged" in str(damage)


def test_a_few_lost_frames_are_a_warning(tmp_path: Path) -> None:
    # In the last tenth of a second a couple of bytes: at most three frames suffer.
    path = overwrite(write(tmp_path / "scratch.ts", [NOISE]), 0.975, 0.98, flips=6)
    with opened(path) as picture:
        for _ in picture.shown_frames():
            pass
        assert picture.damage() is None
        (warning,) = picture.warnings()
    assert warning.startswith("decoded 300 of 300 announced frames")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cut.mp4", {"movflags": "faststart"}),
        ("cut.mkv", None),
        ("cut.avi", None),
    ],
)
def test_damage_of_a_truncated_file_reports_its_end(
    tmp_path: Path, name: str, options: dict[str, str] | None
) -> None:
    damage = damage_of(cut(write(tmp_path / name, [NOISE], container_options=options), 0.4))
    assert isinstance(damage, TruncatedVideoError)
    message = rf"{name}: the file ends early, at [3-6]\.\d\d s of 1\d\.\d\d s \(decoded 1?\d\d of"
    assert re.match(message, str(damage))


def test_a_video_stream_without_frames_is_empty(tmp_path: Path) -> None:
    path = write(tmp_path / "none.avi", [Picture(times_ms=[])], [Track(level(0.5, 1))])
    damage = damage_of(path)
    assert isinstance(damage, EmptyVideoError)
    assert "has no frames" in str(damage)


def test_a_raw_stream_has_no_times(tmp_path: Path) -> None:
    damage = damage_of(write(tmp_path / "raw.h264"))
    assert isinstance(damage, NotAVideoError)
    assert "store it in a container" in str(damage)


def test_a_converted_frame_is_not_kept_in_memory(tmp_path: Path) -> None:
    frame = decode(write(tmp_path / "a.mp4", [Picture(rotation=90)]))[0].frame
    holders = sys.getrefcount(frame)
    to_rgb(frame)
    assert sys.getrefcount(frame) == holders
