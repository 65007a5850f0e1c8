"""Tables of AVSS, and of AVS-V3 upon it: zero-shot and few-shot splits of the same clips.

As in AVS-V3 the clips are of v1m and v2. What is unseen there is the split of SynthAVS whose
categories no training clip has.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from avseg.datasets.layout import LAYOUTS, ClipEntry
from avseg.datasets.metadata import visible_objects

#: Columns of AVSS's table; AVS-V3's have the same.
SEMANTIC_COLUMNS = ("vid", "uid", "s_min", "s_sec", "a_obj", "split", "label")

#: Splits of AVS-V3 and where in SynthAVS their clips come from.
_SOURCES = {"seen_train": "train", "seen_val": "val", "unseen": "test_zero_shot"}


def write_v3_metadata(folder: Path, clips: Iterable[ClipEntry]) -> None:
    """Write the tables of AVS-V3 beside AVSS's own, of the splits that have clips.

    Args:
        folder: The folder of AVSS.
        clips: All clips of AVSS.
    """
    eligible = [clip for clip in clips if clip.component in {"v1m", "v2"}]
    splits = {
        split: [clip for clip in eligible if clip.split == source]
        for split, source in _SOURCES.items()
    }
    for shots in (1, 3, 5):
        few = _few(splits["unseen"], shots)
        rest = [clip for clip in splits["unseen"] if clip not in few]
        if rest:
            splits |= {f"{shots}_shot_train": few, f"{shots}_shot_test": rest}
    for split, chosen in splits.items():
        label = f"v3_{split}" if "shot" in split else split
        rows = [semantic_cells(clip, label) for clip in chosen]
        if rows:
            write_metadata(folder / LAYOUTS["v3"].split_metadata[split], SEMANTIC_COLUMNS, rows)


def semantic_cells(clip: ClipEntry, split: str) -> tuple[object, ...]:
    """Say in the columns of AVSS's table what a clip is.

    Args:
        clip: The clip.
        split: What its column of splits says.

    Returns:
        The cells.
    """
    video = clip.name.rsplit("_", maxsplit=2)[0]
    return video, clip.name, 0, 0, clip.category, split, clip.component


def write_metadata(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table.

    Args:
        path: The CSV file; its folder is made if needed.
        header: Names of the columns.
        rows: Cells of each line.
    """
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(header)
        table.writerows(rows)


def _few(clips: Iterable[ClipEntry], shots: int) -> list[ClipEntry]:
    """Take clips, in order, until each category is in so many of them."""
    seen: Counter[str] = Counter()
    few = []
    for clip in clips:
        objects = set(visible_objects(clip.category or ""))
        if any(seen[name] < shots for name in objects):
            few.append(clip)
            seen.update(objects)
    return few
