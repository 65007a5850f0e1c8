"""Names of the result folders of a batch of videos."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from avseg.errors import OutputError


def result_folders(videos: Sequence[Path], output: Path) -> list[Path]:
    """Choose the result folder of each video.

    Args:
        videos: Videos of one batch, each once.
        output: Folder that contains the result folders.

    Returns:
        `output/STEM` for each video, or `output/STEM_SUFFIX` (`clip_mp4`, `clip_mov`) if another
        video has the same stem.

    Raises:
        OutputError: If two videos have the same file name.
    """
    # Compare without case: some file systems do not distinguish it.
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
