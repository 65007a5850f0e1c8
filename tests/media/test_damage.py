"""Gaps and lost frames of damaged files are distinguished from still and invisible frames."""

from collections.abc import Sequence
from pathlib import Path

import av
import pytest

from avseg.media.container import choose_video_stream, open_media, packets_of
from avseg.media.damage import GapDetector, LossDetector
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


def lost(
    packets: Sequence[int], frames: Sequence[int], corrupt: Sequence[int] = ()
) -> LossDetector:
    """Process packets and then frames with the given times, at 25 ticks per second."""
    detector = LossDetector()
    for time in packets:
        packet = av.Packet(b"x")
        packet.pts = time
        packet.is_corrupt = time in corrupt
        detector.add_packet(packet)
    for time in frames:
        detector.add_frame(time, 25.0)
    return detector


def test_all_frames_of_a_video_with_b_frames_are_found() -> None:
    assert lost([0, 4, 2, 1, 3, 8, 6, 5, 7], range(9)).lost_frames() == 0


@pytest.mark.parametrize(
    ("frames", "count"),
    [
        ([*range(10), *range(40, 100)], 30),
        ([*range(20), *range(21, 60), *range(61, 100)], 2),
        ([*range(70)], 30),
    ],
)
def test_packets_without_frames_are_lost_frames(frames: list[int], count: int) -> None:
    assert lost(range(100), frames).lost_frames() == count


def test_packets_before_the_first_frame_are_not_lost() -> None:
    detector = lost(range(100), range(20, 100))
    assert (detector.lost_frames(), detector.undecodable_start) == (0, 20)


def test_the_second_fields_of_frames_are_not_lost() -> None:
    assert lost(range(100), range(0, 100, 2)).lost_frames() == 0


def test_invisible_frames_are_not_lost() -> None:
    packets = sorted([*range(0, 1000, 10), *range(55, 1000, 100)])
    assert lost(packets, range(0, 1000, 10)).lost_frames() == 0


def test_a_pause_is_not_lost_but_unusual() -> None:
    times = [*range(30), *range(60, 90)]
    detector = lost(times, times)
    assert detector.lost_frames() == 0
    assert detector.unusual_gaps_s(25.0) == [pytest.approx(31 / 25)]


def test_several_short_gaps_are_unusual_too() -> None:
    times = [time for time in range(200) if time % 40]
    assert len(lost(times, times).unusual_gaps_s(25.0)) == 4
    assert lost(times[:150], times[:150]).unusual_gaps_s(25.0) == []


def test_a_variable_rate_has_no_unusual_gap() -> None:
    times = [*range(30), *range(30, 130, 10)]
    assert lost(times, times).unusual_gaps_s(25.0) == []


@pytest.mark.parametrize("marked", [25, 29, 60, 65])
def test_a_gap_near_a_damaged_packet_is_a_loss(marked: int) -> None:
    times = [*range(30), *range(60, 90)]
    assert lost(times, times, [marked]).lost_frames() == 30


def test_a_gap_far_from_a_damaged_packet_is_none() -> None:
    times = [*range(300), *range(330, 600)]
    assert lost(times, times, [3, 590]).lost_frames() == 0
