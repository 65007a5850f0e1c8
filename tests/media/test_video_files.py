"""A folder stands for the video files directly in it."""

from pathlib import Path

import pytest

from avseg.errors import NotAVideoError
from avseg.media.video_files import find_videos


def touch(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def test_a_folder_stands_for_its_video_files_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "b.MP4", "a.mkv", "notes.txt", "._a.mkv")
    touch(tmp_path / "deeper", "c.mp4")
    assert find_videos([tmp_path]) == [tmp_path / "a.mkv", tmp_path / "b.MP4"]


def test_a_file_may_have_any_name_and_need_not_exist(tmp_path: Path) -> None:
    assert find_videos([tmp_path / "take.dat"]) == [tmp_path / "take.dat"]


def test_a_video_given_twice_counts_once(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4")
    assert find_videos([tmp_path / "b.mp4", tmp_path]) == [tmp_path / "b.mp4", tmp_path / "a.mp4"]


def test_a_folder_without_videos_raises(tmp_path: Path) -> None:
    touch(tmp_path, "notes.txt")
    with pytest.raises(NotAVideoError, match=r"contains no video file \(.*\.mp4.*pass"):
        find_videos([tmp_path])
