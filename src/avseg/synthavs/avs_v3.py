"""Metadata files of AVS-V3: zero-shot and few-shot splits of the clips of AVSS.

As in AVS-V3, the clips are those of v1m and v2. The unseen categories are those of SynthAVS's split
test_zero_shot, which no training clip contains.
"""

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from avseg.datasets.layout import LAYOUTS, ClipEntry
from avseg.datasets.metadata import visible_objects

#: Columns of the metadata of AVSS and of AVS-V3.
SEMANTIC_COLUMNS = ("vid", "uid", "s_min", "s_sec", "a_obj", "split", "label")

#: Split of AVS-V3 -> split of SynthAVS with its clips.
_SYNTHAVS_SPLITS = {"seen_train": "train", "seen_val": "val", "unseen": "test_zero_shot"}


def write_v3_metadata(folder: Path, clips: Iterable[ClipEntry]) -> None:
    """Write the metadata files of AVS-V3 beside that of AVSS; splits without clips get no file.

    Args:
        folder: Folder of AVSS.
        clips: Metadata of all clips of AVSS.
    """
    eligible = [clip for clip in clips if clip.component in {"v1m", "v2"}]
    splits = {
        split: [clip for clip in eligible if clip.split == origin]
        for split, origin in _SYNTHAVS_SPLITS.items()
    }
    for shots in (1, 3, 5):
        chosen = _select_shots(splits["unseen"], shots)
        # A few-shot test split has the unseen clips that its training split does not use.
        remaining = [clip for clip in splits["unseen"] if clip not in chosen]
        if remaining:
            splits |= {f"{shots}_shot_train": chosen, f"{shots}_shot_test": remaining}
    for split, chosen in splits.items():
        label = f"v3_{split}" if "shot" in split else split
        rows = [semantic_cells(clip, label) for clip in chosen]
        if rows:
            write_metadata(folder / LAYOUTS["v3"].split_metadata[split], SEMANTIC_COLUMNS, rows)


def semantic_cells(clip: ClipEntry, split: str) -> tuple[object, ...]:
    """Return the row of a clip in AVSS's metadata.

    Args:
        clip: Metadata of the clip.
        split: Text for the column `split`.

    Returns:
        Cells in the order of `SEMANTIC_COLUMNS`.
    """
    # Names in AVSS end with the start and the end in milliseconds, after the name of the video.
    video = clip.name.rsplit("_", maxsplit=2)[0]
    return video, clip.name, 0, 0, clip.category, split, clip.component


def write_metadata(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a metadata file.

    Args:
        path: CSV file to write; its folder is created if needed.
        header: Names of the columns.
        rows: Cells of each row.
    """
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _select_shots(clips: Iterable[ClipEntry], shots: int) -> list[ClipEntry]:
    """Select clips in order until each category occurs in the given number of them."""
    seen: Counter[str] = Counter()
    chosen = []
    for clip in clips:
        objects = set(visible_objects(clip.category or ""))
        if any(seen[name] < shots for name in objects):
            chosen.append(clip)
            seen.update(objects)
    return chosen
