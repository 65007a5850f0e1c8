"""Data sets of neighbouring tasks, which are recognised so that errors can name them."""

import csv
from pathlib import Path

#: Columns of Ref-AVS's metadata.csv that AVSS's file of the same name does not have.
_REF_AVS_COLUMNS = {"uid", "fid", "exp"}


def recognise_other(folder: Path) -> str | None:
    """Recognise a data set that is not in AVSBench's layout.

    Args:
        folder: Folder of the data set.

    Returns:
        Its name and its task; None if it is not recognised.
    """
    if _is_ref_avs(folder):
        return "Ref-AVS, masks of the object that an expression refers to"
    if all((folder / name).is_dir() for name in ("images", "audios")) and _has_expressions(folder):
        return "OmniAVS, masks of the objects that texts, speech, sounds or images refer to"
    return None


def _is_ref_avs(folder: Path) -> bool:
    if all((folder / name).is_dir() for name in ("media", "gt_mask")):
        return True
    path = folder / "metadata.csv"
    if not path.is_file():
        return False
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            columns = set(next(csv.reader(lines), []))
    except (OSError, ValueError, csv.Error):
        return False  # a damaged file is reported where it is read
    return columns >= _REF_AVS_COLUMNS and "a_obj" not in columns


def _has_expressions(folder: Path) -> bool:
    return (folder / "referrings").is_dir() or any(
        path.suffix in {".json", ".jsonl"} for path in folder.iterdir()
    )
