"""Files of a data set that no line of its table accounts for."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from avseg.datasets.checking.findings import Finding
from avseg.datasets.layout import ClipEntry, Layout


def check_strays(layout: Layout, folder: Path, entries: list[ClipEntry]) -> Iterator[Finding]:
    """Find frames, masks and sounds that belong to no clip.

    What other projects put beside them (spectrograms, features) is not looked at.

    Args:
        layout: Of the subset.
        folder: Its folder.
        entries: All its clips.

    Yields:
        A file each; where no file of a folder belongs to a clip, the folder.
    """
    for pattern in (layout.frame, layout.mask, layout.coloured_mask, layout.audio):
        if pattern is None:
            continue
        expected = {
            layout.path(pattern, folder, entry, second)
            for entry in entries
            for second in _seconds(layout, pattern, entry)
        }
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
    """Yield the files in the folders of a pattern, whatever they are called."""
    above, _, name = pattern.rpartition("/")
    for component in layout.components if "{component}" in pattern else ("",):
        folders = re.sub(r"\{\w+\}", "*", above.replace("{component}", component))
        # A name without any variable, such as audio.wav, is looked for as it is.
        for path in folder.glob(f"{folders}/{'*' if '{' in name else name}"):
            if path.is_file() and not path.name.startswith("."):
                yield path
