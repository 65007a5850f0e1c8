"""AVSBench's folders as code: what each subset is called, where its files lie, which are missing.

Three layouts are in use: S4 (single source) and MS3 (multi source) of AVSBench-object
(arXiv:2207.05042), and AVSS, AVSBench-semantic (arXiv:2301.13190), which holds both again under the
names v1s and v1m beside its own part v2. Each is a row of `LAYOUTS`.
"""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from avseg.errors import DatasetError
from avseg.export.png import davis_palette

Subset = Literal["s4", "ms3", "avss"]

#: Parts of AVSBench, by AVSS's names, and the seconds of their clips; each second has one frame.
SECONDS: dict[str, int] = {"v1s": 5, "v1m": 5, "v2": 10}

#: AVSS: where the class numbers are.
CLASS_TABLE = "label2idx.json"

_HOW_TO_GET = (
    "give the folder of {subset} or the one that holds it. AVSBench's authors give theirs out "
    "(github.com/OpenNLPLab/AVSBench); `avseg data synthesize --subset {subset} --out DIR "
    "--clips N` makes synthetic clips in the same layout"
)


@dataclass(frozen=True)
class ClipEntry:
    """A clip as its table names it.

    Attributes:
        name: Of the clip: video_name in S4 and MS3, uid in AVSS.
        split: "train", "val", "test" or what else the table has.
        category: What sounds: the category in S4, the objects joined by "_" in AVSS; MS3 does not
            say, there it is None.
        part: "v1s", "v1m" or "v2".
    """

    name: str
    split: str
    category: str | None
    part: str

    @property
    def seconds(self) -> int:
        """Length of the clip, and number of its frames."""
        return SECONDS[self.part]

    @property
    def annotated_seconds(self) -> int:
        """How many frames, from the first, have a mask."""
        only_first = self.part == "v1s" and self.split == "train"
        return 1 if only_first else self.seconds


@dataclass(frozen=True)
class Layout:
    """Names of the files of one subset.

    The patterns are relative to the subset's folder and hold {name}, {split}, {category}, {part},
    and {number} for the frame.

    Attributes:
        folders: Names that the subset's folder goes by, its own first.
        table: CSV file with a row for each clip.
        name_column: Column of the clip's name; None stands for the first column, whatever it is
            called.
        category_column: Column that says what sounds, if there is one.
        part: Part of AVSBench that all clips are of; None where the column `label` says it.
        frame: Pattern of a frame.
        mask: Pattern of a mask or map of class numbers.
        coloured_mask: Pattern of a map of classes in colours, if there is one.
        audio: Pattern of the sound.
        video: Pattern of the video that all this was taken from; not needed for reading.
        first_number: Number of the first frame.
    """

    folders: tuple[str, ...]
    table: str
    name_column: str | None
    category_column: str | None
    part: str | None
    frame: str
    mask: str
    coloured_mask: str | None
    audio: str
    video: str
    first_number: int

    def path(self, pattern: str, folder: Path, clip: ClipEntry, second: int = 0) -> Path:
        """Fill in a pattern.

        Args:
            pattern: One of this layout's.
            folder: The subset's folder.
            clip: The clip.
            second: Number of the second, from 0.

        Returns:
            The path.
        """
        return folder / pattern.format(
            name=clip.name,
            split=clip.split,
            category=clip.category,
            part=clip.part,
            number=self.first_number + second,
        )


LAYOUTS: dict[Subset, Layout] = {
    "s4": Layout(
        folders=("Single-source",),
        table="s4_meta_data.csv",
        name_column=None,
        category_column="category",
        part="v1s",
        frame="s4_data/visual_frames/{split}/{category}/{name}/{name}_{number}.png",
        mask="s4_data/gt_masks/{split}/{category}/{name}/{name}_{number}.png",
        coloured_mask=None,
        audio="s4_data/audio_wav/{split}/{category}/{name}.wav",
        video="s4_data/raw_videos/{split}/{category}/{name}.mp4",
        first_number=1,
    ),
    "ms3": Layout(
        folders=("Multi-sources",),
        table="ms3_meta_data.csv",
        name_column=None,
        category_column=None,
        part="v1m",
        frame="ms3_data/visual_frames/{name}/{name}.mp4_{number}.png",
        mask="ms3_data/gt_masks/{split}/{name}/{name}_{number}.png",
        coloured_mask=None,
        audio="ms3_data/audio_wav/{split}/{name}.wav",
        video="ms3_data/raw_videos/{name}.mp4",
        first_number=1,
    ),
    "avss": Layout(
        folders=("AVSBench_semantic", "AVSS", "avs_released", "AVSBench"),
        table="metadata.csv",
        name_column="uid",
        category_column="a_obj",
        part=None,
        frame="{part}/{name}/frames/{number}.jpg",
        mask="{part}/{name}/labels_semantic/{number}.png",
        coloured_mask="{part}/{name}/labels_rgb/{number}.png",
        audio="{part}/{name}/audio.wav",
        video="raw_videos/{name}.mp4",  # AVSBench gives none out: a place of our own
        first_number=0,
    ),
}


def find_folder(root: Path, subset: Subset) -> Path:
    """Find the folder of a subset.

    Args:
        root: The folder of a subset, or the one that holds it.
        subset: Which subset.

    Returns:
        The folder that holds the subset's table.

    Raises:
        DatasetError: If the folder or the table is not there.
        ValueError: If there is no such subset.
    """
    if subset not in LAYOUTS:
        raise ValueError(f"subset must be one of {', '.join(get_args(Subset))}, got {subset!r}.")
    layout = LAYOUTS[subset]
    for folder in (root, *(root / name for name in layout.folders)):
        if (folder / layout.table).is_file():
            return folder
    problem = "there is no such folder"
    if root.is_dir():
        problem = f"holds no {layout.table}, nor does a folder {' or '.join(layout.folders)} in it"
    raise DatasetError(f"{root}: {problem}; {_HOW_TO_GET.format(subset=subset)}.")


def read_table(folder: Path, subset: Subset) -> list[ClipEntry]:
    """Read which clips a subset has.

    Args:
        folder: The subset's folder.
        subset: Which subset.

    Returns:
        Its clips in the order of the table.

    Raises:
        DatasetError: If the table lacks a column, or a row names an unknown part.
    """
    layout = LAYOUTS[subset]
    path = folder / layout.table
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        columns = rows.fieldnames or ()
        wanted = [layout.name_column, layout.category_column, "split"]
        wanted += [] if layout.part else ["label"]
        missing = [column for column in wanted if column and column not in columns]
        if missing:
            raise DatasetError(
                f"{path}: has no column {', '.join(missing)}, only {', '.join(columns) or 'none'}; "
                f"is it the table of {subset}?"
            )
        name_column = layout.name_column or columns[0]
        return [_read_row(path, layout, name_column, row) for row in rows]


def choose_split(clips: list[ClipEntry], split: str, source: Path) -> list[ClipEntry]:
    """Keep the clips of one split.

    Args:
        clips: All clips of a subset.
        split: Name of the split.
        source: The table, for the message.

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
    path = folder / CLASS_TABLE
    try:
        numbers: Mapping[str, int] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
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


def class_palette(count: int) -> NDArray[np.uint8]:
    """Return the colours of AVSS's `labels_rgb`, those of PASCAL VOC.

    Args:
        count: How many classes, the background among them, at most 256.

    Returns:
        Colour of each class, (count, 3) uint8 RGB.
    """
    return np.frombuffer(davis_palette(), np.uint8).reshape(256, 3)[:count]


def _read_row(path: Path, layout: Layout, name_column: str, row: Mapping[str, str]) -> ClipEntry:
    part = layout.part or row["label"]
    if part not in SECONDS:
        raise DatasetError(
            f"{path}: clip {row[name_column]!r} has label {part!r}; "
            f"it must be one of {', '.join(SECONDS)} (the part of AVSBench, not a class)."
        )
    category = row[layout.category_column] if layout.category_column else None
    return ClipEntry(row[name_column], row["split"], category, part)
