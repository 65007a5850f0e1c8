"""The AVSBench reader gets back exactly the synthesized clips."""

import csv
import hashlib
import json
import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from avseg.datasets import AVSBench
from avseg.datasets.checking import check_data
from avseg.datasets.layout import LAYOUTS, Release
from avseg.datasets.palette import class_palette
from avseg.errors import OutputError
from avseg.media import probe, read_clip
from avseg.synthavs import writer
from avseg.synthavs.categories import CATEGORIES
from avseg.synthavs.generators import SynthavsOptions, draw_clip
from avseg.synthavs.writer import CLASS_NAMES, write_synthavs

SPLITS = ("train", "val", "test", "test_seen", "test_zero_shot")

RECIPES: dict[Release, SynthavsOptions] = {
    "s4": SynthavsOptions(subset="s4", clips=4, evaluation_clips=1, side=48),
    "ms3": SynthavsOptions(subset="ms3", clips=8, evaluation_clips=1, side=48),
    "avss": SynthavsOptions(subset="avss", clips=6, evaluation_clips=3, side=48),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write all three subsets to one folder."""
    root = tmp_path_factory.mktemp("synthavs")
    for options in RECIPES.values():
        write_synthavs(root, options, workers=1)
    return root


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def brightness_error(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Return the mean difference of brightness in [0, 255], since JPEG and h264 blur colours."""
    return float(np.abs((a - b.astype(float)) @ (0.299, 0.587, 0.114)).mean())


def rows(root: Path, subset: Release) -> list[dict[str, str]]:
    layout = LAYOUTS[subset]
    with (root / layout.folders[0] / layout.metadata).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("subset", RECIPES)
def test_masks_are_the_visible_pixels_of_the_sounding_objects(
    subset: Release, split: str, root: Path
) -> None:
    data = AVSBench(root, subset, split)
    assert len(data) == RECIPES[subset].counts()[split]
    for index, item in enumerate(data):
        clip = draw_clip(RECIPES[subset], split, index)
        for second in np.flatnonzero(item.annotated):
            _, numbers = clip.frame(int(second))
            expected = np.isin(numbers, list(clip.sounding(int(second))))
            assert (item.masks[second] == expected).all()


@pytest.mark.parametrize("subset", ["s4", "ms3"])
def test_frames_and_audio_are_read_back(subset: Release, root: Path) -> None:
    for index, item in enumerate(AVSBench(root, subset, "train")):
        clip = draw_clip(RECIPES[subset], "train", index)
        for second in range(5):
            assert (item.clip.frames[second] == clip.frame(second)[0]).all()
        assert np.abs(item.clip.audio - clip.audio).max() < 1e-4


def test_semantic_frames_are_read_back_except_for_jpeg_artifacts(root: Path) -> None:
    item = AVSBench(root, "avss", "train")[2]
    clip = draw_clip(RECIPES["avss"], "train", 2)
    assert len(item.clip.frames) == 10
    for second in range(10):
        assert brightness_error(item.clip.frames[second], clip.frame(second)[0]) < 3


def test_a_second_without_a_visible_source_has_an_empty_mask(root: Path) -> None:
    silent = 0
    for index, item in enumerate(AVSBench(root, "ms3", "train")):
        clip = draw_clip(RECIPES["ms3"], "train", index)
        for second in range(5):
            if not clip.sounding(second):
                assert not item.masks[second].any()
                silent += 1
    assert silent, "the options should have such a second"


def test_single_source_training_has_the_first_mask_only(root: Path) -> None:
    masks = root / "Single-source/s4_data/gt_masks"
    assert {path.stem[-2:] for path in (masks / "train").rglob("*.png")} == {"_1"}
    assert len(list((masks / "val").rglob("*.png"))) == 5


def test_multi_source_training_has_all_masks(root: Path) -> None:
    masks = root / "Multi-sources/ms3_data/gt_masks/train"
    assert len(list(masks.rglob("*.png"))) == 8 * 5


def test_stored_masks_are_0_and_255_even_as_a_palette_image(root: Path) -> None:
    for path in (root / "Multi-sources/ms3_data/gt_masks/val").rglob("*.png"):
        with Image.open(path) as image:
            values = np.asarray(image.convert("P"))  # as AVSBench's own reader does
        assert set(np.unique(values)) <= {0, 255}


def test_audio_is_16_khz_mono_16_bit(root: Path) -> None:
    for path in root.rglob("*.wav"):
        with wave.open(str(path)) as file:
            assert file.getparams()[:3] == (1, 2, 16000)
            assert file.getnframes() in {5 * 16000, 10 * 16000}


def test_the_metadata_has_avsbenchs_columns(root: Path) -> None:
    assert list(rows(root, "s4")[0])[2:] == ["category", "split"]
    assert list(rows(root, "ms3")[0]) == ["video_name", "split"]
    assert list(rows(root, "avss")[0]) == [
        "vid", "uid", "s_min", "s_sec", "a_obj", "split", "label",
    ]  # fmt: skip


@pytest.mark.parametrize("subset", RECIPES)
def test_the_metadata_has_every_clip_once(subset: Release, root: Path) -> None:
    table = rows(root, subset)
    name = "uid" if subset == "avss" else "video_name"
    assert len({row[name] for row in table}) == len(table)
    counts = {split: sum(row["split"] == split for row in table) for split in SPLITS}
    assert counts == RECIPES[subset].counts()


def test_the_semantic_metadata_has_the_sounding_categories(root: Path) -> None:
    index: dict[str, int] = dict.fromkeys(SPLITS, 0)
    for row in rows(root, "avss"):
        clip = draw_clip(RECIPES["avss"], row["split"], index[row["split"]])
        index[row["split"]] += 1
        names = {s.category if s.object_number else "off-the-screen" for s in clip.sound_events}
        assert set(row["a_obj"].split("_")) == (names or {"background"})


def test_the_semantic_subset_has_all_three_components_in_every_split(root: Path) -> None:
    components = {(row["split"], row["label"]) for row in rows(root, "avss")}
    assert components == {
        (split, component) for split in SPLITS for component in ("v1s", "v1m", "v2")
    }


def test_semantic_classes_are_those_of_the_sounding_objects(root: Path) -> None:
    data = AVSBench(root, "avss", "test")
    assert data.class_names == CLASS_NAMES == ("background", *CATEGORIES)
    for index, item in enumerate(data):
        clip = draw_clip(RECIPES["avss"], "test", index)
        assert item.labels is not None
        for second in range(len(item.labels)):
            _, numbers = clip.frame(second)
            sounding = clip.sounding(second)
            for number, category in sounding.items():
                classes = item.labels[second][numbers == number]
                assert (classes == CLASS_NAMES.index(category)).all()


def test_colours_and_numbers_of_semantic_masks_agree(root: Path) -> None:
    folder = root / "AVSBench_semantic"
    paths = sorted(folder.rglob("labels_semantic/*.png"))
    assert paths
    for path in paths:
        coloured = path.parent.parent / "labels_rgb" / path.name
        with Image.open(path) as numbers, Image.open(coloured) as colours:
            assert numbers.mode == "L"
            assert (class_palette(71)[np.asarray(numbers)] == np.asarray(colours)).all()


def test_semantic_single_source_training_has_the_first_mask_only(root: Path) -> None:
    folder = root / "AVSBench_semantic/v1s"
    for clip in folder.iterdir():
        names = sorted(path.name for path in (clip / "labels_rgb").iterdir())
        assert names == (["0.png"] if "-train-" in clip.name else [f"{i}.png" for i in range(5)])


def test_the_same_options_give_the_same_bytes_in_one_process_or_two(tmp_path: Path) -> None:
    options = SynthavsOptions(subset="avss", clips=2, evaluation_clips=1, side=32, videos=True)
    one = write_synthavs(tmp_path / "one", options, workers=1)
    two = write_synthavs(tmp_path / "two", options, workers=2)
    assert digests(one.folder) == digests(two.folder)
    assert any(name.endswith(".mp4") for name in digests(one.folder))


def test_another_seed_gives_another_data_set(tmp_path: Path) -> None:
    seeds = [
        SynthavsOptions(subset="ms3", clips=1, evaluation_clips=1, side=32, seed=s) for s in (0, 1)
    ]
    one, two = (write_synthavs(tmp_path / str(r.seed), r, workers=1) for r in seeds)
    same = digests(one.folder).items() & digests(two.folder).items()
    assert not [name for name, _ in same if "visual_frames" in name or "audio" in name]


def test_a_data_set_has_no_error(root: Path) -> None:
    report = check_data(root, workers=1)
    assert set(report.clips) == {"s4", "ms3", "avss", "v3"}
    kinds = {kind for kind, _, _ in report.groups()}
    assert kinds <= {"size-unusual", "off-screen", "no-object"}


def test_all_clips_of_a_data_set_differ(root: Path) -> None:
    sounds = [digest for name, digest in digests(root).items() if name.endswith(".wav")]
    assert len(set(sounds)) == len(sounds)


def test_a_data_set_records_its_options(root: Path) -> None:
    made = json.loads((root / "Multi-sources/synthavs.json").read_text())
    assert (made["subset"], made["seed"], made["generator_version"]) == ("ms3", 0, 2)
    assert made["clips"] == RECIPES["ms3"].counts()


def test_an_existing_data_set_is_kept(root: Path) -> None:
    before = digests(root)
    written = write_synthavs(root, RECIPES["s4"], workers=1)
    assert written.existed
    assert written.folder == root / "Single-source"
    assert digests(root) == before


def test_another_data_set_is_not_overwritten(root: Path) -> None:
    other = SynthavsOptions(subset="s4", clips=4, evaluation_clips=1, side=48, seed=5)
    with pytest.raises(OutputError, match=r"Single-source: contains .* seed 0; this one .* seed 5"):
        write_synthavs(root, other, workers=1)


def test_other_files_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "Single-source").mkdir()
    (tmp_path / "Single-source/precious.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"no synthavs.json, .* choose another folder"):
        write_synthavs(tmp_path, RECIPES["s4"], workers=1)
    assert (tmp_path / "Single-source/precious.txt").read_text() == "mine"


def test_options_that_are_no_mapping_are_of_another_origin(tmp_path: Path) -> None:
    (tmp_path / "Single-source").mkdir()
    (tmp_path / "Single-source/synthavs.json").write_text("[1]")
    with pytest.raises(OutputError, match=r"no synthavs.json, .* choose another folder"):
        write_synthavs(tmp_path, RECIPES["s4"], workers=1)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_data_set_leaves_no_files(workers: int, tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_synthavs(tmp_path, RECIPES["s4"], workers=workers, on_clip=interrupt)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writer, "write_wav", fail)
    with pytest.raises(OutputError, match=r"Single-source: cannot be written .*No space left"):
        write_synthavs(tmp_path, RECIPES["s4"], workers=1)
    assert not list(tmp_path.iterdir())


def test_progress_is_reported_after_each_clip(tmp_path: Path) -> None:
    ticks: list[None] = []
    options = SynthavsOptions(subset="s4", clips=2, evaluation_clips=1, side=32)
    write_synthavs(tmp_path, options, workers=1, on_clip=lambda: ticks.append(None))
    assert len(ticks) == sum(options.counts().values()) == 6


def test_less_than_one_worker_raises(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="workers must be at least 1, got 0"):
        write_synthavs(tmp_path, RECIPES["s4"], workers=0)


@pytest.mark.parametrize(
    ("subset", "name"),
    [
        ("s4", "Single-source/s4_data/raw_videos/val/{category}/{clip_id}.mp4"),
        ("ms3", "Multi-sources/ms3_data/raw_videos/{clip_id}.mp4"),
    ],
)
def test_a_video_of_a_clip_reads_as_the_clip(subset: Release, name: str, tmp_path: Path) -> None:
    options = SynthavsOptions(
        subset=subset, clips=1, evaluation_clips=1, side=64, videos=True, seed=2
    )
    write_synthavs(tmp_path, options, workers=1)
    item = AVSBench(tmp_path, subset, "val")[0]
    path = tmp_path / name.format(category=item.category, clip_id=item.clip_id)
    facts, clip = probe(path), read_clip(path)
    assert (facts.average_rate, facts.frame_count) == (25, 125)
    assert (facts.video_codec, facts.audio_codec) == ("h264", "aac")
    assert clip.frames.shape == item.clip.frames.shape
    assert brightness_error(clip.frames, item.clip.frames) < 4
    own, video = item.clip.audio_windows(), clip.audio_windows()
    for a, b in zip(own, video, strict=True):
        assert np.corrcoef(a, b)[0, 1] > 0.95


@pytest.mark.parametrize("subset", ["s4", "ms3"])
def test_a_data_set_of_version_3_is_read_back(subset: Release, tmp_path: Path) -> None:
    options = SynthavsOptions(
        subset=subset, clips=2, evaluation_clips=1, side=48, generator_version=3
    )
    folder = write_synthavs(tmp_path, options, workers=1).folder
    assert json.loads((folder / "synthavs.json").read_text())["generator_version"] == 3
    for split in SPLITS:
        clip = draw_clip(options, split, 0)
        item = AVSBench(tmp_path, subset, split)[0]
        assert np.abs(item.clip.audio - clip.audio).max() < 1e-4
        for second in np.flatnonzero(item.annotated):
            frame, numbers = clip.frame(int(second))
            assert (item.clip.frames[second] == frame).all()
            expected = np.isin(numbers, list(clip.sounding(int(second))))
            assert (item.masks[second] == expected).all()
    assert check_data(tmp_path, workers=1).errors == 0


def test_a_data_set_of_another_version_is_not_overwritten(root: Path) -> None:
    other = SynthavsOptions(subset="s4", clips=4, evaluation_clips=1, side=48, generator_version=3)
    with pytest.raises(OutputError, match=r"generator_version 2; this one .* generator_version 3"):
        write_synthavs(root, other, workers=1)
