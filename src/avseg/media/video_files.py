"""Video files among given paths and folders."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from avseg.errors import NotAVideoError

#: Suffixes by which video files of a folder are recognized. A file that is passed by its own path
#: may have any suffix.
VIDEO_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("3gp", "asf", "avi", "flv", "m2ts", "m4v", "mkv", "mov", "mp4", "mpeg", "mpg", "mts"),
        *("mxf", "ogv", "ts", "vob", "webm", "wmv"),
    )
)


def find_videos(paths: Iterable[Path]) -> list[Path]:
    """List the video files that files and folders stand for.

    Args:
        paths: Files with any suffix, and folders. A folder stands for the video files directly in
            it, by their suffix and without hidden files. The files are not opened.

    Returns:
        Files in the given order, those of a folder sorted by name; each once.

    Raises:
        NotAVideoError: If a folder contains no video file.
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
            f"the folder contains no video file ({', '.join(sorted(VIDEO_SUFFIXES))}); pass a "
            "folder that directly contains videos, or the files.",
        )
    return videos
