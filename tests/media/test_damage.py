"""Holes are told from still pictures."""

from pathlib import Path

import pytest

from avseg.media.container import choose_video_stream, open_media, packets_of
from avseg.media.damage import HoleFinder
from tests.media.videos import Picture, overwrite, write

NOISE = Picture(
    times_ms=range(0, 12000, 100), noise=True, options={"preset": "veryfast", "g": "10"}
)


def lost_s(path: Path) -> float:
    with open_media(path) as container:
        finder = HoleFinder(choose_video_stream(container, path.name))
        for packet in packets_of(container, *container.streams):
            finder.follow(packet)
        return finder.lost_s


@pytest.mark.parametrize("name", ["whole.mkv", "whole.ts", "whole.mp4"])
def test_a_whole_file_has_no_hole(tmp_path: Path, name: str) -> None:
    assert lost_s(write(tmp_path / name, [NOISE])) == 0


@pytest.mark.parametrize("name", ["hole.mkv", "hole.ts"])
def test_a_hole_is_as_long_as_the_picture_it_swallowed(tmp_path: Path, name: str) -> None:
    # A quarter of 12 s, and on to the next place where the reader finds its feet.
    assert 2.5 < lost_s(overwrite(write(tmp_path / name, [NOISE]), 0.4, 0.65)) < 8


@pytest.mark.parametrize("name", ["pause.mkv", "pause.ts", "pause.webm"])
def test_a_still_picture_is_no_hole(tmp_path: Path, name: str) -> None:
    codec = "libvpx" if name.endswith("webm") else "libx264"
    still = Picture(
        times_ms=[*range(0, 1000, 40), *range(9000, 10000, 40)], codec=codec, options={}
    )
    assert lost_s(write(tmp_path / name, [still])) == 0
