"""AVSBench's folders: where each file lies, and what is said when one does not."""

import json
from pathlib import Path

import pytest

from avseg.datasets.layout import (
    LAYOUTS,
    ClipEntry,
    Subset,
    choose_split,
    class_palette,
    find_folder,
    read_class_names,
    read_table,
)
from avseg.errors import DatasetError

S4_CLIP = ClipEntry("--FenyW2i_4_5000_10000", "train", "dog_barking", "v1s")
MS3_CLIP = ClipEntry("01uIJMwnUvA_0", "val", None, "v1m")
AVSS_CLIP = ClipEntry("zVfLHhs9uv8_3000_8000", "test", "horse_man", "v2")

TABLES: dict[Subset, str] = {
    "s4": "video_name,start,category,split\n--FenyW2i_4_5000_10000,5,dog_barking,train\n",
    "ms3": "video_name,split\n01uIJMwnUvA_0,val\n",
    "avss": (
        "vid,uid,s_min,s_sec,a_obj,split,label\n"
        "zVfLHhs9uv8,zVfLHhs9uv8_3000_8000,0,3,horse_man,test,v2\n"
    ),
}


def write_table(folder: Path, subset: Subset, text: str | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LAYOUTS[subset].table).write_text(TABLES[subset] if text is None else text)
    return folder


@pytest.mark.parametrize(
    ("subset", "clip", "frame", "mask", "audio"),
    [
        (
            "s4",
            S4_CLIP,
            "s4_data/visual_frames/train/dog_barking/--FenyW2i_4_5000_10000/"
            "--FenyW2i_4_5000_10000_3.png",
            "s4_data/gt_masks/train/dog_barking/--FenyW2i_4_5000_10000/"
            "--FenyW2i_4_5000_10000_3.png",
            "s4_data/audio_wav/train/dog_barking/--FenyW2i_4_5000_10000.wav",
        ),
        (
            "ms3",
            MS3_CLIP,
            "ms3_data/visual_frames/01uIJMwnUvA_0/01uIJMwnUvA_0.mp4_3.png",
            "ms3_data/gt_masks/val/01uIJMwnUvA_0/01uIJMwnUvA_0_3.png",
            "ms3_data/audio_wav/val/01uIJMwnUvA_0.wav",
        ),
        (
            "avss",
            AVSS_CLIP,
            "v2/zVfLHhs9uv8_3000_8000/frames/2.jpg",
            "v2/zVfLHhs9uv8_3000_8000/labels_semantic/2.png",
            "v2/zVfLHhs9uv8_3000_8000/audio.wav",
        ),
    ],
)
def test_the_files_of_the_third_second_are_where_avsbench_has_them(
    subset: Subset, clip: ClipEntry, frame: str, mask: str, audio: str
) -> None:
    layout, root = LAYOUTS[subset], Path("root")
    assert layout.path(layout.frame, root, clip, second=2) == root / frame
    assert layout.path(layout.mask, root, clip, second=2) == root / mask
    assert layout.path(layout.audio, root, clip) == root / audio


@pytest.mark.parametrize(
    ("part", "split", "seconds", "annotated"),
    [
        ("v1s", "train", 5, 1),
        ("v1s", "val", 5, 5),
        ("v1m", "train", 5, 5),
        ("v2", "train", 10, 10),
    ],
)
def test_single_source_training_clips_are_annotated_in_their_first_second(
    part: str, split: str, seconds: int, annotated: int
) -> None:
    clip = ClipEntry("name", split, None, part)
    assert (clip.seconds, clip.annotated_seconds) == (seconds, annotated)


@pytest.mark.parametrize(
    ("subset", "expected"), [("s4", S4_CLIP), ("ms3", MS3_CLIP), ("avss", AVSS_CLIP)]
)
def test_a_table_is_read_row_by_row(subset: Subset, expected: ClipEntry, tmp_path: Path) -> None:
    assert read_table(write_table(tmp_path, subset), subset) == [expected]


@pytest.mark.parametrize("subset", LAYOUTS)
def test_a_subset_is_found_by_its_folder_or_the_one_above(subset: Subset, tmp_path: Path) -> None:
    folder = write_table(tmp_path / LAYOUTS[subset].folders[0], subset)
    assert find_folder(tmp_path, subset) == folder
    assert find_folder(folder, subset) == folder


def test_avss_is_found_under_each_of_its_names(tmp_path: Path) -> None:
    for name in LAYOUTS["avss"].folders:
        folder = write_table(tmp_path / name / name, "avss")
        assert find_folder(tmp_path / name, "avss") == folder


def test_a_missing_folder_is_named_with_the_way_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere: there is no such folder; .*synthesize"):
        find_folder(tmp_path / "nowhere", "s4")


def test_a_folder_without_the_table_is_told_what_it_should_hold(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds no ms3_meta_data.csv, nor .* Multi-sources"):
        find_folder(tmp_path, "ms3")


def test_an_unknown_subset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one of s4, ms3, avss, got 's5'"):
        find_folder(tmp_path, "s5")  # type: ignore[arg-type]


def test_a_table_of_another_subset_is_refused(tmp_path: Path) -> None:
    folder = write_table(tmp_path, "s4", TABLES["ms3"])
    with pytest.raises(DatasetError, match="no column category, only video_name, split"):
        read_table(folder, "s4")


def test_a_label_that_is_no_part_of_avsbench_is_refused(tmp_path: Path) -> None:
    folder = write_table(tmp_path, "avss", TABLES["avss"].replace(",v2", ",dog"))
    with pytest.raises(DatasetError, match=r"has label 'dog'; it must be one of v1s, v1m, v2"):
        read_table(folder, "avss")


def test_the_clips_of_a_split_keep_their_order() -> None:
    other = ClipEntry("other", "test", None, "v2")
    assert choose_split([AVSS_CLIP, MS3_CLIP, other], "test", Path("t")) == [AVSS_CLIP, other]


def test_an_unknown_split_is_told_which_there_are() -> None:
    with pytest.raises(DatasetError, match=r"t.csv: .* split 'tset'; choose from test, val"):
        choose_split([AVSS_CLIP, MS3_CLIP], "tset", Path("t.csv"))


@pytest.mark.parametrize(
    ("number", "colour"),
    [
        (0, (0, 0, 0)),
        (1, (128, 0, 0)),
        (2, (0, 128, 0)),
        (3, (128, 128, 0)),
        (4, (0, 0, 128)),
        (8, (64, 0, 0)),
        (9, (192, 0, 0)),
        (70, (32, 128, 128)),
    ],
)
def test_the_palette_is_avsbenchs(number: int, colour: tuple[int, int, int]) -> None:
    assert tuple(class_palette(71)[number]) == colour


def test_class_names_are_in_order_of_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "label2idx.json").write_text('{"woman": 2, "background": 0, "axe": 1}')
    assert read_class_names(tmp_path) == ("background", "axe", "woman")


@pytest.mark.parametrize(
    "numbers",
    [{"background": 1, "axe": 2}, {"background": 0, "axe": 2}, {"axe": 0, "background": 1}],
    ids=["counts from 1", "has a gap", "background is not 0"],
)
def test_a_class_list_that_does_not_count_from_background_is_refused(
    numbers: dict[str, int], tmp_path: Path
) -> None:
    (tmp_path / "label2idx.json").write_text(json.dumps(numbers))
    with pytest.raises(DatasetError, match=r"must be 0 \('background'\) to 1, each once"):
        read_class_names(tmp_path)


@pytest.mark.parametrize("content", [None, "not json"])
def test_a_missing_or_damaged_class_list_is_named(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "label2idx.json").write_text(content)
    with pytest.raises(DatasetError, match=r"label2idx.json: cannot be read"):
        read_class_names(tmp_path)
