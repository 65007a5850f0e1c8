"""AVSBench's metadata files: parsing, and errors for invalid files."""

import json
from pathlib import Path

import pytest

from avseg.datasets.layout import LAYOUTS, ClipEntry, Subset
from avseg.datasets.metadata import choose_split, read_class_names, read_metadata
from avseg.errors import DatasetError

S4_CLIP = ClipEntry("--FenyW2i_4_5000_10000", "train", "dog_barking", "v1s")
MS3_CLIP = ClipEntry("01uIJMwnUvA_0", "val", None, "v1m")
AVSS_CLIP = ClipEntry("zVfLHhs9uv8_3000_8000", "test", "horse_man", "v2")

COLUMNS = "vid,uid,s_min,s_sec,a_obj,split,label\n"
TABLES: dict[Subset, str] = {
    "s4": "video_name,start,category,split\n--FenyW2i_4_5000_10000,5,dog_barking,train\n",
    "ms3": "video_name,split\n01uIJMwnUvA_0,val\n",
    "avss": f"{COLUMNS}zVfLHhs9uv8,zVfLHhs9uv8_3000_8000,0,3,horse_man,test,v2\n",
}


def write_metadata(folder: Path, subset: Subset, text: str | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LAYOUTS[subset].metadata).write_text(TABLES[subset] if text is None else text)
    return folder


@pytest.mark.parametrize(
    ("subset", "expected"), [("s4", S4_CLIP), ("ms3", MS3_CLIP), ("avss", AVSS_CLIP)]
)
def test_metadata_is_read_row_by_row(subset: Subset, expected: ClipEntry, tmp_path: Path) -> None:
    assert read_metadata(write_metadata(tmp_path, subset), subset) == [expected]


def test_metadata_of_another_subset_raises(tmp_path: Path) -> None:
    folder = write_metadata(tmp_path, "s4", TABLES["ms3"])
    with pytest.raises(DatasetError, match="no column category, only video_name, split"):
        read_metadata(folder, "s4")


def test_a_label_that_is_no_component_of_avsbench_raises(tmp_path: Path) -> None:
    folder = write_metadata(tmp_path, "avss", TABLES["avss"].replace(",v2", ",dog"))
    with pytest.raises(
        DatasetError, match=r"line 2: clip .* has label 'dog'; it must be one of v1s, v1m, v2"
    ):
        read_metadata(folder, "avss")


def test_the_clips_of_a_split_keep_their_order() -> None:
    other = ClipEntry("other", "test", None, "v2")
    assert choose_split([AVSS_CLIP, MS3_CLIP, other], "test", Path("t")) == [AVSS_CLIP, other]


def test_an_unknown_split_raises_with_the_known_ones() -> None:
    with pytest.raises(DatasetError, match=r"t.csv: .* split 'tset'; choose from test, val"):
        choose_split([AVSS_CLIP, MS3_CLIP], "tset", Path("t.csv"))


def test_class_names_are_in_order_of_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "label2idx.json").write_text('{"woman": 2, "background": 0, "axe": 1}')
    assert read_class_names(tmp_path) == ("background", "axe", "woman")


@pytest.mark.parametrize(
    "numbers",
    [{"background": 1, "axe": 2}, {"background": 0, "axe": 2}, {"axe": 0, "background": 1}],
    ids=["counts from 1", "has a gap", "background is not 0"],
)
def test_class_numbers_that_do_not_start_at_background_raise(
    numbers: dict[str, int], tmp_path: Path
) -> None:
    (tmp_path / "label2idx.json").write_text(json.dumps(numbers))
    with pytest.raises(DatasetError, match=r"must be 0 \('background'\) to 1, each once"):
        read_class_names(tmp_path)


@pytest.mark.parametrize("content", [None, "not json"])
def test_a_missing_or_damaged_class_list_raises(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "label2idx.json").write_text(content)
    with pytest.raises(DatasetError, match=r"label2idx.json: cannot be read"):
        read_class_names(tmp_path)


@pytest.mark.parametrize("subset", ["v1s", "v1m", "v2"])
def test_a_component_of_avss_has_its_own_clips_only(subset: Subset, tmp_path: Path) -> None:
    rows = "".join(
        f"a,{component}_clip,0,0,man,test,{component}\n" for component in ("v1s", "v1m", "v2")
    )
    folder = write_metadata(tmp_path, "avss", COLUMNS + rows)
    assert [clip.name for clip in read_metadata(folder, subset)] == [f"{subset}_clip"]
    assert len(read_metadata(folder, "avss")) == 3


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("h orse_man", "horse_man"),
        ("man_off-the-screen", "man"),
        ("off-the-screen", "background"),
        ("background", "background"),
        ("hair-dryer_woman", "hair-dryer_woman"),
    ],
)
def test_a_category_of_avss_consists_of_classes(text: str, category: str, tmp_path: Path) -> None:
    folder = write_metadata(tmp_path, "avss", f"{COLUMNS}a,a_0,0,0,{text},test,v2\n")
    assert read_metadata(folder, "avss")[0].category == category


@pytest.mark.parametrize("place", ["", "v3"], ids=["beside AVSS's table", "as unpacked"])
def test_splits_of_avs_v3_are_files_and_their_column_is_ignored(place: str, tmp_path: Path) -> None:
    write_metadata(tmp_path, "avss", f"{COLUMNS}a,a_0,0,0,bell,train,v2\nb,b_0,0,0,harp,test,v1m\n")
    tables = tmp_path / place
    (tables / "v3_1_shot").mkdir(parents=True)
    few = "vid,uid,s_min,s_sec,a_obj,split,label\n{0},{0}_0,,,,v3_1_shot_train,{1}\n"
    (tables / "v3_1_shot/train.csv").write_text(few.format("a", "v2"))
    (tables / "v3_1_shot/test.csv").write_text(few.format("b", "v1m"))
    (tables / "meta_v3_unseen.csv").write_text(f"{COLUMNS}b,b_0,0,0,harp,unseen,v1m\n")
    assert read_metadata(tmp_path, "v3") == [
        ClipEntry("b_0", "unseen", "harp", "v1m"),
        ClipEntry("a_0", "1_shot_train", "bell", "v2"),
        ClipEntry("b_0", "1_shot_test", "harp", "v1m"),
    ]


def test_avs_v3_without_metadata_raises_with_the_file_names(tmp_path: Path) -> None:
    write_metadata(tmp_path, "avss")
    with pytest.raises(
        DatasetError, match=r"none of the metadata files of AVS-V3 \(meta_v3_seen_train"
    ):
        read_metadata(tmp_path, "v3")


def test_a_row_with_an_unknown_split_is_in_no_known_split(tmp_path: Path) -> None:
    folder = write_metadata(tmp_path, "ms3", "video_name,split\na,TODO\nb,test\n")
    clips = choose_split(read_metadata(folder, "ms3"), "test", folder)
    assert [clip.name for clip in clips] == ["b"]


@pytest.mark.parametrize("row", ["", "a,,0,0", "a,,0,0,man,test,v2"])
def test_a_row_without_a_name_raises(row: str, tmp_path: Path) -> None:
    folder = write_metadata(tmp_path, "avss", f"{COLUMNS}{row or ',,,,,,'}\n")
    with pytest.raises(DatasetError, match=r"metadata.csv, line 2: the clip has no name"):
        read_metadata(folder, "avss")


def test_a_byte_order_mark_before_the_first_column_is_ignored(tmp_path: Path) -> None:
    folder = write_metadata(tmp_path, "ms3", "\ufeffvideo_name,split\r\na_0,test\r\n")
    assert read_metadata(folder, "ms3") == [ClipEntry("a_0", "test", None, "v1m")]


def test_a_file_that_is_no_csv_raises(tmp_path: Path) -> None:
    (tmp_path / "ms3_meta_data.csv").write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff\xfe")
    with pytest.raises(DatasetError, match=r"ms3_meta_data.csv: cannot be read as a CSV file"):
        read_metadata(tmp_path, "ms3")
