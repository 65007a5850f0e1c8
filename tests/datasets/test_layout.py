"""AVSBench's folder layouts: paths of files, and errors for missing ones."""

from pathlib import Path

import pytest

from avseg.datasets.layout import LAYOUTS, ClipEntry, Subset, find_folder
from avseg.errors import DatasetError

S4_CLIP = ClipEntry("--FenyW2i_4_5000_10000", "train", "dog_barking", "v1s")
MS3_CLIP = ClipEntry("01uIJMwnUvA_0", "val", None, "v1m")
AVSS_CLIP = ClipEntry("zVfLHhs9uv8_3000_8000", "test", "horse_man", "v2")


def write_metadata(folder: Path, subset: Subset) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LAYOUTS[subset].metadata).touch()
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
def test_the_files_of_the_third_second_have_avsbenchs_paths(
    subset: Subset, clip: ClipEntry, frame: str, mask: str, audio: str
) -> None:
    layout, root = LAYOUTS[subset], Path("root")
    assert layout.path(layout.frame, root, clip, second=2) == root / frame
    assert layout.path(layout.mask, root, clip, second=2) == root / mask
    assert layout.path(layout.audio, root, clip) == root / audio


@pytest.mark.parametrize(
    ("component", "split", "seconds", "annotated"),
    [
        ("v1s", "train", 5, 1),
        ("v1s", "val", 5, 5),
        ("v1m", "train", 5, 5),
        ("v2", "train", 10, 10),
    ],
)
def test_single_source_training_clips_are_annotated_in_their_first_second(
    component: str, split: str, seconds: int, annotated: int
) -> None:
    clip = ClipEntry("name", split, None, component)
    assert (clip.seconds, clip.annotated_seconds) == (seconds, annotated)


@pytest.mark.parametrize("subset", LAYOUTS)
def test_a_subset_is_found_by_its_folder_or_the_one_above(subset: Subset, tmp_path: Path) -> None:
    folder = write_metadata(tmp_path / LAYOUTS[subset].folders[0], subset)
    assert find_folder(tmp_path, subset) == folder
    assert find_folder(folder, subset) == folder


def test_avss_is_found_under_each_of_its_names(tmp_path: Path) -> None:
    for name in LAYOUTS["avss"].folders:
        folder = write_metadata(tmp_path / name / name, "avss")
        assert find_folder(tmp_path / name, "avss") == folder


def test_a_missing_folder_raises_and_says_how_to_obtain_the_data(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"nowhere: the folder does not exist; .*synthesize"):
        find_folder(tmp_path / "nowhere", "s4")


def test_a_folder_without_metadata_raises_with_the_expected_file(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"contains no ms3_meta_data.csv, and neither .* Multi-sources"
    ):
        find_folder(tmp_path, "ms3")


def test_an_unknown_subset_raises(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"one of s4, ms3, avss, .*, got 's5'"):
        find_folder(tmp_path, "s5")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("subset", "sound"),
    [
        ("s4_noise", "Single-source/s4_data/audio_wav_noise/train/dog_barking/NAME.wav"),
        ("ms3_misaligned", "Multi-sources/ms3_data/audio_wav_misaligned/val/NAME.wav"),
        ("ms3_silent", "silent.wav"),
    ],
)
@pytest.mark.parametrize("place", ["avsbench_neg_data", "avsbench_test_audio"])
@pytest.mark.parametrize("depth", ["", "avsbench_data"])
def test_negative_audio_is_found_beside_the_original_set_or_one_level_above(
    subset: Subset, sound: str, place: str, depth: str, tmp_path: Path
) -> None:
    clip = S4_CLIP if subset.startswith("s4") else MS3_CLIP
    layout = LAYOUTS[subset]
    folder = tmp_path / depth / layout.folders[0]
    path = tmp_path / place / sound.replace("NAME", clip.name)
    path.parent.mkdir(parents=True)
    path.touch()
    assert layout.path(layout.audio, layout.audio_folder(folder), clip) == path
    original = LAYOUTS[layout.release]
    assert layout.frame == original.frame
    assert layout.mask == original.mask


def test_negative_audio_may_be_in_the_folder_of_the_original_set(tmp_path: Path) -> None:
    folder = tmp_path / "Single-source"
    (folder / "s4_data/audio_wav_noise").mkdir(parents=True)
    assert LAYOUTS["s4_noise"].audio_folder(folder) == folder


def test_missing_negative_audio_is_expected_in_its_published_folder() -> None:
    expected = Path("/data/avsbench_neg_data/Single-source")
    assert LAYOUTS["s4_noise"].audio_folder(Path("/data/Single-source")) == expected
