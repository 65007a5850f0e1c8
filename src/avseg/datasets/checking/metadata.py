"""Checks of the tables: which clips they name, in which splits, and which classes."""

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

#: Splits of AVSBench, and the two that SynthAVS has besides.
SPLITS = {"train", "val", "test", "test_seen", "test_zero_shot"}

#: Splits of AVS-V3 that may not share clips; the few-shot ones are drawn from the unseen ones.
_APART = [{"seen_train", "seen_val", "unseen"}] + [
    {f"{shots}_shot_train", f"{shots}_shot_test"} for shots in (1, 3, 5)
]


@dataclass(frozen=True)
class CheckedMetadata:
    """What the tables of a subset say.

    Attributes:
        entries: The clips that they name, each once for each of its splits.
        class_count: Classes in label2idx.json; None if there is none that can be read.
        findings: What is wrong.
    """

    entries: list[ClipEntry]
    class_count: int | None
    findings: list[Finding]


@dataclass(frozen=True)
class _Line:
    table: MetadataFile
    row: MetadataRow
    entry: ClipEntry


def check_metadata(folder: Path, subset: Subset) -> CheckedMetadata:
    """Check the tables of a subset.

    Args:
        folder: The subset's folder.
        subset: Which subset.

    Returns:
        The clips they name and what is wrong with them.
    """
    layout = LAYOUTS[subset]
    findings: list[Finding] = []
    lines: list[_Line] = []
    for table in find_metadata(folder, subset):
        lines += _read_lines(table, layout, findings)
    findings += _check_splits(lines, layout)
    findings += _check_duplicates(lines)
    findings += _check_apart(lines, layout)
    class_names = None
    if layout.release == "avss" and not layout.split_metadata:
        class_names = _read_classes(folder, findings)
        findings += _check_objects(lines, class_names)
    return CheckedMetadata(
        entries=list({line.entry: None for line in lines}),
        class_count=len(class_names) if class_names else None,
        findings=findings,
    )


def check_listed(
    entries: Iterable[ClipEntry], known: Iterable[ClipEntry], folder: Path
) -> Iterator[Finding]:
    """Check that AVS-V3 takes its clips from AVSS.

    Args:
        entries: Clips of AVS-V3.
        known: Clips of AVSS.
        folder: The folder of both.

    Yields:
        What is wrong.
    """
    names = {(entry.component, entry.name) for entry in known}
    for entry in entries:
        if (entry.component, entry.name) not in names:
            yield Finding(
                "clip-unlisted", folder / entry.component / entry.name, f"in {entry.split}"
            )


def _read_lines(table: MetadataFile, layout: Layout, findings: list[Finding]) -> list[_Line]:
    lines = []
    before = len(findings)
    try:
        for row in read_rows(table, layout):
            try:
                lines.append(_Line(table, row, read_entry(table, layout, row)))
            except DatasetError as error:
                detail = str(error).removeprefix(f"{table.path}, ")
                findings.append(Finding("row-incomplete", table.path, detail))
    except DatasetError as error:
        detail = str(error).removeprefix(f"{table.path}: ")
        findings.append(Finding("table-unreadable", table.path, detail))
    if not lines and len(findings) == before:
        findings.append(Finding("table-unreadable", table.path, "names no clips"))
    return lines


def _check_splits(lines: list[_Line], layout: Layout) -> Iterator[Finding]:
    unknown: dict[tuple[Path, str], list[int]] = defaultdict(list)
    other: dict[tuple[Path, str], list[int]] = defaultdict(list)
    for line in lines:
        said = line.row.cells.get("split", "")
        if not layout.split_metadata and said not in SPLITS:
            unknown[line.table.path, said].append(line.row.line)
        if layout.split_metadata and said.removeprefix("v3_") != line.table.split:
            other[line.table.path, said].append(line.row.line)
    for (path, said), numbers in unknown.items():
        yield Finding("split-unknown", path, f"{said!r}, first in line {numbers[0]}", len(numbers))
    for (path, said), numbers in other.items():
        yield Finding("split-column", path, f"says {said!r}", len(numbers))


def _check_duplicates(lines: list[_Line]) -> Iterator[Finding]:
    for (path, entry), count in Counter((line.table.path, line.entry) for line in lines).items():
        if count > 1:
            yield Finding("row-duplicate", path, f"{entry.name}, {count} times", count - 1)


def _check_apart(lines: list[_Line], layout: Layout) -> Iterator[Finding]:
    apart = _APART if layout.split_metadata else [SPLITS]
    clips: dict[tuple[str, str], set[str]] = defaultdict(set)
    videos: dict[str, set[str]] = defaultdict(set)
    paths = {}
    for line in lines:
        entry = line.entry
        clips[entry.component, entry.name].add(entry.split)
        videos[_video(line, layout)].add(entry.split)
        paths[entry.split] = line.table.path
    for name, splits in [(name, splits) for (_, name), splits in clips.items()]:
        for shared in (sorted(splits & group) for group in apart):
            if len(shared) > 1:
                detail = f"{name}: {' and '.join(shared)}"
                yield Finding("clip-in-two-splits", paths[shared[0]], detail)
    torn = [video for video, splits in videos.items() if len(splits & SPLITS) > 1]
    torn = [video for video in torn if not any(name == video for _, name in clips)]
    if torn:
        yield Finding("video-in-two-splits", lines[0].table.path, f"such as {torn[0]}", len(torn))


def _video(line: _Line, layout: Layout) -> str:
    """Name the video that a clip is cut from: AVSS says it; S4 has "<video>_<start>_<end>"."""
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
    found: dict[tuple[str, Path, str], int] = Counter()
    for line in lines:
        text, path = line.row.cells["a_obj"], line.table.path
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
