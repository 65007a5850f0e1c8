"""An intact data set in every layout, and copies of it that tests may damage."""

import json
import shutil
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avseg.datasets.checking import CheckReport, check_data
from avseg.datasets.layout import LAYOUTS, ClipEntry, Release, Subset
from avseg.datasets.palette import class_palette

COLUMNS = "vid,uid,s_min,s_sec,a_obj,split,label\n"
CLASSES = ("background", "axe", "horse", "woman")
CLIPS: dict[Release, list[ClipEntry]] = {
    "s4": [
        ClipEntry("s_0_5000", "train", "dog_barking", "v1s"),
        ClipEntry("t_0_5000", "test", "race_car", "v1s"),
    ],
    "ms3": [
        ClipEntry("m_0", "train", None, "v1m"),
        ClipEntry("n_0", "test", None, "v1m"),
    ],
    "avss": [
        ClipEntry("a_0_5000", "train", "axe", "v1s"),
        ClipEntry("b_0", "val", "axe_horse", "v1m"),
        ClipEntry("c_0_10000", "test", "woman", "v2"),
    ],
}
TABLES: dict[Release, str] = {
    "s4": "video_name,start,category,split\n"
    "s_0_5000,0,dog_barking,train\nt_0_5000,0,race_car,test\n",
    "ms3": "video_name,split\nm_0,train\nn_0,test\n",
    "avss": f"{COLUMNS}a,a_0_5000,0,0,axe,train,v1s\nb,b_0,0,0,axe_horse,val,v1m\n"
    "c,c_0_10000,0,0,woman,test,v2\n",
}


def save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def save_sound(path: Path, seconds: float, level: int) -> None:
    """Write audio of a constant level."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(np.full(round(seconds * 16000), level, "<i2").tobytes())


def lay_out(root: Path, release: Release) -> None:
    """Write all files of a release, with different clips."""
    layout = LAYOUTS[release]
    folder = root / layout.folders[0]
    size = (32, 18) if release == "avss" else (224, 224)
    for number, clip in enumerate(CLIPS[release], start=1):
        for second in range(clip.seconds):
            save(
                Image.new("RGB", size, (number, second, 0)),
                layout.path(layout.frame, folder, clip, second),
            )
        for second in range(clip.annotated_seconds):
            mask = np.zeros(size[::-1], np.uint8)
            mask[2:9, 4:20] = 1
            path = layout.path(layout.mask, folder, clip, second)
            if layout.coloured_mask is None:
                save(Image.fromarray(mask * np.uint8(255)), path)
                continue
            save(Image.fromarray(mask * np.uint8(number)), path)
            colours = Image.fromarray(class_palette(4)[mask * number])
            save(colours, layout.path(layout.coloured_mask, folder, clip, second))
        save_sound(layout.path(layout.audio, folder, clip), clip.seconds, number)
    (folder / layout.metadata).write_text(TABLES[release])


def lay_out_v3(folder: Path) -> None:
    """Write metadata of AVS-V3 beside that of AVSS."""
    (folder / "v3_1_shot").mkdir()
    (folder / "meta_v3_seen_train.csv").write_text(f"{COLUMNS}a,b_0,0,0,axe_horse,seen_train,v1m\n")
    (folder / "meta_v3_unseen.csv").write_text(f"{COLUMNS}c,c_0_10000,0,0,woman,unseen,v2\n")
    (folder / "v3_1_shot/train.csv").write_text(f"{COLUMNS}c,c_0_10000,,,,v3_1_shot_train,v2\n")


def lay_out_negatives(root: Path) -> None:
    """Write the negative audio of the test splits of S4 and MS3."""
    subsets: tuple[Subset, ...] = ("s4_noise", "s4_misaligned", "ms3_noise", "ms3_misaligned")
    for subset in subsets:
        layout = LAYOUTS[subset]
        clip = CLIPS[layout.release][1]
        negatives = root / "avsbench_neg_data" / layout.folders[0]
        save_sound(layout.path(layout.audio, negatives, clip), 5, 99)
    save_sound(root / "avsbench_neg_data/silent.wav", 5, 0)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an intact data set."""
    root = tmp_path_factory.mktemp("whole")
    for release in TABLES:
        lay_out(root, release)
    semantic = root / "AVSBench_semantic"
    numbers = {name: number for number, name in enumerate(CLASSES)}
    (semantic / "label2idx.json").write_text(json.dumps(numbers))
    lay_out_v3(semantic)
    lay_out_negatives(root)
    return root


@pytest.fixture
def data(whole: Path, tmp_path: Path) -> Path:
    """Return a copy of the intact data set that a test may damage."""
    return Path(shutil.copytree(whole, tmp_path / "data"))


@pytest.fixture
def check(data: Path) -> Callable[[], CheckReport]:
    """Return a function that checks the copy."""
    return lambda: check_data(data, workers=1)
