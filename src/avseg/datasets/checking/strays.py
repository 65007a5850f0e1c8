"""Check for files of a data set that belong to no row of its metadata."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from avseg.datasets.checking.findings import Finding
from avseg.datasets.layout import ClipEntry, Layout


def check_strays(layout: Layout, folder: Path, entries: list[ClipEntry]) -> Iterator[Finding]:
    """Find frames, masks and audio files that belong to no clip.

    Files that other projects add in other folders (spectrograms, features) are ignored.

    Args:
        layout: Layout of the subset.
        folder: Folder of the subset.
        entries: Metadata of all its clips.

    Yields:
        One finding for each file, or for a folder if none of its files belongs to a clip.
    """
    for pattern in (layout.frame, layout.mask, layout.coloured_mask, layout.audio):
        if pattern is None:
            continue
        expected = {
            layout.path(pattern, folder, entry, second)
            for entry in entries
            for second in _seconds(layout, pattern, entry)
        }
        # A folder without any known file is one finding; else thousands of files would be listed.
        known_folders = {path.parent for path in expected}
        strays: Counter[Path] = Counter()
        for path in _files(layout, pattern, folder):
            if path not in expected:
                strays[path if path.parent in known_folders else path.parent] += 1
        for path, count in strays.items():
            yield Finding("file-stray", path, f"{count} files" if path.is_dir() else "", count)


def _seconds(layout: Layout, pattern: str, entry: ClipEntry) -> range:
    if pattern == layout.audio:
        return range(1)
    return range(entry.seconds if pattern == layout.frame else entry.annotated_seconds)


def _files(layout: Layout, pattern: str, folder: Path) -> Iterator[Path]:
    """Yield all files in the folders of a pattern, whatever their names."""
    above, _, name = pattern.rpartition("/")
    for component in layout.components if "{component}" in pattern else ("",):
        folders = re.sub(r"\{\w+\}", "*", above.replace("{component}", component))
        # A file name without variables, such as audio.wav, is searched for itself.
        for path in folder.glob(f"{folders}/{'*' if '{' in name else name}"):
            if path.is_file() and not path.name.startswith("."):
                yield path
