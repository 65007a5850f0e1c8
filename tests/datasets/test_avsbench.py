"""The AVSBench reader on small clips written here, with every form of masks and audio."""

import json
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from avseg.datasets import AVSBench
from avseg.datasets.layout import LAYOUTS, ClipEntry, Subset
from avseg.datasets.palette import class_palette
from avseg.errors import DatasetError

HEIGHT, WIDTH = 18, 32
NAMES = ("background", "axe", "woman")

CLIPS: dict[Subset, ClipEntry] = {
    "s4": ClipEntry("a_0_5000", "train", "dog_barking", "v1s"),
    "ms3": ClipEntry("a_0", "test", None, "v1m"),
    "avss": ClipEntry("a_0_10000", "test", "axe_woman", "v2"),
}
TABLES: dict[Subset, str] = {
    "s4": "video_name,start,category,split\na_0_5000,0,dog_barking,train\n",
    "ms3": "video_name,split\na_0,test\n",
    "avss": "vid,uid,s_min,s_sec,a_obj,split,label\na,a_0_10000,0,0,axe_woman,test,v2\n",
}

#: Rows 4 to 9 of columns 20 to 29 sound.
SOUNDING = np.zeros((HEIGHT, WIDTH), bool)
SOUNDING[4:10, 20:30] = True

MaskOf = Callable[[NDArray[np.bool_]], Image.Image]


def grey(mask: NDArray[np.bool_]) -> Image.Image:
    return Image.fromarray(mask.astype(np.uint8) * np.uint8(255))


def faint(mask: NDArray[np.bool_]) -> Image.Image:
    return Image.fromarray(mask.astype(np.uint8))


def one_bit(mask: NDArray[np.bool_]) -> Image.Image:
    return grey(mask).convert("1")


def indexed(mask: NDArray[np.bool_]) -> Image.Image:
    image = faint(mask)
    image.putpalette([0, 0, 0, 128, 0, 0])
    return image


def opaque_colours(mask: NDArray[np.bool_]) -> Image.Image:
    return grey(mask).convert("RGBA")


def opaque_grey(mask: NDArray[np.bool_]) -> Image.Image:
    return grey(mask).convert("LA")


def frame(second: int) -> Image.Image:
    """Return a frame of one grey level, which depends on the second: 10, 20, ..."""
    return Image.new("RGB", (WIDTH, HEIGHT), (10 * second + 10,) * 3)


def save(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def save_tone(path: Path, seconds: float, rate: int = 16000, channels: int = 1) -> None:
    """Write audio with level (i + 1) / 20 in second i; the second channel is silent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * 100 * time) * (np.floor(time) + 1) / 20
    samples = np.zeros((len(time), channels))
    samples[:, 0] = tone
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.round(samples * 32767).astype("<i2").tobytes())


def make(root: Path, subset: Subset, mask_of: MaskOf = grey) -> Path:
    """Write one clip of a subset, with the same mask in every second but the last."""
    layout, clip = LAYOUTS[subset], CLIPS[subset]
    root.mkdir(exist_ok=True)
    (root / layout.metadata).write_text(TABLES[subset])
    for second in range(clip.seconds):
        save(frame(second), layout.path(layout.frame, root, clip, second))
    silent = clip.seconds - 1
    for second in range(clip.annotated_seconds):
        mask = SOUNDING & (second != silent)
        save(mask_of(mask), layout.path(layout.mask, root, clip, second))
    save_tone(layout.path(layout.audio, root, clip), clip.seconds)
    return root


def make_avss(root: Path, classes: NDArray[np.uint8], coloured: bool) -> Path:
    """Write AVSS with one label map for all seconds, as colours or as class numbers."""
    layout, clip = LAYOUTS["avss"], CLIPS["avss"]
    make(root, "avss", mask_of=lambda _: Image.fromarray(classes))
    (root / "label2idx.json").write_text(json.dumps({name: i for i, name in enumerate(NAMES)}))
    if coloured:
        assert layout.coloured_mask is not None
        for second in range(clip.seconds):
            layout.path(layout.mask, root, clip, second).unlink()
            path = layout.path(layout.coloured_mask, root, clip, second)
            save(Image.fromarray(class_palette(71)[classes]), path)
    return root


def test_a_clip_has_five_frames_with_times_and_audio(tmp_path: Path) -> None:
    item = AVSBench(make(tmp_path, "ms3"), "ms3")[0]
    assert item.clip_id == "a_0"
    assert item.clip.frames.shape == (5, HEIGHT, WIDTH, 3)
    assert item.clip.frames[:, 0, 0, 0].tolist() == [10, 20, 30, 40, 50]
    assert item.clip.frame_times.tolist() == [0.9375, 1.9375, 2.9375, 3.9375, 4.9375]
    assert item.clip.audio_times.tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert item.clip.audio.shape == (5 * 16000,)


@pytest.mark.parametrize("rate", [16000, 8000])
def test_left_and_right_are_read_on_request(rate: int, tmp_path: Path) -> None:
    root = make(tmp_path, "ms3")
    # Read directly at 16 kHz, and resampled from 16 kHz at 8 kHz.
    save_tone(LAYOUTS["ms3"].path(LAYOUTS["ms3"].audio, root, CLIPS["ms3"]), 5, channels=2)
    mono = AVSBench(root, "ms3", sample_rate=rate)[0].clip
    stereo = AVSBench(root, "ms3", sample_rate=rate, audio_channels=2)[0].clip
    assert mono.channels is None
    np.testing.assert_array_equal(stereo.audio, mono.audio)
    assert stereo.channels is not None
    np.testing.assert_allclose(stereo.channels[0], 2 * stereo.audio, atol=1e-4)
    assert not stereo.channels[1].any()


def test_each_frame_has_its_own_second_of_audio(tmp_path: Path) -> None:
    windows = AVSBench(make(tmp_path, "ms3"), "ms3")[0].clip.audio_windows(1.0)
    peaks = np.abs(windows).max(axis=1)
    assert peaks == pytest.approx([0.05, 0.1, 0.15, 0.2, 0.25], abs=1e-3)


@pytest.mark.parametrize("mask_of", [grey, faint, one_bit, indexed, opaque_colours, opaque_grey])
def test_a_nonzero_pixel_is_marked_in_any_image_mode(mask_of: MaskOf, tmp_path: Path) -> None:
    item = AVSBench(make(tmp_path, "ms3", mask_of), "ms3")[0]
    assert item.masks.dtype == np.bool_
    assert (item.masks[:4] == SOUNDING).all()


def test_the_mask_of_a_silent_second_is_empty_but_annotated(tmp_path: Path) -> None:
    item = AVSBench(make(tmp_path, "ms3"), "ms3")[0]
    assert not item.masks[4].any()
    assert item.annotated.all()


def test_s4_training_clips_have_one_annotated_frame(tmp_path: Path) -> None:
    item = AVSBench(make(tmp_path, "s4"), "s4", "train")[0]
    assert item.category == "dog_barking"
    assert item.annotated.tolist() == [True, False, False, False, False]
    assert (item.masks[0] == SOUNDING).all()
    assert not item.masks[1:].any()


def test_ms3_has_neither_categories_nor_classes(tmp_path: Path) -> None:
    data = AVSBench(make(tmp_path, "ms3"), "ms3")
    assert data.class_names is None
    assert data[0].category is None
    assert data[0].labels is None


@pytest.mark.parametrize("coloured", [False, True], ids=["labels_semantic", "labels_rgb"])
def test_avss_has_ten_seconds_with_class_numbers(coloured: bool, tmp_path: Path) -> None:
    classes = np.zeros((HEIGHT, WIDTH), np.uint8)
    classes[:3], classes[-3:] = 1, 2
    data = AVSBench(make_avss(tmp_path, classes, coloured), "avss")
    item = data[0]
    assert data.class_names == NAMES
    assert item.labels is not None
    assert (item.labels == classes).all()
    assert (item.masks == (classes != 0)).all()
    assert item.masks.shape == (10, HEIGHT, WIDTH)


def test_a_colour_that_is_no_class_is_background(tmp_path: Path) -> None:
    classes = np.full((HEIGHT, WIDTH), 70, np.uint8)  # its colour is beyond the three classes
    item = AVSBench(make_avss(tmp_path, classes, coloured=True), "avss")[0]
    assert not item.masks.any()


def test_a_class_number_beyond_the_list_raises(tmp_path: Path) -> None:
    classes = np.full((HEIGHT, WIDTH), 3, np.uint8)
    data = AVSBench(make_avss(tmp_path, classes, coloured=False), "avss")
    with pytest.raises(
        DatasetError, match=r"0.png: has class 3, but the last class of label2idx.json is 2"
    ):
        data[0]


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize("stored_rate", [16000, 44100])
def test_audio_is_resampled_to_the_requested_rate(
    stored_rate: int, rate: int, tmp_path: Path
) -> None:
    save_tone(make(tmp_path, "ms3") / "ms3_data/audio_wav/test/a_0.wav", 5, stored_rate)
    clip = AVSBench(tmp_path, "ms3", sample_rate=rate)[0].clip
    time = np.arange(rate) / rate
    expected = np.sin(2 * np.pi * 100 * time) * 0.15
    assert clip.sample_rate == rate
    assert clip.audio.shape == (5 * rate,)
    inside = slice(rate // 10, -rate // 10)  # the level steps at whole seconds
    assert np.abs(clip.audio[2 * rate : 3 * rate] - expected)[inside].max() < 2e-3


@pytest.mark.parametrize("stored_rate", [16000, 32000])
def test_channels_are_averaged(stored_rate: int, tmp_path: Path) -> None:
    save_tone(make(tmp_path, "ms3") / "ms3_data/audio_wav/test/a_0.wav", 5, stored_rate, 2)
    audio = AVSBench(tmp_path, "ms3")[0].clip.audio
    assert np.abs(audio).max() == pytest.approx(0.25 / 2, abs=2e-3)


@pytest.mark.parametrize("stored_rate", [16000, 32000])
def test_short_audio_is_padded_with_silence(stored_rate: int, tmp_path: Path) -> None:
    save_tone(make(tmp_path, "ms3") / "ms3_data/audio_wav/test/a_0.wav", 3.5, stored_rate)
    audio = AVSBench(tmp_path, "ms3")[0].clip.audio
    assert audio.shape == (5 * 16000,)
    assert np.abs(audio[3 * 16000 : 3 * 16000 + 4000]).max() > 0.1
    assert not audio[-16000:].any()


@pytest.mark.parametrize("stored_rate", [16000, 32000])
def test_audio_longer_than_the_clip_is_cut(stored_rate: int, tmp_path: Path) -> None:
    save_tone(make(tmp_path, "ms3") / "ms3_data/audio_wav/test/a_0.wav", 7, stored_rate)
    assert AVSBench(tmp_path, "ms3")[0].clip.audio.shape == (5 * 16000,)


def test_a_truncated_audio_file_raises(tmp_path: Path) -> None:
    path = make(tmp_path, "ms3") / "ms3_data/audio_wav/test/a_0.wav"
    path.write_bytes(path.read_bytes()[:40_000])
    with pytest.raises(DatasetError, match=r"a_0.wav: the audio ends early, at 1.25 s of 5.00 s"):
        AVSBench(tmp_path, "ms3")[0]


def test_a_file_that_is_no_audio_raises(tmp_path: Path) -> None:
    path = make(tmp_path, "ms3") / "ms3_data/audio_wav/test/a_0.wav"
    path.write_bytes(b"\x89nothing of the kind" * 50)
    with pytest.raises(DatasetError, match=r"a_0.wav: the audio cannot be read"):
        AVSBench(tmp_path, "ms3")[0]


@pytest.mark.parametrize(
    "name",
    [
        "ms3_data/visual_frames/a_0/a_0.mp4_5.png",
        "ms3_data/audio_wav/test/a_0.wav",
        "ms3_data/gt_masks/test/a_0/a_0_5.png",
    ],
)
def test_an_incomplete_data_set_raises_when_opened(name: str, tmp_path: Path) -> None:
    (make(tmp_path, "ms3") / name).unlink()
    with pytest.raises(DatasetError, match=rf"{name}: there is no such file .*unpack"):
        AVSBench(tmp_path, "ms3")


def test_a_missing_file_raises_with_its_last_existing_folder(tmp_path: Path) -> None:
    (make(tmp_path, "ms3") / "ms3_data").rename(tmp_path / "renamed")
    with pytest.raises(DatasetError, match=rf"the last existing folder is {tmp_path}\)"):
        AVSBench(tmp_path, "ms3")


@pytest.mark.parametrize("kind", ["visual_frames/a_0/a_0.mp4_2.png", "gt_masks/test/a_0/a_0_2.png"])
def test_files_that_are_lost_or_damaged_later_raise_with_their_path(
    kind: str, tmp_path: Path
) -> None:
    path = make(tmp_path, "ms3") / "ms3_data" / kind
    data = AVSBench(tmp_path, "ms3")
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DatasetError, match=rf"{path.name}: cannot be read as an image"):
        data[0]
    path.unlink()
    with pytest.raises(DatasetError, match=rf"{path.name}: there is no such file"):
        data[0]


@pytest.mark.parametrize("kind", ["visual_frames/a_0/a_0.mp4_2.png", "gt_masks/test/a_0/a_0_2.png"])
def test_frames_and_masks_of_different_sizes_raise(kind: str, tmp_path: Path) -> None:
    path = make(tmp_path, "ms3") / "ms3_data" / kind
    save(Image.new("RGB", (16, 16)), path)
    with pytest.raises(DatasetError, match=r"is 16 x 16 pixels .* first frame 18 x 32"):
        AVSBench(tmp_path, "ms3")[0]


def test_it_is_a_sequence(tmp_path: Path) -> None:
    make(tmp_path, "ms3")
    (tmp_path / "ms3_meta_data.csv").write_text("video_name,split\na_0,test\na_0,test\nb_0,val\n")
    data = AVSBench(tmp_path, "ms3")
    assert len(data) == 2
    assert [item.clip_id for item in data] == ["a_0", "a_0"]
    assert data[-1].clip_id == "a_0"
    with pytest.raises(IndexError):
        data[2]


def test_reading_needs_no_torch() -> None:
    code = "import avseg.datasets, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603


def test_if_both_class_maps_exist_the_colours_are_used(tmp_path: Path) -> None:
    classes = np.full((HEIGHT, WIDTH), 2, np.uint8)
    make_avss(tmp_path, classes, coloured=True)
    for second in range(10):
        path = tmp_path / f"v2/a_0_10000/labels_semantic/{second}.png"
        save(Image.fromarray(np.ones_like(classes)), path)
    labels = AVSBench(tmp_path, "avss")[0].labels
    assert labels is not None
    assert (labels == 2).all()


def test_coloured_classes_may_be_stored_as_a_palette_image(tmp_path: Path) -> None:
    classes = np.full((HEIGHT, WIDTH), 2, np.uint8)
    make_avss(tmp_path, classes, coloured=True)
    for path in tmp_path.rglob("labels_rgb/*.png"):
        with Image.open(path) as image:
            few = image.quantize(2)
        few.save(path)
    labels = AVSBench(tmp_path, "avss")[0].labels
    assert labels is not None
    assert (labels == 2).all()


@pytest.mark.parametrize(
    ("subset", "split", "frames", "known"),
    [("v1s", "train", 5, 1), ("v1s", "val", 5, 5), ("v1m", "train", 5, 5), ("v2", "train", 10, 10)],
)
def test_clips_of_avss_are_not_padded(
    subset: Subset, split: str, frames: int, known: int, tmp_path: Path
) -> None:
    clip = ClipEntry("b_0", split, "axe", subset)
    make_avss(tmp_path, np.ones((HEIGHT, WIDTH), np.uint8), coloured=True)
    (tmp_path / "v2/a_0_10000").rename(tmp_path / "moved")
    (tmp_path / subset).mkdir(exist_ok=True)
    (tmp_path / "moved").rename(tmp_path / subset / clip.name)
    table = f"vid,uid,s_min,s_sec,a_obj,split,label\nb,b_0,0,0,axe,{split},{subset}\n"
    (tmp_path / "metadata.csv").write_text(table)
    item = AVSBench(tmp_path, subset, split)[0]
    assert item.labels is not None
    assert item.clip.frames.shape[0] == len(item.labels) == frames
    assert item.annotated.sum() == known
    assert item.labels.any(axis=(1, 2)).tolist() == item.annotated.tolist()


@pytest.mark.parametrize("sound", ["misaligned", "noise", "silent"])
def test_negative_audio_has_the_frames_and_masks_of_the_original(
    sound: str, tmp_path: Path
) -> None:
    make(tmp_path / "Multi-sources", "ms3")
    negatives = tmp_path / "avsbench_neg_data"
    path = f"Multi-sources/ms3_data/audio_wav_{sound}/test/a_0.wav"
    save_tone(negatives / ("silent.wav" if sound == "silent" else path), 2)
    original = AVSBench(tmp_path, "ms3")[0]
    data = AVSBench(tmp_path, f"ms3_{sound}")  # type: ignore[arg-type]
    item = data[0]
    assert (item.clip.frames == original.clip.frames).all()
    assert (item.masks == original.masks).all()
    assert not item.clip.audio[2 * 16000 :].any()
    assert negatives in data.audio_path(0).parents


def test_missing_negative_audio_raises(tmp_path: Path) -> None:
    make(tmp_path / "Single-source", "s4")
    with pytest.raises(DatasetError, match=r"avsbench_neg_data/Single-source/.*no such file"):
        AVSBench(tmp_path, "s4_noise", "train")


def test_some_frames_can_be_read_without_the_audio(tmp_path: Path) -> None:
    data = AVSBench(make(tmp_path, "ms3"), "ms3")
    data.audio_path(0).unlink()
    data.frame_path(0, 2).unlink()
    frames, masks = data.read_frames(0, [4, 0])
    assert frames[:, 0, 0, 0].tolist() == [50, 10]
    assert [bool(mask.any()) for mask in masks] == [False, True]


def test_a_frame_without_annotation_has_an_empty_mask(tmp_path: Path) -> None:
    data = AVSBench(make(tmp_path, "s4"), "s4", "train")
    _, masks = data.read_frames(0, [0, 1])
    assert [bool(mask.any()) for mask in masks] == [True, False]
