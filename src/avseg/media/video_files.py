"""Which files of a folder are videos."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from avseg.errors import NotAVideoError

#: Names of files that are taken for videos; a file that is named one by one may have any name.
VIDEO_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("3gp", "asf", "avi", "flv", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts"),
        *("mxf", "ogv", "ts", "vob", "webm", "wmv"),
    )
)


def find_videos(paths: Iterable[Path]) -> list[Path]:
    """List videos given as files and folders.

    Args:
        paths: Files, whatever their names, and folders, which stand for the video files directly
            in them (by suffix, hidden files left out). Whether a file is there and a video shows
            when it is read.

    Returns:
        Files in the order given, those of a folder by name; each once.

    Raises:
        NotAVideoError: If a folder has no video in it.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        for video in _videos_in(path) if path.is_dir() else [path]:
            found.setdefault(video.resolve(), video)
    return list(found.values())


def _videos_in(folder: Path) -> list[Path]:
    videos = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")
    )
    if not videos:
        raise NotAVideoError(
            str(folder),
            f"the folder has no video directly in it ({', '.join(sorted(VIDEO_SUFFIXES))}); give "
            "a folder with videos, or the files.",
        )
    return videos
