"""Each video of a batch has a result folder of its own."""

from pathlib import Path

import pytest

from avseg.errors import OutputError
from avseg.export.result_folders import result_folders

OUT = Path("out")


def test_the_folder_has_the_videos_name_without_suffix() -> None:
    assert result_folders([Path("a/one.mp4"), Path("b/two.v2.mov")], OUT) == [
        OUT / "one",
        OUT / "two.v2",
    ]


def test_videos_with_the_same_stem_get_folders_with_their_suffix() -> None:
    videos = [Path("clip.mp4"), Path("other.mp4"), Path("Clip.mov")]
    assert result_folders(videos, OUT) == [OUT / "clip_mp4", OUT / "other", OUT / "Clip_mov"]


@pytest.mark.parametrize(
    "videos",
    [["a/clip.mp4", "b/clip.mp4"], ["clip.mp4", "clip.mov", "clip_mp4.avi"]],
    ids=["same file name", "name of another's folder"],
)
def test_videos_with_the_same_name_raise(videos: list[str]) -> None:
    with pytest.raises(OutputError, match=r"would both be written to .*clip_mp4; segment them one"):
        result_folders([Path(video) for video in videos], OUT)
