"""Gaps in damaged files are distinguished from still frames."""

from pathlib import Path

import pytest

from avseg.media.container import choose_video_stream, open_media, packets_of
from avseg.media.damage import GapDetector
from tests.media.videos import Picture, overwrite, write

NOISE = Picture(
    times_ms=range(0, 12000, 100), noise=True, options={"preset": "veryfast", "g": "10"}
)


def lost_s(path: Path) -> float:
    with open_media(path) as container:
        detector = GapDetector(choose_video_stream(container, path.name))
        for packet in packets_of(container, *container.streams):
            detector.update(packet)
        return detector.lost_s


@pytest.mark.parametrize("name", ["intact.mkv", "intact.ts", "intact.mp4"])
def test_an_intact_file_has_no_gap(tmp_path: Path, name: str) -> None:
    assert lost_s(write(tmp_path / name, [NOISE])) == 0


@pytest.mark.parametrize("name", ["gap.mkv", "gap.ts"])
def test_a_gap_is_as_long_as_the_lost_video(tmp_path: Path, name: str) -> None:
    # A quarter of 12 s, and the time until the demuxer finds the next valid packet.
    assert 2.5 < lost_s(overwrite(write(tmp_path / name, [NOISE]), 0.4, 0.65)) < 8


@pytest.mark.parametrize("name", ["pause.mkv", "pause.ts", "pause.webm"])
def test_a_still_frame_is_no_gap(tmp_path: Path, name: str) -> None:
    codec = "libvpx" if name.endswith("webm") else "libx264"
    still = Picture(
        times_ms=[*range(0, 1000, 40), *range(9000, 10000, 40)], codec=codec, options={}
    )
    assert lost_s(write(tmp_path / name, [still])) == 0
