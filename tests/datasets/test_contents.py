"""What is known of a clip besides its masks."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from avseg.datasets import AVSBench
from avseg.datasets.contents import Contents, find_generated, read_contents
from avseg.datasets.synthetic.recipe import Recipe
from avseg.datasets.synthetic.writer import RECIPE_FILE, write_synthavs


def test_synthavs_is_drawn_anew_with_every_object(split: AVSBench) -> None:
    generated = find_generated(split)
    assert generated is not None
    assert generated.voice == "test"
    for index, clip in enumerate(split):
        objects = generated.all_objects(index)
        assert objects.shape == clip.masks.shape
        assert not (clip.masks & ~objects).any()
        np.testing.assert_array_equal(generated.draw(index).frame(2)[0], clip.clip.frames[2])


def test_contents_of_synthavs_are_what_is_seen_and_heard(split: AVSBench) -> None:
    generated = find_generated(split)
    assert generated is not None
    contents = read_contents(split, generated)
    assert contents is not None
    drawn = generated.draw(0)
    assert contents[0].visible == {thing.category for thing in drawn.scene.objects}
    assert contents[0].heard == {source.category for source in drawn.sources}


def copy_with(data: Path, folder: Path, **facts: object) -> AVSBench:
    """Copy the data set, with other facts about how it was made."""
    shutil.copytree(data, folder)
    path = folder / "Multi-sources" / RECIPE_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))
    return AVSBench(folder, "ms3", "test_seen")


@pytest.mark.parametrize("facts", [{"generator_version": 0}, {"seed": 5}, {"side": 96}], ids=str)
def test_a_data_set_that_the_generator_would_not_draw_is_left_alone(
    facts: dict[str, object], data: Path, tmp_path: Path
) -> None:
    assert find_generated(copy_with(data, tmp_path / "copy", **facts)) is None


def test_of_ms3_itself_nothing_is_known(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "copy")
    (tmp_path / "copy" / "Multi-sources" / RECIPE_FILE).unlink()
    split = AVSBench(tmp_path / "copy", "ms3", "test")
    assert find_generated(split) is None
    assert read_contents(split, None) is None


class OneCategoryEach:
    """As much of a split of S4 as its contents need."""

    subset = "s4"

    class Entry:
        """A row of the table."""

        category = "dog"

    entries = (Entry(), Entry())


def test_of_s4_the_category_is_seen_and_heard() -> None:
    contents = read_contents(OneCategoryEach(), None)  # type: ignore[arg-type]
    assert contents == [Contents(frozenset({"dog"}), frozenset({"dog"}))] * 2


def test_a_part_of_a_data_set_is_not_drawn_anew(tmp_path: Path) -> None:
    write_synthavs(
        tmp_path, Recipe(subset="avss", clips=1, evaluation_clips=2, side=160), workers=1
    )
    assert find_generated(AVSBench(tmp_path, "avss")) is not None
    assert find_generated(AVSBench(tmp_path, "v1m")) is None
