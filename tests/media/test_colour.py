"""Colour description of frames."""

import av
import pytest

from avseg.media.colour import MATRICES, PRIMARIES, TRANSFERS, ColourTags


def described(primaries: int, transfer: int, matrix: int, colour_range: int) -> ColourTags:
    frame = av.VideoFrame(16, 16, "yuv420p")
    frame.color_primaries, frame.color_trc = primaries, transfer
    frame.colorspace, frame.color_range = matrix, colour_range
    return ColourTags.of(frame)


def test_a_description_has_the_names_of_ffmpeg() -> None:
    assert described(9, 16, 9, 1) == ColourTags("bt2020", "smpte2084", "bt2020nc", "tv")
    assert described(1, 13, 0, 2) == ColourTags("bt709", "iec61966-2-1", "gbr", "pc")


def test_numbers_that_describe_nothing_have_no_name() -> None:
    assert described(2, 2, 2, 0) == ColourTags(None, None, None, None)
    assert described(3, 3, 3, 0) == ColourTags(None, None, None, None)  # reserved


@pytest.mark.parametrize(
    ("table", "place"), [(PRIMARIES, 0), (TRANSFERS, 1), (MATRICES, 2)], ids=["p", "t", "m"]
)
def test_a_name_has_its_number_again(table: dict[int, str], place: int) -> None:
    for number in table:
        numbers = [2, 2, 2, 0]
        numbers[place] = number
        assert described(*numbers).numbers() == tuple(numbers)


@pytest.mark.parametrize(("transfer", "hdr"), [(16, True), (18, True), (1, False), (14, False)])
def test_pq_and_hlg_are_hdr(transfer: int, hdr: bool) -> None:
    assert described(9, transfer, 9, 1).hdr is hdr
