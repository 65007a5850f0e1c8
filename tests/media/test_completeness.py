"""GIF and ASF files with missing bytes are errors, though FFmpeg reads them as shorter videos."""

from pathlib import Path

import numpy as np
import pytest

import avseg
from avseg.errors import CorruptVideoError, TruncatedVideoError
from tests.media.videos import Picture, Track, cut, level, write


def write_gif(path: Path) -> Path:
    return write(path, [Picture(codec="gif", pixel_format="rgb8", noise=True, options={})])


def write_wmv(path: Path) -> Path:
    picture = Picture(codec="wmv2", options={})
    return write(path, [picture], [Track(level(0.1, 2), codec="libmp3lame")])


def test_intact_files_are_read(tmp_path: Path) -> None:
    for path in (write_gif(tmp_path / "a.gif"), write_wmv(tmp_path / "a.wmv")):
        assert len(avseg.read_clip(path, 10, silent_ok=True).frames) == 20


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_cut_wmv_is_an_error_with_both_sizes(share: float, tmp_path: Path) -> None:
    path = cut(write_wmv(tmp_path / "a.wmv"), share)
    with pytest.raises(TruncatedVideoError, match=rf"has {path.stat().st_size} of the \d+ bytes"):
        avseg.probe(path)


@pytest.mark.parametrize("share", [0.3, 0.8])
def test_a_cut_gif_is_an_error(share: float, tmp_path: Path) -> None:
    with pytest.raises(TruncatedVideoError, match="without the mark of the end of a GIF"):
        avseg.probe(cut(write_gif(tmp_path / "a.gif"), share))


def test_a_gif_without_a_middle_part_is_an_error(tmp_path: Path) -> None:
    path = write_gif(tmp_path / "a.gif")
    data = path.read_bytes()
    path.write_bytes(data[:20_000] + data[20_100:])
    with pytest.raises((CorruptVideoError, TruncatedVideoError), match="copy or download"):
        avseg.probe(path)


def test_bytes_after_the_end_of_a_gif_are_accepted(tmp_path: Path) -> None:
    path = write_gif(tmp_path / "a.gif")
    path.write_bytes(path.read_bytes() + np.zeros(50, np.uint8).tobytes())
    assert avseg.probe(path).frame_count == 20
