"""Visible and audible categories of clips."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from avseg.datasets import AVSBench
from avseg.datasets.layout import ClipEntry, Subset
from avseg.models.vocabulary import avsbench_names
from avseg.synthavs.contents import (
    CATEGORY_GROUPS,
    ClipContents,
    find_off_screen_audio,
    find_synthavs_split,
    read_contents,
)
from avseg.synthavs.generators import SynthavsOptions
from avseg.synthavs.writer import OPTIONS_FILE, write_synthavs


def test_synthavs_is_rendered_again_with_every_object(split: AVSBench) -> None:
    generated = find_synthavs_split(split)
    assert generated is not None
    assert generated.parameter_split == "test"
    for index, clip in enumerate(split):
        objects = generated.all_objects(index)
        assert objects.shape == clip.masks.shape
        assert not (clip.masks & ~objects).any()
        np.testing.assert_array_equal(generated.draw(index).frame(2)[0], clip.clip.frames[2])


def test_version_3_is_rendered_again_with_every_object(tmp_path: Path) -> None:
    options = SynthavsOptions(
        subset="ms3", clips=1, evaluation_clips=1, side=64, generator_version=3
    )
    write_synthavs(tmp_path, options, workers=1)
    split = AVSBench(tmp_path, "ms3", "test")
    generated = find_synthavs_split(split)
    assert generated is not None
    assert generated.options.generator_version == 3
    np.testing.assert_array_equal(generated.draw(0).frame(2)[0], split[0].clip.frames[2])
    assert not (split[0].masks & ~generated.all_objects(0)).any()


def test_contents_of_synthavs_are_its_visible_and_audible_categories(split: AVSBench) -> None:
    generated = find_synthavs_split(split)
    assert generated is not None
    contents = read_contents(split, generated)
    assert contents is not None
    drawn = generated.draw(0)
    assert contents[0].visible == {thing.category for thing in drawn.scene.objects}
    assert contents[0].audible == {source.category for source in drawn.sound_events}


def copy_with(data: Path, folder: Path, **facts: object) -> AVSBench:
    """Copy the data set with other options in its file."""
    shutil.copytree(data, folder)
    path = folder / "Multi-sources" / OPTIONS_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))
    return AVSBench(folder, "ms3", "test_seen")


@pytest.mark.parametrize(
    "facts",
    [
        {"generator_version": 0},
        {"generator_version": [2]},
        {"generator_version": 3},
        {"seed": 5},
        {"side": 96},
    ],
    ids=str,
)
def test_a_data_set_that_the_generator_renders_differently_is_rejected(
    facts: dict[str, object], data: Path, tmp_path: Path
) -> None:
    assert find_synthavs_split(copy_with(data, tmp_path / "copy", **facts)) is None


@pytest.mark.parametrize(
    "facts", [{"side": "64"}, {"side": 2**40}, {"seed": 0.5}, {"clips": []}, {"clips": {}}], ids=str
)
def test_damaged_options_are_those_of_no_synthavs(
    facts: dict[str, object], data: Path, tmp_path: Path
) -> None:
    assert find_synthavs_split(copy_with(data, tmp_path / "copy", **facts)) is None


def test_options_that_are_no_mapping_are_those_of_no_synthavs(data: Path, tmp_path: Path) -> None:
    split = copy_with(data, tmp_path / "copy")
    (split.folder / OPTIONS_FILE).write_text("[1]")
    assert find_synthavs_split(split) is None


def test_ms3_alone_has_no_contents(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "copy")
    (tmp_path / "copy" / "Multi-sources" / OPTIONS_FILE).unlink()
    split = AVSBench(tmp_path / "copy", "ms3", "test")
    assert find_synthavs_split(split) is None
    assert read_contents(split, None) is None


@dataclass
class Table:
    """Stand-in for a split of S4 with its metadata only."""

    categories: list[str]
    subset: Subset = "s4"

    @property
    def entries(self) -> list[ClipEntry]:
        """Metadata of the clips."""
        return [ClipEntry(name, "test", name, "v1s") for name in self.categories]


def contents_of(*categories: str, subset: Subset = "s4") -> list[ClipContents]:
    contents = read_contents(Table(list(categories), subset), None)  # type: ignore[arg-type]
    assert contents is not None
    return contents


def test_the_category_of_s4_is_visible_and_audible() -> None:
    dog, helicopter = contents_of("dog_barking", "helicopter")
    assert dog.audible == dog.sounding == {"dog_barking"}
    assert {"dog_barking", "lions_roaring", "male_speech"} < dog.visible
    assert "helicopter" not in dog.visible
    assert "dog_barking" not in helicopter.visible


def test_every_object_of_avss_is_visible_and_audible() -> None:
    (both,) = contents_of("dog_guitar", subset="avss")
    assert both.sounding == {"dog", "guitar"}


def test_every_category_of_avsbench_is_in_one_group() -> None:
    names = [name for categories in CATEGORY_GROUPS.values() for name in categories]
    assert len(names) == len(set(names))
    avss = {name.replace(" ", "-") for name in avsbench_names()}
    assert avss < set(names)
    assert len(set(names) - avss) == 22  # of the 23 of S4, the helicopter is in AVSS under its name


def test_contents_of_ms3_are_read_from_the_metadata_of_avss(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "copy")
    (tmp_path / "copy" / "Multi-sources" / OPTIONS_FILE).unlink()
    split = AVSBench(tmp_path / "copy", "ms3", "test")
    rows = [f"x,{entry.name},0,0,dog_man,test,v1m" for entry in split.entries]
    table = tmp_path / "copy" / "AVSS" / "metadata.csv"
    table.parent.mkdir()
    table.write_text("\n".join(["vid,uid,s_min,s_sec,a_obj,split,label", *rows]))
    contents = read_contents(split, None)
    assert contents is not None
    assert [each.sounding for each in contents] == [{"dog", "man"}] * 3
    table.write_text("\n".join(["vid,uid,s_min,s_sec,a_obj,split,label", *rows[1:]]))
    assert read_contents(split, None) is None


def test_off_screen_audio_has_no_possibly_visible_category() -> None:
    contents = contents_of("dog_barking", "male_speech", "playing_violin", "helicopter")
    assert [find_off_screen_audio(contents, index) for index in (0, 1)] in (
        [2, 0],
        [2, 3],
        [3, 0],
        [3, 3],
    )
    assert find_off_screen_audio(contents_of("dog_barking", "cat_meowing"), 0) is None


def test_audio_without_a_visible_source_is_not_used_as_off_screen_audio() -> None:
    dog, unknown = contents_of("dog", "background", subset="avss")
    assert find_off_screen_audio([dog, unknown], 0) is None
    assert unknown.sounding == frozenset()


def test_off_screen_audio_is_chosen_among_all_candidates() -> None:
    contents = contents_of(*["dog_barking"] * 20, *["helicopter"] * 20)
    chosen = [find_off_screen_audio(contents, index) for index in range(20)]
    assert len(set(chosen)) > 5
    assert chosen == [find_off_screen_audio(contents, index) for index in range(20)]


def test_a_component_of_a_data_set_is_not_rendered_again(tmp_path: Path) -> None:
    write_synthavs(
        tmp_path, SynthavsOptions(subset="avss", clips=1, evaluation_clips=2, side=160), workers=1
    )
    assert find_synthavs_split(AVSBench(tmp_path, "avss")) is not None
    assert find_synthavs_split(AVSBench(tmp_path, "v1m")) is None
