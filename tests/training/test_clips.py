"""Clips with features of frozen towers: computed once, read when they are needed."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from avseg.datasets import AVSBench
from avseg.errors import DatasetError
from avseg.synthavs.contents import ClipContents
from avseg.training.clips import EmbeddedClips, SingleFrames, draw_off_screen_frames
from avseg.training.feature_cache import FeatureCache, Features, FrozenTower


class Towers:
    """Two towers that compute brightness and loudness, and count their calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        still = nn.Linear(1, 1).requires_grad_(requires_grad=False)
        nn.init.ones_(still.weight)
        nn.init.zeros_(still.bias)
        self.list = [
            FrozenTower("brightness", "frames", still, {}, self.brightness),
            FrozenTower("loudness", "audio", still, {}, self.loudness),
        ]

    def brightness(self, frames: NDArray[Any]) -> Features:
        """Return the brightness of each frame, and a tensor of another shape."""
        self.calls.append("brightness")
        return torch.from_numpy(frames.mean((1, 2, 3))), torch.zeros(len(frames), 2)

    def loudness(self, windows: NDArray[Any]) -> Features:
        """Return the loudness of each audio window."""
        self.calls.append("loudness")
        return (torch.from_numpy(np.abs(windows).mean(1)),)


def embed(
    folder: Path, cache: Path, split: str = "train", towers: Towers | None = None
) -> EmbeddedClips:
    towers = towers or Towers()
    return EmbeddedClips(
        [AVSBench(folder, "ms3", split)], towers.list, FeatureCache(cache), window_s=1.0
    )


def test_a_clip_has_its_frames_masks_and_features(data: Path, tmp_path: Path) -> None:
    clips = embed(data, tmp_path)
    assert len(clips) == 2
    clip, embedded = AVSBench(data, "ms3", "train")[1], clips[1]
    np.testing.assert_array_equal(embedded.frames, clip.clip.frames)
    np.testing.assert_array_equal(embedded.masks, clip.masks)
    brightness, zeros = embedded.features["brightness"]
    np.testing.assert_allclose(brightness, clip.clip.frames.mean((1, 2, 3)))
    assert zeros.shape == (5, 2)
    (loudness,) = embedded.features["loudness"]
    np.testing.assert_allclose(loudness, np.abs(clip.clip.audio_windows(1.0)).mean(1))


def test_clips_of_several_splits_are_concatenated(data: Path, tmp_path: Path) -> None:
    splits = [AVSBench(data, "ms3", "train"), AVSBench(data, "s4", "val")]
    clips = EmbeddedClips(splits, Towers().list, FeatureCache(tmp_path), window_s=1.0)
    assert len(clips) == 3
    np.testing.assert_array_equal(clips[2].masks, splits[1][0].masks)


def test_frames_without_annotation_are_left_out(data: Path, tmp_path: Path) -> None:
    split = AVSBench(data, "s4", "train")
    clips = EmbeddedClips([split], Towers().list, FeatureCache(tmp_path), window_s=1.0)
    assert len(split[0].clip.frames) == 5
    assert list(clips.seconds(0)) == [0]
    np.testing.assert_array_equal(clips[0].frames, split[0].clip.frames[:1])
    assert len(clips[0].masks) == len(clips[0].features["loudness"][0]) == 1


def test_features_are_computed_once(data: Path, tmp_path: Path) -> None:
    first, second = Towers(), Towers()
    embed(data, tmp_path, towers=first)
    embed(data, tmp_path, towers=second)
    assert sorted(first.calls) == ["brightness", "brightness", "loudness", "loudness"]
    assert second.calls == []


@pytest.fixture
def copy(data: Path, tmp_path: Path) -> Path:
    """A copy of the data set that the test may change."""
    shutil.copytree(data / "Multi-sources", tmp_path / "copy" / "Multi-sources")
    return tmp_path / "copy"


def test_the_same_files_elsewhere_have_the_same_features(
    data: Path, copy: Path, tmp_path: Path
) -> None:
    towers = Towers()
    embed(data, tmp_path / "cache")
    embed(copy, tmp_path / "cache", towers=towers)
    assert towers.calls == []


def _change_a_pixel(split: AVSBench) -> None:
    path = split.frame_path(1, 3)
    with Image.open(path) as image:
        pixels = np.array(image)
    pixels[5, 7, 0] ^= 1
    Image.fromarray(pixels).save(path)


def _change_a_sample(split: AVSBench) -> None:
    path = split.audio_path(1)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("change", "calls"), [(_change_a_pixel, ["brightness"]), (_change_a_sample, ["loudness"])]
)
def test_only_features_of_changed_files_are_computed_again(
    change: Callable[[AVSBench], None], calls: list[str], copy: Path, tmp_path: Path
) -> None:
    embed(copy, tmp_path / "cache")
    change(AVSBench(copy, "ms3", "train"))
    towers = Towers()
    clips = embed(copy, tmp_path / "cache", towers=towers)
    assert towers.calls == calls
    clip = AVSBench(copy, "ms3", "train")[1].clip
    np.testing.assert_allclose(clips[1].features["brightness"][0], clip.frames.mean((1, 2, 3)))


def test_truncated_features_are_computed_again(data: Path, tmp_path: Path) -> None:
    expected = embed(data, tmp_path)[0].features["brightness"][0]
    for path in tmp_path.rglob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-3])
    towers = Towers()
    assert torch.equal(embed(data, tmp_path, towers=towers)[0].features["brightness"][0], expected)
    assert len(towers.calls) == 4


def test_an_error_names_the_missing_file(copy: Path, tmp_path: Path) -> None:
    missing = AVSBench(copy, "ms3", "train").frame_path(1, 2)
    missing.unlink()
    with pytest.raises(DatasetError, match=missing.name):
        embed(copy, tmp_path / "cache")


def test_a_worker_process_can_read_clips(data: Path, tmp_path: Path) -> None:
    clips = embed(data, tmp_path)
    copied = pickle.loads(pickle.dumps(clips))  # noqa: S301 - our own
    assert torch.equal(copied[0].features["loudness"][0], clips[0].features["loudness"][0])


def test_the_generators_of_the_training_are_not_advanced(data: Path, tmp_path: Path) -> None:
    towers = Towers()
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    embed(data, tmp_path, towers=towers)
    assert torch.equal(torch.rand(1), expected)


def test_every_annotated_frame_is_a_clip_of_one_frame(data: Path, tmp_path: Path) -> None:
    clips = embed(data, tmp_path)
    frames = SingleFrames(clips)
    assert len(frames) == 10
    sixth = frames[6]
    np.testing.assert_array_equal(sixth.frames[0], clips[1].frames[1])
    np.testing.assert_array_equal(sixth.masks[0], clips[1].masks[1])
    assert torch.equal(sixth.features["loudness"][0], clips[1].features["loudness"][0][1:2])


def test_the_audio_of_a_pair_has_no_visible_category(data: Path, tmp_path: Path) -> None:
    clips = embed(data, tmp_path)
    contents = [ClipContents(frozenset({"dog"}), frozenset({"dog"})) for _ in range(2)]
    contents[1] = ClipContents(frozenset({"cat"}), frozenset({"cat"}))
    pairs = draw_off_screen_frames(clips, contents, share=0.7)
    assert len(pairs) == 7
    frames = SingleFrames(clips, pairs)
    assert len(frames) == 17
    for pair, item in zip(pairs, (frames[10 + i] for i in range(7)), strict=True):
        assert not contents[pair.visual.clip].visible & contents[pair.audio.clip].audible
        assert clips[pair.audio.clip].masks[pair.audio.frame].any()
        assert not item.masks.any()
        picture = clips[pair.visual.clip].frames[pair.visual.frame]
        np.testing.assert_array_equal(item.frames[0], picture)
        seen = clips[pair.visual.clip].features["brightness"][0]
        assert torch.equal(item.features["brightness"][0][0], seen[pair.visual.frame])
        lent = clips[pair.audio.clip].features["loudness"][0]
        assert torch.equal(item.features["loudness"][0][0], lent[pair.audio.frame])


def test_a_frame_for_which_every_sound_is_visible_is_left_out(data: Path, tmp_path: Path) -> None:
    clips = embed(data, tmp_path)
    same = [ClipContents(frozenset({"dog"}), frozenset({"dog"}))] * 2
    assert draw_off_screen_frames(clips, same, share=1.0) == []


def test_a_negative_share_of_off_screen_pairs_is_an_error(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"off_screen must be at least 0, got -0\.1"):
        draw_off_screen_frames(embed(data, tmp_path), [], share=-0.1)
