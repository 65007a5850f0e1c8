"""Each kind of damage to a data set is found, and causes no other finding."""

import json
import os
import shutil
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avseg.datasets.checking import CheckReport, check_data
from avseg.datasets.palette import class_palette
from avseg.errors import DatasetError

S4 = "Single-source/s4_data"
MS3 = "Multi-sources/ms3_data"
AVSS = "AVSBench_semantic"
S4_SOUND = f"{S4}/audio_wav/test/race_car/t_0_5000.wav"
MS3_MASK = f"{MS3}/gt_masks/test/n_0/n_0_2.png"
NEGATIVES = "avsbench_neg_data"

#: kind, subset, count
Found = set[tuple[str, str, int]]
Break = Callable[[Path], object]


def found(report: CheckReport) -> Found:
    return {
        (kind, subset, sum(finding.count for finding in findings))
        for kind, subset, findings in report.groups()
    }


def cut(name: str, size: int) -> Break:
    def change(root: Path) -> None:
        (root / name).write_bytes((root / name).read_bytes()[:size])

    return change


def overwrite(name: str, place: int, values: bytes) -> Break:
    def change(root: Path) -> None:
        content = bytearray((root / name).read_bytes())
        content[place : place + len(values)] = values
        (root / name).write_bytes(content)

    return change


def pipe(name: str) -> Break:
    def change(root: Path) -> None:
        (root / name).unlink()
        os.mkfifo(root / name)

    return change


def remove(name: str) -> Break:
    return lambda root: (root / name).unlink()


def write(name: str, text: str) -> Break:
    def change(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)

    return change


def replace(name: str, old: str, new: str) -> Break:
    def change(root: Path) -> None:
        text = (root / name).read_text()
        assert old in text
        (root / name).write_text(text.replace(old, new))

    return change


def add(name: str, line: str) -> Break:
    return lambda root: (root / name).write_text((root / name).read_text() + line + "\n")


def copy(source: str, target: str) -> Break:
    def change(root: Path) -> None:
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        (root / target).write_bytes((root / source).read_bytes())

    return change


def draw(name: str, change_image: Callable[[Image.Image], Image.Image]) -> Break:
    def change(root: Path) -> None:
        with Image.open(root / name) as image:
            changed = change_image(image.copy())
        changed.save(root / name)

    return change


def sound(name: str, seconds: float, level: int = 7) -> Break:
    def change(root: Path) -> None:
        with wave.open(str(root / name), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16000)
            file.writeframes(np.full(round(seconds * 16000), level, "<i2").tobytes())

    return change


def one_bit_of_grey(image: Image.Image) -> Image.Image:
    """Convert a mask of 0 and 128 to one bit with Pillow, which dithers it."""
    return image.point(lambda value: value // 2).convert("1")


def indexed(image: Image.Image) -> Image.Image:
    """Return a palette image with the indices 0 and 1."""
    image = image.point(lambda value: value // 255)
    image.putpalette([0, 0, 0, 255, 255, 255])
    return image


def one_more_red(image: Image.Image) -> Image.Image:
    colours = np.array(image)
    colours[3, 5, 0] += 1
    return Image.fromarray(colours)


def stray_class(root: Path) -> None:
    """Give eight pixels of both maps of a frame the class "axe"."""
    for name, value in (("labels_rgb", class_palette(4)[1]), ("labels_semantic", 1)):
        path = root / AVSS / "v2/c_0_10000" / name / "4.png"
        values = np.array(Image.open(path))
        values[12, 4:12] = value
        Image.fromarray(values).save(path)


def speck(row: int, column: int) -> Callable[[Image.Image], Image.Image]:
    """Return a change that marks eight pixels, two rows of four."""

    def change(image: Image.Image) -> Image.Image:
        mask = np.array(image)
        mask[row : row + 2, column : column + 4] = 255
        return Image.fromarray(mask)

    return change


def nothing_sounds(root: Path) -> None:
    """Remove the objects of one clip from its maps and from the table."""
    for path in (root / AVSS / "v1m/b_0").glob("labels_*/*.png"):
        with Image.open(path) as image:
            Image.new(image.mode, image.size).save(path)
    replace(AVSS_TABLE, "axe_horse", "background")(root)


S4_TABLE, MS3_TABLE = "Single-source/s4_meta_data.csv", "Multi-sources/ms3_meta_data.csv"
AVSS_TABLE = f"{AVSS}/metadata.csv"
V2 = f"{AVSS}/v2/c_0_10000"
NUMBERS = ("background", "axe", "horse", "woman")

ERRORS: dict[str, tuple[Break, str, str, int]] = {
    "a frame is a pipe": (
        pipe(f"{MS3}/visual_frames/n_0/n_0.mp4_3.png"), "frame-missing", "ms3", 1,
    ),
    "a frame announces 20,000 x 20,000 pixels": (
        overwrite(f"{MS3}/visual_frames/n_0/n_0.mp4_3.png", 16, b"\x00\x00\x4e\x20" * 2),
        "frame-broken", "ms3", 1,
    ),
    "a WAV ends within a sample": (cut(S4_SOUND, 40_001), "sound-broken", "s4", 1),
    "a WAV has a rate of 0 Hz": (overwrite(S4_SOUND, 24, bytes(4)), "sound-broken", "s4", 1),
    "a WAV has no chunk of its format": (
        overwrite(S4_SOUND, 12, b"fm\x7f "), "sound-broken", "s4", 1,
    ),
    "a frame is missing": (
        remove(f"{MS3}/visual_frames/n_0/n_0.mp4_3.png"), "frame-missing", "ms3", 1,
    ),
    "a PNG frame ends early": (
        cut(f"{MS3}/visual_frames/n_0/n_0.mp4_3.png", 200), "frame-broken", "ms3", 1,
    ),
    "a JPG frame ends early": (cut(f"{V2}/frames/9.jpg", 400), "frame-broken", "avss", 1),
    "a mask is missing": (remove(MS3_MASK), "mask-missing", "ms3", 1),
    "a mask ends early": (cut(MS3_MASK, 120), "mask-broken", "ms3", 1),
    "a sound is missing": (
        remove(f"{MS3}/audio_wav/train/m_0.wav"), "sound-missing", "ms3", 1,
    ),
    "a WAV ends before its header announces": (cut(S4_SOUND, 40_000), "sound-broken", "s4", 1),
    "a sound lacks whole seconds": (sound(S4_SOUND, 3.5), "sound-ends-early", "s4", 1),
    "a mask has the size of another": (
        draw(MS3_MASK, lambda image: image.resize((112, 112), Image.Resampling.NEAREST)),
        "size-differs", "ms3", 1,
    ),
    "a mask was resized with smoothing": (
        draw(MS3_MASK, lambda image: image.resize((90, 90)).resize((224, 224))),
        "mask-grey", "ms3", 1,
    ),
    "a grey mask was dithered": (draw(MS3_MASK, one_bit_of_grey), "mask-dithered", "ms3", 1),
    "a colour is no class": (
        draw(f"{V2}/labels_rgb/4.png", one_more_red), "label-colour", "avss", 1,
    ),
    "colours and numbers disagree": (
        draw(f"{V2}/labels_semantic/4.png", lambda image: image.point(lambda _: 1)),
        "labels-differ", "avss", 1,
    ),
    "eight pixels are of a class that the table does not name": (
        stray_class, "class-unnamed", "avss", 1,
    ),
    "the table names another class": (
        replace(AVSS_TABLE, "0,0,woman", "0,0,axe"), "class-unnamed", "avss", 10,
    ),
    "the list of classes is missing": (
        remove(f"{AVSS}/label2idx.json"), "classes-missing", "avss", 1,
    ),
    "classes count from 1": (
        write(f"{AVSS}/label2idx.json", json.dumps({n: i for i, n in enumerate(NUMBERS, 1)})),
        "classes-numbers", "avss", 1,
    ),
    "too few classes: in the table, in ten maps of numbers and ten of colours": (
        write(f"{AVSS}/label2idx.json", json.dumps({n: i for i, n in enumerate(NUMBERS[:3])})),
        "class-unlisted", "avss", 1 + 10 + 10,
    ),
    "a split is TODO": (add(MS3_TABLE, "m_0,TODO"), "split-unknown", "ms3", 1),
    "a clip is named twice": (add(S4_TABLE, "t_0_5000,0,race_car,test"), "row-duplicate", "s4", 1),
    "a line ends early": (add(S4_TABLE, "u_0_5000,0"), "row-incomplete", "s4", 1),
    "a label is a class": (add(AVSS_TABLE, "d,d_0,0,0,axe,test,axe"), "row-incomplete", "avss", 1),
    "a column is missing": (
        replace(MS3_TABLE, "video_name,split", "video_name,part"), "table-unreadable", "ms3", 1,
    ),
    "a table names no clips": (
        write(MS3_TABLE, "video_name,split\n"), "table-unreadable", "ms3", 1,
    ),
    "a table is missing": (remove(S4_TABLE), "table-missing", "s4", 1),
    "a clip is seen and unseen": (
        add(f"{AVSS}/meta_v3_seen_train.csv", "c,c_0_10000,0,0,woman,seen_train,v2"),
        "clip-in-two-splits", "v3", 1,
    ),
    "AVS-V3 names a clip that AVSS lacks": (
        add(f"{AVSS}/meta_v3_unseen.csv", "x,x_0_10000,0,0,woman,unseen,v2"),
        "clip-unlisted", "v3", 1,
    ),
    "a negative sound is missing": (
        remove(f"{NEGATIVES}/{MS3}/audio_wav_noise/test/n_0.wav"), "sound-missing", "ms3_noise", 1,
    ),
    "a negative sound is the true one": (
        copy(S4_SOUND, f"{NEGATIVES}/{S4_SOUND.replace('audio_wav', 'audio_wav_misaligned')}"),
        "negative-is-true", "s4_misaligned", 1,
    ),
}  # fmt: skip

WARNINGS: dict[str, tuple[Break, str, str, int]] = {
    "a palette mask has indices 0 and 1": (draw(MS3_MASK, indexed), "mask-not-255", "ms3", 1),
    "a grey mask has values 0 and 1": (
        draw(MS3_MASK, lambda image: image.point(lambda value: value // 255)),
        "mask-not-255", "ms3", 1,
    ),
    "horse is misspelt": (
        replace(AVSS_TABLE, "axe_horse", "axe_h orse"), "name-misspelt", "avss", 1,
    ),
    "a sound comes from off the screen": (
        replace(AVSS_TABLE, "axe_horse", "horse_off-the-screen"), "off-screen", "avss", 1,
    ),
    "nothing sounds": (nothing_sounds, "no-object", "avss", 1),
    "a mask has a speck": (draw(MS3_MASK, speck(120, 200)), "mask-speck", "ms3", 1),
    "a mask has a speck at its corner": (draw(MS3_MASK, speck(222, 220)), "mask-speck", "ms3", 1),
    "a folder of Ref-AVS is beside the others": (
        write("REFAVS/metadata.csv", "vid,uid,split,fid,exp\n"), "other-data-set", "avss", 1,
    ),
    "a few-shot file has another split": (
        replace(f"{AVSS}/v3_1_shot/train.csv", "v3_1_shot_train", "v3_5_shot_train"),
        "split-column", "v3", 1,
    ),
    "one video is in two splits": (
        replace(AVSS_TABLE, "c,c_0_10000", "a,c_0_10000"), "video-in-two-splits", "avss", 1,
    ),
    "the end of a sound is missing": (sound(S4_SOUND, 4.5), "sound-short", "s4", 1),
    "a sound is four times as long": (
        sound(f"{NEGATIVES}/{MS3}/audio_wav_noise/test/n_0.wav", 20), "sound-long", "ms3_noise", 1,
    ),
    "a frame belongs to no clip": (
        copy(MS3_MASK, f"{MS3}/visual_frames/other/other.mp4_1.png"), "file-stray", "ms3", 1,
    ),
    "a training clip of S4 has a mask too many": (
        copy(MS3_MASK, f"{S4}/gt_masks/train/dog_barking/s_0_5000/s_0_5000_2.png"),
        "file-stray", "s4", 1,
    ),
}  # fmt: skip


def test_an_intact_data_set_has_no_findings_in_any_layout(whole: Path) -> None:
    report = check_data(whole, workers=1)
    assert found(report) == set()
    assert report.clips == {
        "avss": {"train": 1, "val": 1, "test": 1},
        "v3": {"seen_train": 1, "unseen": 1, "1_shot_train": 1},
        "ms3": {"train": 1, "test": 1},
        "ms3_misaligned": {"test": 1},
        "ms3_noise": {"test": 1},
        "ms3_silent": {"train": 1},
        "s4": {"train": 1, "test": 1},
        "s4_misaligned": {"test": 1},
        "s4_noise": {"test": 1},
        "s4_silent": {"train": 1},
    }


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_found_and_nothing_else(
    name: str, data: Path, check: Callable[[], CheckReport]
) -> None:
    change, kind, subset, count = ERRORS[name]
    change(data)
    report = check()
    assert found(report) == {(kind, subset, count)}
    assert (report.errors, report.warnings) == (count, 0)


@pytest.mark.parametrize("name", WARNINGS)
def test_a_warning_is_found_and_nothing_else(
    name: str, data: Path, check: Callable[[], CheckReport]
) -> None:
    change, kind, subset, count = WARNINGS[name]
    change(data)
    report = check()
    assert found(report) == {(kind, subset, count)}
    assert (report.errors, report.warnings) == (0, count)


def test_a_colour_close_to_that_of_a_class_gets_a_hint(
    data: Path, check: Callable[[], CheckReport]
) -> None:
    draw(f"{V2}/labels_rgb/4.png", one_more_red)(data)
    (finding,) = check().findings["avss"]
    assert finding.detail == (
        "1 pixels, such as (129, 128, 0), close to a class's: saved as JPEG or resized?"
    )


def test_silent_audio_that_is_not_silent_is_an_error_in_both_sets(
    data: Path, check: Callable[[], CheckReport]
) -> None:
    sound(f"{NEGATIVES}/silent.wav", 5)(data)
    assert found(check()) == {("silence-sounds", f"{subset}_silent", 1) for subset in ("s4", "ms3")}


def test_a_clip_in_two_splits_is_an_error_in_each_layout(
    data: Path, check: Callable[[], CheckReport]
) -> None:
    add(AVSS_TABLE, "c,c_0_10000,0,0,woman,train,v2")(data)
    add(S4_TABLE, "t_0_5000,0,race_car,train")(data)
    kinds = {(kind, subset) for kind, subset, _ in found(check())}
    assert {("clip-in-two-splits", "avss"), ("clip-in-two-splits", "s4")} <= kinds


@pytest.mark.parametrize(
    ("split", "kind"), [("test", "same-content"), ("train", "same-content-in-two-splits")]
)
def test_duplicate_clips_are_an_error_only_in_two_splits(
    split: str, kind: str, data: Path, check: Callable[[], CheckReport]
) -> None:
    add(MS3_TABLE, f"o_0,{split}")(data)
    for second in range(1, 6):
        copy(
            f"{MS3}/visual_frames/n_0/n_0.mp4_{second}.png",
            f"{MS3}/visual_frames/o_0/o_0.mp4_{second}.png",
        )(data)
        copy(
            f"{MS3}/gt_masks/test/n_0/n_0_{second}.png",
            f"{MS3}/gt_masks/{split}/o_0/o_0_{second}.png",
        )(data)
    copy(f"{MS3}/audio_wav/test/n_0.wav", f"{MS3}/audio_wav/{split}/o_0.wav")(data)
    shutil.rmtree(data / NEGATIVES)
    report = check()
    assert found(report) == {(kind, "ms3", 1)}
    assert "n_0 and o_0" in report.findings["ms3"][0].detail


def test_frames_of_another_size_than_avsbenchs_are_reported(
    data: Path, check: Callable[[], CheckReport]
) -> None:
    for kind in ("visual_frames", "gt_masks"):
        for path in (data / S4 / kind / "test").rglob("*.png"):
            draw(str(path), lambda image: image.resize((128, 128), Image.Resampling.NEAREST))(data)
    assert found(check()) == {("size-unusual", "s4", 5)}


@pytest.mark.parametrize("kept", ["labels_rgb", "labels_semantic"])
def test_either_kind_of_class_map_is_enough(
    kept: str, data: Path, check: Callable[[], CheckReport]
) -> None:
    for kind in {"labels_rgb", "labels_semantic"} - {kept}:
        for folder in list((data / AVSS).glob(f"*/*/{kind}")):
            shutil.rmtree(folder)
    assert found(check()) == set()


def test_a_clip_without_any_frame_is_one_finding_with_its_folder(
    data: Path, check: Callable[[], CheckReport]
) -> None:
    shutil.rmtree(data / V2 / "frames")
    (finding,) = check().findings["avss"]
    assert (finding.kind, finding.path, finding.count) == (
        "frame-missing",
        data / V2 / "frames",
        10,
    )


def test_a_folder_of_files_in_no_row_is_one_finding(
    data: Path, check: Callable[[], CheckReport]
) -> None:
    shutil.copytree(data / V2, data / AVSS / "v2/x_0_10000")
    findings = check().findings["avss"]
    folder = data / AVSS / "v2/x_0_10000"
    assert {finding.path for finding in findings} == {
        folder, folder / "frames", folder / "labels_rgb", folder / "labels_semantic",
    }  # fmt: skip
    assert sum(finding.count for finding in findings) == 31


def test_files_that_other_projects_add_are_ignored(
    data: Path, check: Callable[[], CheckReport]
) -> None:
    for name in (
        f"{S4}/audio_log_mel/train/x.pkl",
        f"{V2}/processed_frames/0.jpg",
        f"{V2}/.DS_Store",
    ):
        write(name, "")(data)
    assert found(check()) == set()


@pytest.mark.parametrize("inner", ["", "one", "one/two"])
def test_data_sets_are_found_two_folders_deep(inner: str, whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole / "Multi-sources", tmp_path / inner / "Multi-sources", dirs_exist_ok=True)
    if inner == "one/two":
        with pytest.raises(
            DatasetError, match="contains no data set, and neither do its folders, 2 levels deep"
        ):
            check_data(tmp_path, workers=1)
        return
    assert check_data(tmp_path, workers=1).clips == {"ms3": {"train": 1, "test": 1}}


def test_two_processes_find_what_one_does(data: Path) -> None:
    cut(MS3_MASK, 120)(data)
    assert check_data(data, workers=2) == check_data(data, workers=1)


def test_progress_is_reported_after_each_clip(whole: Path) -> None:
    told: list[tuple[int, int]] = []
    check_data(whole / "Multi-sources", workers=1, on_clip=lambda *count: told.append(count))
    assert told[-1] == (len(told), len(told))
    assert len(told) == 2 + 3  # clips, and the negative audio of one


def test_all_findings_are_written_as_json(
    data: Path, check: Callable[[], CheckReport], tmp_path: Path
) -> None:
    for name in ("n_0/n_0_1.png", "n_0/n_0_2.png"):
        remove(f"{MS3}/gt_masks/test/{name}")(data)
    add(MS3_TABLE, "x,TODO")(data)
    check().save(tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["errors"], report["warnings"]) == (3, 0)
    assert report["clips"]["s4"] == {"train": 1, "test": 1}
    split, mask = report["findings"]
    assert mask == {
        "kind": "mask-missing",
        "severity": "error",
        "meaning": "unpack or copy the data set again",
        "subset": "ms3",
        "count": 2,
        "places": [
            {"path": f"{MS3}/gt_masks/test/n_0/n_0_1.png", "detail": "2 of 5", "count": 2},
        ],
    }
    assert split["places"] == [{"path": MS3_TABLE, "detail": "'TODO', first in line 4", "count": 1}]


def test_the_table_has_a_row_for_each_kind_errors_first(
    data: Path, check: Callable[[], CheckReport]
) -> None:
    replace(AVSS_TABLE, "axe_horse", "axe_h orse")(data)
    remove(MS3_MASK)(data)
    _, rows = check().table()
    assert rows == [
        ["error", "mask-missing", "ms3", "1", f"{MS3_MASK}: 1 of 5"],
        ["warning", "name-misspelt", "avss", "1", f"{AVSS_TABLE}: 'h orse' of b_0"],
    ]


def test_a_clip_of_an_impossible_name_is_reported(
    data: Path, check: Callable[[], CheckReport]
) -> None:
    add(MS3_TABLE, f"{'x' * 300},test")(data)
    kinds = {kind for kind, _, _ in found(check())}
    assert kinds == {"frame-missing", "mask-missing", "sound-missing"}
