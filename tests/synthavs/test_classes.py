"""Class labels from label maps, from the category, or rendered again."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avseg.datasets import AVSBench
from avseg.datasets.layout import Subset
from avseg.errors import DatasetError
from avseg.synthavs.classes import SemanticSplit
from avseg.synthavs.generators import SynthavsOptions
from avseg.synthavs.writer import CLASS_NAMES, OPTIONS_FILE, write_synthavs


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write one clip of each split of each subset."""
    folder = tmp_path_factory.mktemp("classes")
    for subset in ("s4", "ms3", "avss"):
        options = SynthavsOptions(subset=subset, clips=1, evaluation_clips=1, side=64)
        write_synthavs(folder, options, workers=1)
    return folder


def test_stored_label_maps_are_used(data: Path) -> None:
    split = SemanticSplit.open(AVSBench(data, "avss", "val"))
    clip, labels = split.read(0)
    assert clip.labels is not None
    np.testing.assert_array_equal(labels, clip.labels)
    assert split.names == CLASS_NAMES


def test_a_single_source_has_the_class_of_its_clip(data: Path) -> None:
    split = SemanticSplit.open(AVSBench(data, "s4", "val"))
    clip, labels = split.read(0)
    assert clip.category is not None
    np.testing.assert_array_equal(labels > 0, clip.masks)
    assert set(np.unique(labels)) <= {0, CLASS_NAMES.index(clip.category)}


def test_labels_of_several_sources_are_rendered_again(data: Path) -> None:
    split = SemanticSplit.open(AVSBench(data, "ms3", "val"))
    assert split.generated is not None
    clip, labels = split.read(0)
    np.testing.assert_array_equal(labels > 0, clip.masks)
    drawn = split.generated.draw(0)
    heard = {CLASS_NAMES.index(source.category) for source in drawn.sound_events}
    assert set(np.unique(labels)) - {0} <= heard
    for second, there in enumerate(labels):
        sounding = {CLASS_NAMES.index(name) for name in drawn.sounding(second).values()}
        assert set(np.unique(there)) - {0} <= sounding


@pytest.mark.parametrize("subset", ["s4", "ms3", "avss"])
@pytest.mark.parametrize("name", ["val", "test"])
def test_some_frames_of_a_clip_can_be_read_with_their_labels(
    data: Path, subset: Subset, name: str
) -> None:
    split = SemanticSplit.open(AVSBench(data, subset, name))
    whole, labels = split.read(0)
    for _ in range(2):  # rendered, then from memory
        clip, some = split.read(0, [1, 3])
        np.testing.assert_array_equal(some, labels[[1, 3]])
        np.testing.assert_array_equal(clip.clip.frames, whole.clip.frames[[1, 3]])
        windows, whole_windows = clip.clip.audio_windows(1.0), whole.clip.audio_windows(1.0)
        np.testing.assert_array_equal(windows, whole_windows[[1, 3]])


def test_clips_of_some_classes_are_selected_by_the_metadata(data: Path) -> None:
    entry = AVSBench(data, "s4", "val").entries[0]
    single = SemanticSplit.open(AVSBench(data, "s4", "val"))
    assert single.within({str(entry.category)}) == [0]
    assert single.within({"unicorn"}) == []
    several = SemanticSplit.open(AVSBench(data, "ms3", "val"))  # its metadata has no classes
    assert several.within({"unicorn"}) == [0]


@pytest.mark.parametrize(
    ("category", "names", "found"),
    [("dog_cat", ["cat"], []), ("dog_cat", ["cat", "dog"], [0]), ("background", ["cat"], [0])],
)
def test_all_classes_of_a_clip_count(
    data: Path, category: str, names: list[str], found: list[int]
) -> None:
    split = SemanticSplit.open(AVSBench(data, "avss", "val"))
    split.split.entries[:] = [replace(split.split.entries[0], category=category)]
    assert split.within(names) == found


def test_data_without_class_labels_raise(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "Multi-sources", tmp_path / "Multi-sources")
    (tmp_path / "Multi-sources" / OPTIONS_FILE).unlink()
    with pytest.raises(DatasetError, match="ms3 has no class labels; use v1m"):
        SemanticSplit.open(AVSBench(tmp_path, "ms3", "val"))
