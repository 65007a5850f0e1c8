"""Interlaced frames are de-interlaced; their number and times stay."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from avseg.media import probe, read_clip
from avseg.media.deinterlacing import Deinterlacer
from tests.media.videos import Picture, write

TIMES_MS = range(500, 1500, 100)
FIELDS = {"preset": "ultrafast", "crf": "10", "flags": "+ilme+ildct"}


def comb(path: Path) -> float:
    """Return the mean difference between neighbouring rows of a video's frames."""
    frames = read_clip(path, None, silent_ok=True).frames.astype(int)
    return float(np.abs(np.diff(frames[2:-2], axis=1)).mean())


def moving_fields(path: Path, interlaced: bool) -> Path:
    """Write frames whose fields are from different times: a bar moves in between."""
    with av.open(str(path), "w") as container:
        options = FIELDS if interlaced else FIELDS | {"flags": "0"}
        stream = container.add_stream("libx264", rate=25, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = 64, 128, "yuv420p"
        for index in range(10):
            image = np.full((64, 128, 3), 60, np.uint8)
            for field in (0, 1):
                begin = 8 * index + 4 * field
                image[field::2, begin : begin + 24] = 200
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_rows_of_two_times_are_no_longer_mixed(tmp_path: Path) -> None:
    before = comb(moving_fields(tmp_path / "progressive.mp4", interlaced=False))
    after = comb(moving_fields(tmp_path / "fields.mp4", interlaced=True))
    assert before > 4
    assert after < before / 3


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi"])
def test_number_and_times_of_frames_stay(tmp_path: Path, name: str) -> None:
    plain = write(tmp_path / f"plain_{name}", [Picture(TIMES_MS)])
    fields = write(tmp_path / name, [Picture(TIMES_MS, options=FIELDS)])
    expected, found = (read_clip(path, None, silent_ok=True) for path in (plain, fields))
    times = found.frame_times - found.frame_times[0]
    np.testing.assert_allclose(times, expected.frame_times - expected.frame_times[0], atol=1e-3)
    shades = [clip.frames.mean(axis=(1, 2, 3)) for clip in (expected, found)]
    np.testing.assert_allclose(shades[1], shades[0], atol=3)
    assert probe(fields).interlaced


def frames_of(path: Path) -> Iterator[av.VideoFrame]:
    with av.open(str(path)) as container:
        yield from container.decode(video=0)


def test_frames_that_are_not_interlaced_are_passed_on_at_once(tmp_path: Path) -> None:
    deinterlacer = Deinterlacer()
    for frame in frames_of(write(tmp_path / "plain.mkv")):
        (passed,) = deinterlacer.add(frame)
        assert passed is frame
    assert not list(deinterlacer.flush())
    assert deinterlacer.count == 0


def test_a_video_that_becomes_interlaced_keeps_all_frames(tmp_path: Path) -> None:
    parts = [
        write(tmp_path / "a.mkv", [Picture(range(0, 500, 100))]),
        write(tmp_path / "b.mkv", [Picture(range(500, 1000, 100), options=FIELDS)]),
        write(tmp_path / "c.mkv", [Picture(range(1000, 1500, 100), size=(64, 80), options=FIELDS)]),
        write(tmp_path / "d.mkv", [Picture(range(1500, 2000, 100), size=(64, 80))]),
    ]
    deinterlacer = Deinterlacer()
    stored = [frame for part in parts for frame in frames_of(part)]
    expected = [(frame.pts, frame.width) for frame in stored]
    found = [out for frame in stored for out in deinterlacer.add(frame)] + [*deinterlacer.flush()]
    assert [(frame.pts, frame.width) for frame in found] == expected
    assert deinterlacer.count == 10
