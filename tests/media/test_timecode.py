"""Timecode of the first frame, from the places where files store it."""

from fractions import Fraction
from pathlib import Path

import pytest

from avseg.media import probe
from tests.media.videos import Picture, write


@pytest.mark.parametrize("name", ["a.mov", "a.mp4", "a.mkv"])
def test_the_timecode_is_the_one_in_the_metadata_of_the_stream(tmp_path: Path, name: str) -> None:
    picture = Picture(rate=Fraction(25), metadata={"timecode": "01:02:03:04"})
    assert probe(write(tmp_path / name, [picture])).timecode == "01:02:03:04"


def test_frames_of_a_low_rate_are_counted_with_two_digits_too(tmp_path: Path) -> None:
    """QuickTime's timecode tracks are read with as many digits as the rate needs."""
    picture = Picture(rate=Fraction(10), metadata={"timecode": "01:02:03:04"})
    assert probe(write(tmp_path / "a.mov", [picture])).timecode == "01:02:03:04"


@pytest.mark.parametrize("name", ["a.ts", "a.mpg", "a.mkv"])
@pytest.mark.parametrize(
    ("rate", "before", "timecode"),
    [("25", "01:02:03:03", "01:02:03:04"), ("30000/1001", "01:02:03;03", "01:02:03;04")],
)
def test_the_timecode_is_the_one_in_mpeg_2_video(
    tmp_path: Path, name: str, rate: str, before: str, timecode: str
) -> None:
    fps = Fraction(rate)
    # FFmpeg's encoder gives the first frame the number after the option.
    picture = Picture(
        *(range(0, 800, 40), (48, 64), "mpeg2video"),
        options={"gop_timecode": before},
        rate=fps,
        time_base=1 / fps,
        noise=True,
    )
    assert probe(write(tmp_path / name, [picture])).timecode == timecode


@pytest.mark.parametrize("text", ["soon", "1:2:3:4", "01:62:03:04", ""])
def test_a_text_that_is_no_timecode_is_not_used(tmp_path: Path, text: str) -> None:
    picture = Picture(metadata={"timecode": text})
    assert probe(write(tmp_path / "a.mkv", [picture])).timecode is None


def test_a_video_without_a_timecode_has_none(tmp_path: Path) -> None:
    assert probe(write(tmp_path / "a.mp4")).timecode is None
