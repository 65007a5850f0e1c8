"""Checks of metadata files: clips, splits and classes."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from avseg.datasets.checking.findings import Finding
from avseg.datasets.layout import LAYOUTS, ClipEntry, Layout, Subset
from avseg.datasets.metadata import (
    CLASS_FILE,
    MISSPELT,
    NO_SOURCE,
    OFF_SCREEN,
    MetadataFile,
    MetadataRow,
    find_metadata,
    read_class_names,
    read_entry,
    read_rows,
    visible_objects,
)
from avseg.errors import DatasetError

#: Splits of AVSBench, and the two additional ones of SynthAVS.
SPLITS = {"train", "val", "test", "test_seen", "test_zero_shot"}

#: Groups of splits of AVS-V3 that must not share clips. The few-shot splits are drawn from
#: "unseen", so these may share clips with it.
_DISJOINT = [{"seen_train", "seen_val", "unseen"}] + [
    {f"{shots}_shot_train", f"{shots}_shot_test"} for shots in (1, 3, 5)
]


@dataclass(frozen=True)
class CheckedMetadata:
    """Metadata of a subset with its findings.

    Attributes:
        entries: The clips, each once for each of its splits.
        class_names: Class names in label2idx.json; None if it is missing or unreadable.
        findings: Problems found.
    """

    entries: list[ClipEntry]
    class_names: tuple[str, ...] | None
    findings: list[Finding]


@dataclass(frozen=True)
class _Line:
    """One row of a metadata file, as text and as parsed."""

    file: MetadataFile
    row: MetadataRow
    entry: ClipEntry


def check_metadata(folder: Path, subset: Subset) -> CheckedMetadata:
    """Check the metadata files of a subset.

    Args:
        folder: Folder of the subset.
        subset: Name of the subset.

    Returns:
        The clips and the findings.
    """
    layout = LAYOUTS[subset]
    findings: list[Finding] = []
    lines: list[_Line] = []
    for file in find_metadata(folder, subset):
        lines += _read_lines(file, layout, findings)
    findings += _check_splits(lines, layout)
    findings += _check_duplicates(lines)
    findings += _check_disjoint(lines, layout)
    # AVS-V3 uses the classes of AVSS, which are checked there.
    class_names = None
    if layout.release == "avss" and not layout.split_metadata:
        class_names = _read_classes(folder, findings)
        findings += _check_objects(lines, class_names)
    return CheckedMetadata(
        entries=list({line.entry: None for line in lines}),
        class_names=class_names,
        findings=findings,
    )


def check_listed(
    entries: Iterable[ClipEntry], known: Iterable[ClipEntry], folder: Path
) -> Iterator[Finding]:
    """Check that all clips of AVS-V3 are clips of AVSS.

    Args:
        entries: Clips of AVS-V3.
        known: Clips of AVSS.
        folder: Folder of both.

    Yields:
        Clips that are not in AVSS.
    """
    names = {(entry.component, entry.name) for entry in known}
    for entry in entries:
        if (entry.component, entry.name) not in names:
            yield Finding(
                "clip-unlisted", folder / entry.component / entry.name, f"in {entry.split}"
            )


def _read_lines(file: MetadataFile, layout: Layout, findings: list[Finding]) -> list[_Line]:
    lines = []
    # A row that cannot be parsed is one finding; the other rows are still checked.
    before = len(findings)
    try:
        for row in read_rows(file, layout):
            try:
                lines.append(_Line(file, row, read_entry(file, layout, row)))
            except DatasetError as error:
                detail = str(error).removeprefix(f"{file.path}, ")
                findings.append(Finding("row-incomplete", file.path, detail))
    except DatasetError as error:
        detail = str(error).removeprefix(f"{file.path}: ")
        findings.append(Finding("table-unreadable", file.path, detail))
    if not lines and len(findings) == before:
        findings.append(Finding("table-unreadable", file.path, "lists no clips"))
    return lines


def _check_splits(lines: list[_Line], layout: Layout) -> Iterator[Finding]:
    unknown: dict[tuple[Path, str], list[int]] = defaultdict(list)
    other: dict[tuple[Path, str], list[int]] = defaultdict(list)
    for line in lines:
        column = line.row.cells.get("split", "")
        if not layout.split_metadata and column not in SPLITS:
            unknown[line.file.path, column].append(line.row.line)
        if layout.split_metadata and column.removeprefix("v3_") != line.file.split:
            other[line.file.path, column].append(line.row.line)
    for (path, column), numbers in unknown.items():
        yield Finding(
            "split-unknown", path, f"{column!r}, first in line {numbers[0]}", len(numbers)
        )
    for (path, column), numbers in other.items():
        yield Finding("split-column", path, f"column has {column!r}", len(numbers))


def _check_duplicates(lines: list[_Line]) -> Iterator[Finding]:
    for (path, entry), count in Counter((line.file.path, line.entry) for line in lines).items():
        if count > 1:
            yield Finding("row-duplicate", path, f"{entry.name}, {count} times", count - 1)


def _check_disjoint(lines: list[_Line], layout: Layout) -> Iterator[Finding]:
    groups = _DISJOINT if layout.split_metadata else [SPLITS]
    clips: dict[tuple[str, str], set[str]] = defaultdict(set)
    videos: dict[str, set[str]] = defaultdict(set)
    paths = {}
    for line in lines:
        entry = line.entry
        clips[entry.component, entry.name].add(entry.split)
        videos[_video(line, layout)].add(entry.split)
        paths[entry.split] = line.file.path
    for name, splits in [(name, splits) for (_, name), splits in clips.items()]:
        for shared in (sorted(splits & group) for group in groups):
            if len(shared) > 1:
                detail = f"{name}: {' and '.join(shared)}"
                yield Finding("clip-in-two-splits", paths[shared[0]], detail)
    # Clips of one video in two splits. A "video" that is itself a clip was reported above.
    shared_videos = [video for video, splits in videos.items() if len(splits & SPLITS) > 1]
    shared_videos = [
        video for video in shared_videos if not any(name == video for _, name in clips)
    ]
    if shared_videos:
        yield Finding(
            "video-in-two-splits",
            lines[0].file.path,
            f"such as {shared_videos[0]}",
            len(shared_videos),
        )


def _video(line: _Line, layout: Layout) -> str:
    """Return the video of a clip: a column in AVSS; in S4 the name is "<video>_<start>_<end>"."""
    if layout.release == "avss":
        return line.row.cells.get("vid", "") or line.entry.name
    if layout.release == "s4":
        return line.entry.name.rsplit("_", maxsplit=2)[0]
    return line.entry.name


def _read_classes(folder: Path, findings: list[Finding]) -> tuple[str, ...] | None:
    path = folder / CLASS_FILE
    if not path.is_file():
        findings.append(Finding("classes-missing", path))
        return None
    try:
        return read_class_names(folder)
    except DatasetError as error:
        findings.append(Finding("classes-numbers", path, str(error).removeprefix(f"{path}: ")))
        return None


def _check_objects(lines: list[_Line], class_names: tuple[str, ...] | None) -> Iterator[Finding]:
    # Counted, because AVSS has many such rows: one finding for each kind and detail is enough.
    found: dict[tuple[str, Path, str], int] = Counter()
    for line in lines:
        text, path = line.row.cells["a_obj"], line.file.path
        names = text.split("_")
        for name in names:
            if name in MISSPELT:
                found["name-misspelt", path, f"{name!r} of {line.entry.name}"] += 1
        if OFF_SCREEN in names:
            found["off-screen", path, ""] += 1
        if names == [NO_SOURCE]:
            found["no-object", path, ""] += 1
        for name in visible_objects(text) if text and class_names else ():
            if name not in (class_names or ()):
                found["class-unlisted", path, repr(name)] += 1
    for (kind, path, detail), count in found.items():
        yield Finding(kind, path, detail, count)
