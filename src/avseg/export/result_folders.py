"""Which result folder each video of a batch gets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from avseg.errors import OutputError


def result_folders(videos: Sequence[Path], output: Path) -> list[Path]:
    """Name a folder for the result of each video.

    Args:
        videos: Of one batch, each once.
        output: Where the folders go.

    Returns:
        For each video `output/STEM`, or `output/STEM_SUFFIX` (`clip_mp4`, `clip_mov`) for those
        that share their stem with another.

    Raises:
        OutputError: If two videos have the same file name.
    """
    # Without regard to case, as file systems there are that have none.
    stems = Counter(video.stem.casefold() for video in videos)
    names = [
        video.stem if stems[video.stem.casefold()] == 1 else video.name.replace(".", "_")
        for video in videos
    ]
    taken: dict[str, Path] = {}
    for video, name in zip(videos, names, strict=True):
        other = taken.setdefault(name.casefold(), video)
        if other is not video:
            raise OutputError(
                f"{other} and {video} would both be written to {output / name}; segment them one "
                "after the other with another output folder each."
            )
    return [output / name for name in names]
