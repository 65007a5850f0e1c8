"""AVSBench's metadata files: clips of a subset, their splits, and the class names."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from avseg.datasets.files import check_is_file
from avseg.datasets.layout import LAYOUTS, SECONDS, ClipEntry, Layout, Subset
from avseg.errors import DatasetError

#: File of AVSS with the number of each class.
CLASS_FILE = "label2idx.json"

#: Entries of AVSS's column a_obj for an off-screen source and for a clip without any source.
OFF_SCREEN, NO_SOURCE = "off-the-screen", "background"

#: Folder in which AVS-V3 distributes its metadata. The files are also read from beside AVSS's own.
_V3_FOLDER = "v3"

#: Known misspellings of AVSS's metadata: "h orse" occurs once, for clip `zVfLHhs9uv8_3000_8000`.
MISSPELT = {"h orse": "horse"}


@dataclass(frozen=True)
class MetadataFile:
    """CSV file with one row for each clip.

    Attributes:
        path: Path of the file.
        split: Split of all its clips; None if the file has a column for it.
    """

    path: Path
    split: str | None = None


@dataclass(frozen=True)
class MetadataRow:
    """One row of a metadata file.

    Attributes:
        line: Line number in the file, from 1.
        cells: Text of each column; "" for columns that the row does not reach.
    """

    line: int
    cells: Mapping[str, str]


def find_metadata(folder: Path, subset: Subset) -> list[MetadataFile]:
    """Find the metadata files of a subset.

    Args:
        folder: Folder of the subset.
        subset: Name of the subset.

    Returns:
        The existing files: one for each split in AVS-V3, a single one otherwise.

    Raises:
        DatasetError: If AVS-V3 has none of its files.
    """
    layout = LAYOUTS[subset]
    if not layout.split_metadata:
        return [MetadataFile(folder / layout.metadata)]
    files = [
        MetadataFile(place / name, split)
        for split, name in layout.split_metadata.items()
        for place in (folder, folder / _V3_FOLDER)
        if (place / name).is_file()
    ]
    if not files:
        names = ", ".join(layout.split_metadata.values())
        raise DatasetError(
            f"{folder}: has none of the metadata files of AVS-V3 ({names}); unpack v3.zip of "
            "github.com/GeWu-Lab/Generalizable-Audio-Visual-Segmentation there."
        )
    return files


def read_rows(file: MetadataFile, layout: Layout) -> Iterator[MetadataRow]:
    """Read the rows of a metadata file.

    Args:
        file: The metadata file.
        layout: Layout of the subset.

    Yields:
        Each row that is not empty.

    Raises:
        DatasetError: If the file cannot be read or lacks a column.
    """
    try:
        # "utf-8-sig" because spreadsheet programs write a byte order mark before the first header.
        with file.path.open(newline="", encoding="utf-8-sig") as lines:
            rows = csv.DictReader(lines, restval="")
            columns = rows.fieldnames or ()
            _check_columns(file, layout, columns)
            for cells in rows:
                yield MetadataRow(rows.line_num, cells)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(
            f"{file.path}: cannot be read as a CSV file ({error}); copy the file again."
        ) from error


def read_entry(file: MetadataFile, layout: Layout, row: MetadataRow) -> ClipEntry:
    """Parse one row of a metadata file.

    Args:
        file: The metadata file.
        layout: Layout of the subset.
        row: The row.

    Returns:
        The clip. Its category is None if the row has none, as in AVS-V3's few-shot files.

    Raises:
        DatasetError: If the row has no name or split, or an unknown component.
    """
    # In S4 and MS3 the name is in the first column, whatever its header.
    name = row.cells[layout.name_column or next(iter(row.cells))]
    split = file.split or row.cells["split"]
    component = (
        row.cells[layout.component_column] if layout.component_column else layout.components[0]
    )
    category = row.cells[layout.category_column] if layout.category_column else None
    required = {"name": name, "split": split}
    # AVS-V3's few-shot files lack categories; `read_metadata` adds them afterwards.
    if layout.category_column and not file.split:
        required["category"] = category or ""
    empty = [what for what, text in required.items() if not text]
    if empty:
        raise DatasetError(
            f"{file.path}, line {row.line}: the clip has no {' and no '.join(empty)}; copy the "
            "file again."
        )
    if component not in SECONDS:
        raise DatasetError(
            f"{file.path}, line {row.line}: clip {name!r} has label {component!r}; "
            f"it must be one of {', '.join(SECONDS)} (components of AVSBench, not classes)."
        )
    # AVSS's categories also list off-screen sources, which have no mask.
    if category and layout.release == "avss":
        category = "_".join(visible_objects(category)) or NO_SOURCE
    return ClipEntry(name, split, category or None, component)


def visible_objects(text: str) -> list[str]:
    """Parse AVSS's column `a_obj` to the classes of visible objects.

    Args:
        text: Class names joined by "_".

    Returns:
        Class names without "off-the-screen" and "background", which are no visible objects, and
        with the known misspelling corrected.
    """
    names = [MISSPELT.get(name, name) for name in text.split("_")]
    return [name for name in names if name not in {OFF_SCREEN, NO_SOURCE}]


def read_metadata(folder: Path, subset: Subset) -> list[ClipEntry]:
    """Read the metadata of all clips of a subset.

    Args:
        folder: Folder of the subset.
        subset: Name of the subset.

    Returns:
        The clips in the order of the file; in AVS-V3 one file after the other.

    Raises:
        DatasetError: If a file is missing or lacks a column, or a row is invalid.
    """
    layout = LAYOUTS[subset]
    clips = [
        read_entry(file, layout, row)
        for file in find_metadata(folder, subset)
        for row in read_rows(file, layout)
    ]
    if layout.split_metadata:
        clips = _add_categories(clips, read_metadata(folder, layout.release))
    return [clip for clip in clips if clip.component in layout.components]


def choose_split(clips: list[ClipEntry], split: str, origin: Path) -> list[ClipEntry]:
    """Select the clips of one split.

    Args:
        clips: All clips of a subset.
        split: Name of the split.
        origin: Path of the metadata file, for the message.

    Returns:
        The clips of the split, in the same order.

    Raises:
        DatasetError: If the split has no clips.
    """
    chosen = [clip for clip in clips if clip.split == split]
    if not chosen:
        known = ", ".join(sorted({clip.split for clip in clips})) or "no clips at all"
        raise DatasetError(f"{origin}: has no clips of split {split!r}; choose from {known}.")
    return chosen


def read_class_names(folder: Path) -> tuple[str, ...]:
    """Read the class names of AVSS.

    Args:
        folder: Folder of AVSS.

    Returns:
        Class names by class number; 0 is the background.

    Raises:
        DatasetError: If the file is missing, or its numbers are not 0 (background), 1, 2, ...
    """
    path = folder / CLASS_FILE
    if path.exists():  # a pipe, which cannot be read; a missing file is explained below
        check_is_file(path)
    try:
        numbers: Mapping[str, int] = dict(json.loads(path.read_text(encoding="utf-8")))
        if not all(isinstance(number, int) for number in numbers.values()):
            raise TypeError("its values are not all whole numbers")  # noqa: TRY301 - as json does
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise DatasetError(
            f"{path}: cannot be read ({error}); it must map 'background' to 0 and each class to a "
            "number. Copy it again from AVSBench."
        ) from error
    # Predictions are indices into this list, so the numbers must be 0, 1, 2, ... without gaps.
    names = tuple(sorted(numbers, key=lambda name: numbers[name]))
    if [numbers[name] for name in names] != list(range(len(names))) or names[:1] != ("background",):
        raise DatasetError(
            f"{path}: class numbers must be 0 ('background') to {len(names) - 1}, each once, got "
            f"{sorted(numbers.values())}. Some copies of the file count from 1; use AVSBench's own."
        )
    return names


def _check_columns(file: MetadataFile, layout: Layout, columns: Sequence[str]) -> None:
    required_columns = [layout.name_column, layout.category_column, layout.component_column]
    required_columns += [] if file.split else ["split"]
    missing = [column for column in required_columns if column and column not in columns]
    if missing:
        raise DatasetError(
            f"{file.path}: has no column {', '.join(missing)}, only "
            f"{', '.join(columns) or 'none'}; use the metadata file of {layout.release}."
        )


def _add_categories(clips: list[ClipEntry], known: list[ClipEntry]) -> list[ClipEntry]:
    """Add the categories that AVS-V3's few-shot files lack from AVSS's own metadata."""
    categories = {clip.name: clip.category for clip in known}
    return [replace(clip, category=clip.category or categories.get(clip.name)) for clip in clips]
