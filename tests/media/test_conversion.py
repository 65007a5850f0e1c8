"""Conversion of frames of every kind to the two formats that are used."""

from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from avseg.media import stream_clips
from avseg.media.colour import ColourTags
from avseg.media.conversion import i420_tags, stored_i420, stored_rgb
from tests.media.patches import (
    COLOURS,
    PATCH,
    SIZE,
    first_frame,
    means,
    patches,
    write_patches,
)
from tests.media.videos import Picture, write


def planes(frame: av.VideoFrame) -> list[npt.NDArray[np.uint8]]:
    return [np.frombuffer(bytes(plane), np.uint8) for plane in frame.planes]


def noise(pixel_format: str) -> av.VideoFrame:
    rgb = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    return av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=pixel_format)


@pytest.mark.parametrize("matrix", [1, 2, 5, 6])
@pytest.mark.parametrize("colour_range", [0, 1])
def test_frames_of_8_bits_and_limited_range_are_converted_as_before(
    matrix: int, colour_range: int
) -> None:
    """Results of earlier versions stay valid: R'G'B' by FFmpeg's default, Y'CbCr copied."""
    frame = noise("yuv420p")
    frame.colorspace, frame.color_range = matrix, colour_range
    expected = frame.to_ndarray(format="rgb24")
    np.testing.assert_array_equal(stored_rgb(frame, 50, 70), expected)
    for copied, stored in zip(planes(stored_i420(frame, 50, 70)), planes(frame), strict=True):
        np.testing.assert_array_equal(copied, stored)


FORMATS = [
    *("yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le"),
    *("yuv420p12le", "yuv444p12le", "yuva420p", "yuva444p10le"),
]


@pytest.mark.parametrize("pixel_format", FORMATS)
@pytest.mark.parametrize("matrix", [1, 2, 5, 7])
@pytest.mark.parametrize("colour_range", [0, 1, 2])
def test_y_cb_cr_becomes_the_colours_that_it_describes(
    pixel_format: str, matrix: int, colour_range: int
) -> None:
    frame = patches(pixel_format, matrix, colour_range == 2)
    frame.colorspace, frame.color_range = matrix, colour_range
    assert np.abs(means(stored_rgb(frame, SIZE, SIZE)) - COLOURS).max() <= 2


@pytest.mark.parametrize(
    "pixel_format",
    ["gbrp", "gbrp10le", "gbrp12le", "gbrp16le", "rgb24", "bgra", "argb", "rgb48le", "gray"],
)
def test_r_g_b_and_grey_become_the_same_colours(pixel_format: str) -> None:
    expected = COLOURS
    if pixel_format == "gray":
        expected = np.repeat(COLOURS.mean(axis=1, keepdims=True), 3, axis=1)
    frame = patches(pixel_format)
    assert np.abs(means(stored_rgb(frame, SIZE, SIZE)) - expected).max() <= 1


def test_a_palette_becomes_its_colours() -> None:
    frame = av.VideoFrame(SIZE, SIZE, "pal8")
    numbers = np.kron(
        np.arange(16, dtype=np.uint8).reshape(4, 4), np.ones((PATCH, PATCH), np.uint8)
    )
    np.frombuffer(frame.planes[0], np.uint8).reshape(SIZE, -1)[:, :SIZE] = numbers  # type: ignore[call-overload]
    palette = np.frombuffer(frame.planes[1], np.uint8).reshape(256, 4)  # type: ignore[call-overload]
    palette[:16] = np.hstack([COLOURS[:, ::-1], np.full((16, 1), 255)])
    np.testing.assert_allclose(means(stored_rgb(frame, SIZE, SIZE)), COLOURS, atol=1)
    assert stored_i420(frame, SIZE, SIZE).colorspace == 1


@pytest.mark.parametrize("matrix", [3, 8, 10, 11, 14, 200])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p10le"])
@pytest.mark.parametrize("transfer", [1, 16])
def test_a_matrix_that_cannot_be_inverted_is_no_error(
    matrix: int, pixel_format: str, transfer: int
) -> None:
    frame = patches(pixel_format)
    frame.colorspace, frame.color_trc = matrix, transfer
    assert stored_rgb(frame, SIZE, SIZE).shape == (SIZE, SIZE, 3)
    assert stored_i420(frame, SIZE, SIZE).format.name == "yuv420p"


UNTAGGED = ColourTags(None, None, None, None)


@pytest.mark.parametrize(
    ("tags", "pixel_format", "expected"),
    [
        (UNTAGGED, "yuv420p", ColourTags(None, None, None, "tv")),
        (UNTAGGED, "yuvj420p", ColourTags(None, None, None, "tv")),
        (UNTAGGED, "bgra", ColourTags("bt709", "bt709", "bt709", "tv")),
        (
            ColourTags("bt709", "iec61966-2-1", "gbr", "pc"),
            "gbrp",
            ColourTags("bt709", "iec61966-2-1", "bt709", "tv"),
        ),
        (
            ColourTags("bt470bg", None, "bt470bg", "pc"),
            "yuv422p10le",
            ColourTags("bt470bg", None, "bt470bg", "tv"),
        ),
        (
            ColourTags("bt2020", "arib-std-b67", "bt2020nc", "tv"),
            "yuv420p10le",
            ColourTags("bt709", "bt709", "bt709", "tv"),
        ),
    ],
)
def test_the_description_of_converted_frames(
    tags: ColourTags, pixel_format: str, expected: ColourTags
) -> None:
    assert i420_tags(tags, pixel_format) == expected


@pytest.mark.parametrize(
    ("name", "picture", "note"),
    [
        ("alpha.mov", Picture(codec="png", pixel_format="rgba", options={}), "alpha channel"),
        ("hlg.mkv", Picture(pixel_format="yuv420p10le", tags=(9, 18, 9, 1)), "HDR (HLG)"),
        ("pq.mkv", Picture(pixel_format="yuv420p10le", tags=(9, 16, 9, 1)), "HDR (PQ)"),
        ("wide.mkv", Picture(tags=(9, 14, 9, 1)), "wide gamut"),
        ("ycgco.mkv", Picture(tags=(1, 1, 8, 1)), "matrix ycgco"),
        ("fields.mkv", Picture(options={"flags": "+ilme+ildct"}), "20 interlaced frames"),
    ],
)
def test_a_conversion_is_a_warning(tmp_path: Path, name: str, picture: Picture, note: str) -> None:
    warnings: list[str] = []
    path = write(tmp_path / name, [picture])
    for _ in stream_clips(path, silent_ok=True, on_warning=warnings.append):
        pass
    assert len(warnings) == 1
    assert note in warnings[0]


def test_a_video_that_is_not_converted_has_no_warning(tmp_path: Path) -> None:
    warnings: list[str] = []
    path = write(tmp_path / "plain.mkv", [Picture(tags=(1, 1, 1, 1))])
    for _ in stream_clips(path, silent_ok=True, on_warning=warnings.append):
        pass
    assert warnings == []


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.mkv", "libx264rgb", "rgb24"),
        ("a.mov", "png", "rgb24"),
        ("a.mov", "qtrle", "argb"),
        ("a.avi", "rawvideo", "bgr24"),
        ("a.mp4", "libx265", "gbrp"),
    ],
)
def test_a_file_of_r_g_b_has_its_colours(
    tmp_path: Path, name: str, codec: str, pixel_format: str
) -> None:
    frame = first_frame(write_patches(tmp_path / name, codec, pixel_format))
    assert np.abs(means(stored_rgb(frame, SIZE, SIZE)) - COLOURS).max() <= 1
