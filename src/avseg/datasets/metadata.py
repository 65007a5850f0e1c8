"""AVSBench's tables: which clips a subset has, of which split, and what the classes are."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from avseg.datasets.layout import LAYOUTS, SECONDS, ClipEntry, Layout, Subset
from avseg.errors import DatasetError

#: AVSS: where the class numbers are.
CLASS_FILE = "label2idx.json"

#: What AVSS's table calls a source that cannot be seen, and a clip without any source.
OFF_SCREEN, NO_SOURCE = "off-the-screen", "background"

#: Folder that the tables of AVS-V3 are packed in; they are also read from beside AVSS's own.
_V3_FOLDER = "v3"

#: AVSS's table has "h orse" once, for `zVfLHhs9uv8_3000_8000`.
MISSPELT = {"h orse": "horse"}


@dataclass(frozen=True)
class MetadataFile:
    """A CSV file with a row for each clip.

    Attributes:
        path: The file.
        split: Which split all its clips are of; None where a column says it.
    """

    path: Path
    split: str | None = None


@dataclass(frozen=True)
class MetadataRow:
    """A line of a table.

    Attributes:
        line: Its number in the file, from 1.
        cells: Its texts by column; "" where the line ends early.
    """

    line: int
    cells: Mapping[str, str]


def find_metadata(folder: Path, subset: Subset) -> list[MetadataFile]:
    """Find the tables that name the clips of a subset.

    Args:
        folder: The subset's folder.
        subset: Which subset.

    Returns:
        Those that are there; AVS-V3 has one for each split, the others have one.

    Raises:
        DatasetError: If none is there.
    """
    layout = LAYOUTS[subset]
    if not layout.split_metadata:
        return [MetadataFile(folder / layout.metadata)]
    tables = [
        MetadataFile(place / name, split)
        for split, name in layout.split_metadata.items()
        for place in (folder, folder / _V3_FOLDER)
        if (place / name).is_file()
    ]
    if not tables:
        names = ", ".join(layout.split_metadata.values())
        raise DatasetError(
            f"{folder}: has none of the tables of AVS-V3 ({names}); unpack v3.zip of "
            "github.com/GeWu-Lab/Generalizable-Audio-Visual-Segmentation there."
        )
    return tables


def read_rows(table: MetadataFile, layout: Layout) -> Iterator[MetadataRow]:
    """Read the lines of a table.

    Args:
        table: The table.
        layout: Of the subset.

    Yields:
        Each line that is not empty.

    Raises:
        DatasetError: If the file cannot be read or lacks a column.
    """
    try:
        # Spreadsheets write a mark before the first column's name.
        with table.path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, restval="")
            columns = rows.fieldnames or ()
            _check_columns(table, layout, columns)
            for cells in rows:
                yield MetadataRow(rows.line_num, cells)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(
            f"{table.path}: cannot be read as a table ({error}); copy it again."
        ) from error


def read_entry(table: MetadataFile, layout: Layout, row: MetadataRow) -> ClipEntry:
    """Read which clip a line names.

    Args:
        table: The table.
        layout: Of the subset.
        row: The line.

    Returns:
        The clip; its category is None also where the line leaves it out, as AVS-V3's few-shot
        tables do.

    Raises:
        DatasetError: If the line lacks the name or the split, or names an unknown component.
    """
    name = row.cells[layout.name_column or next(iter(row.cells))]
    split = table.split or row.cells["split"]
    component = (
        row.cells[layout.component_column] if layout.component_column else layout.components[0]
    )
    category = row.cells[layout.category_column] if layout.category_column else None
    required = {"name": name, "split": split}
    if layout.category_column and not table.split:
        required["category"] = category or ""
    empty = [what for what, text in required.items() if not text]
    if empty:
        raise DatasetError(
            f"{table.path}, line {row.line}: the clip has no {' and no '.join(empty)}; copy the "
            "table again."
        )
    if component not in SECONDS:
        raise DatasetError(
            f"{table.path}, line {row.line}: clip {name!r} has label {component!r}; "
            f"it must be one of {', '.join(SECONDS)} (the component of AVSBench, not a class)."
        )
    if category and layout.release == "avss":
        category = "_".join(visible_objects(category)) or NO_SOURCE
    return ClipEntry(name, split, category or None, component)


def visible_objects(text: str) -> list[str]:
    """Read which classes AVSS's column `a_obj` names.

    Args:
        text: Names joined by "_".

    Returns:
        The classes, with the one misspelling mended; neither "off-the-screen" nor "background" is
        an object that can be seen.
    """
    names = [MISSPELT.get(name, name) for name in text.split("_")]
    return [name for name in names if name not in {OFF_SCREEN, NO_SOURCE}]


def read_metadata(folder: Path, subset: Subset) -> list[ClipEntry]:
    """Read which clips a subset has.

    Args:
        folder: The subset's folder.
        subset: Which subset.

    Returns:
        Its clips in the order of the table, in AVS-V3 one table after the other.

    Raises:
        DatasetError: If a table is not there, lacks a column, or a line is not as it should be.
    """
    layout = LAYOUTS[subset]
    clips = [
        read_entry(table, layout, row)
        for table in find_metadata(folder, subset)
        for row in read_rows(table, layout)
    ]
    if layout.split_metadata:
        clips = _add_categories(clips, read_metadata(folder, layout.release))
    return [clip for clip in clips if clip.component in layout.components]


def choose_split(clips: list[ClipEntry], split: str, source: Path) -> list[ClipEntry]:
    """Keep the clips of one split.

    Args:
        clips: All clips of a subset.
        split: Name of the split.
        source: Where they come from, for the message.

    Returns:
        The clips of the split, in the same order.

    Raises:
        DatasetError: If there are none.
    """
    chosen = [clip for clip in clips if clip.split == split]
    if not chosen:
        there = ", ".join(sorted({clip.split for clip in clips})) or "no clips at all"
        raise DatasetError(f"{source}: has no clips of split {split!r}; choose from {there}.")
    return chosen


def read_class_names(folder: Path) -> tuple[str, ...]:
    """Read the classes of AVSS.

    Args:
        folder: The folder of AVSS.

    Returns:
        Class names by class number; 0 is the background.

    Raises:
        DatasetError: If the list is not there, or does not count from background 0 without gaps.
    """
    path = folder / CLASS_FILE
    try:
        numbers: Mapping[str, int] = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DatasetError(
            f"{path}: cannot be read ({error}); it should map 'background' to 0 and each class to "
            "its number, copy it again from AVSBench."
        ) from error
    names = tuple(sorted(numbers, key=lambda name: numbers[name]))
    if [numbers[name] for name in names] != list(range(len(names))) or names[:1] != ("background",):
        raise DatasetError(
            f"{path}: class numbers must be 0 ('background') to {len(names) - 1}, each once, got "
            f"{sorted(numbers.values())}; some copies of the file count from 1, use AVSBench's own."
        )
    return names


def _check_columns(table: MetadataFile, layout: Layout, there: Sequence[str]) -> None:
    wanted = [layout.name_column, layout.category_column, layout.component_column]
    wanted += [] if table.split else ["split"]
    missing = [column for column in wanted if column and column not in there]
    if missing:
        raise DatasetError(
            f"{table.path}: has no column {', '.join(missing)}, only {', '.join(there) or 'none'}; "
            f"is it the table of {layout.release}?"
        )


def _add_categories(clips: list[ClipEntry], known: list[ClipEntry]) -> list[ClipEntry]:
    """Take the categories that AVS-V3's few-shot tables leave out from AVSS's own table."""
    categories = {clip.name: clip.category for clip in known}
    return [replace(clip, category=clip.category or categories.get(clip.name)) for clip in clips]
