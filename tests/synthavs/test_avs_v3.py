"""Metadata of AVS-V3 for SynthAVS: zero-shot and few-shot splits."""

from pathlib import Path

import pytest

from avseg.datasets.checking import check_data
from avseg.datasets.layout import ClipEntry
from avseg.datasets.metadata import choose_split, read_metadata
from avseg.synthavs.avs_v3 import (
    SEMANTIC_COLUMNS,
    semantic_cells,
    write_metadata,
    write_v3_metadata,
)

SPLITS = ("train", "val", "test", "test_zero_shot")
CATEGORIES = ("wolf", "pig", "pig_wolf", "off-the-screen_pig")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write metadata of twelve clips of each component in each split."""
    clips = [
        ClipEntry(f"{split}-{component}-{i}_0_5000", split, CATEGORIES[i % 4], component)
        for split in SPLITS
        for component in ("v1s", "v1m", "v2")
        for i in range(12)
    ]
    write_metadata(
        tmp_path / "metadata.csv", SEMANTIC_COLUMNS, [semantic_cells(c, c.split) for c in clips]
    )
    write_v3_metadata(tmp_path, clips)
    return tmp_path


def names(folder: Path, split: str) -> set[str]:
    return {clip.name for clip in choose_split(read_metadata(folder, "v3"), split, folder)}


@pytest.mark.parametrize(
    ("split", "source"),
    [("seen_train", "train"), ("seen_val", "val"), ("unseen", "test_zero_shot")],
)
def test_splits_of_v3_are_the_clips_of_v1m_and_v2(split: str, source: str, folder: Path) -> None:
    expected = {
        f"{source}-{component}-{i}_0_5000" for component in ("v1m", "v2") for i in range(12)
    }
    assert names(folder, split) == expected


@pytest.mark.parametrize(("shots", "count"), [(1, 2), (3, 5), (5, 8)])
def test_few_shot_training_has_enough_clips_of_each_category(
    shots: int, count: int, folder: Path
) -> None:
    train = choose_split(read_metadata(folder, "v3"), f"{shots}_shot_train", folder)
    assert len(train) == count
    for category in ("wolf", "pig"):
        assert sum(category in (clip.category or "") for clip in train) >= shots
    few, rest = names(folder, f"{shots}_shot_train"), names(folder, f"{shots}_shot_test")
    assert not few & rest
    assert few | rest == names(folder, "unseen")


def test_the_metadata_has_no_findings(folder: Path) -> None:
    findings = check_data(folder, workers=1).findings["v3"]
    assert {finding.kind for finding in findings} == set()


def test_without_remaining_test_clips_there_is_no_few_shot_split(tmp_path: Path) -> None:
    clips = [ClipEntry("a_0_5000", "test_zero_shot", "pig", "v2")]
    write_v3_metadata(tmp_path, clips)
    assert {path.name for path in tmp_path.iterdir()} == {"meta_v3_unseen.csv"}
