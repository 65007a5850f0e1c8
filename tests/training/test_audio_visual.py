"""The bridge's data: what the frozen parts say once is what they would say every time."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from avseg.datasets import AVSBench
from avseg.datasets.contents import Contents, find_generated, read_contents
from avseg.datasets.synthetic.writer import RECIPE_FILE
from avseg.errors import TrainingError
from avseg.models.av2t_sam import Av2tSamConfig, Av2tSamModel, Av2tSamProcessor
from avseg.training.audio_visual import AudioVisual, Frames, collate, draw_dubs, embed_clip
from avseg.training.parts import Part
from avseg.training.task import Materials
from tests.training import tiny


def build(**changes: object) -> tuple[Av2tSamModel, Av2tSamProcessor]:
    torch.manual_seed(0)
    config = Av2tSamConfig.tiny(**tiny.MODEL, **changes)
    return Av2tSamModel(config).train(mode=False), Av2tSamProcessor.from_config(config)


@pytest.mark.parametrize("adapters", [True, False])
@pytest.mark.parametrize("features", ["clip", "clap", "mul"])
@torch.no_grad()
def test_a_batch_of_embedded_clips_gives_the_masks_of_the_clip_itself(
    features: str, adapters: bool, data: Path
) -> None:
    model, processor = build(features=features, adapters=adapters)
    clip = AVSBench(data, "ms3", "val")[0]
    batch = collate([embed_clip(model, processor, clip)], processor, needs_sam=adapters)
    embedded = model(**batch).mask_logits
    direct = model(**processor(clip.clip)).mask_logits
    # The levels of the image features are kept in float16.
    torch.testing.assert_close(embedded, direct, atol=1e-5 if adapters else 2e-2, rtol=0)


def test_frozen_parts_of_a_run_that_is_gone_on_from_speak_for_it(
    runs: Path, data: Path, tmp_path: Path
) -> None:
    torch.manual_seed(5)
    config = Av2tSamConfig.tiny(**tiny.MODEL)
    earlier = Av2tSamModel(config).train(False)
    earlier.save_pretrained(tmp_path)
    parts = {"model": Part(tmp_path / "model.safetensors")}
    options = AudioVisual(train=("ms3/train",), measured=("ms3/val",), off_screen=0.0)
    task = options.build(Materials(config, parts, data, runs / "sounds"))
    clip = AVSBench(data, "ms3", "val")[0]
    expected = embed_clip(earlier, Av2tSamProcessor.from_config(config), clip).embeddings
    found = task.measured["ms3_val"][0].embeddings
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values)


def test_targets_are_the_clips_masks(data: Path) -> None:
    model, processor = build()
    clip = AVSBench(data, "ms3", "val")[0]
    batch = collate([embed_clip(model, processor, clip)], processor, needs_sam=True)
    np.testing.assert_array_equal(batch["targets"][0].numpy(), clip.masks)


def test_frames_without_annotation_take_no_part(data: Path) -> None:
    model, processor = build()
    clip = AVSBench(data, "s4", "train")[0]
    embedded = embed_clip(model, processor, clip)
    assert len(clip.clip.frames) == 5
    assert len(embedded.frames) == len(embedded.masks) == 1
    np.testing.assert_array_equal(embedded.frames[0], clip.clip.frames[0])


def test_every_frame_is_a_clip_of_one(data: Path) -> None:
    model, processor = build(adapters=False)
    clips = [embed_clip(model, processor, clip) for clip in AVSBench(data, "ms3", "train")]
    frames = Frames(clips)
    assert len(frames) == 10
    sixth = frames[6]
    np.testing.assert_array_equal(sixth.frames[0], clips[1].frames[1])
    sound, clip_sound = sixth.embeddings["clap_embeddings"], clips[1].embeddings["clap_embeddings"]
    assert torch.equal(torch.as_tensor(sound)[0], torch.as_tensor(clip_sound)[1])
    batch = collate([frames[0], sixth], processor, needs_sam=False)
    assert batch["targets"].shape == (2, 1, 64, 64)
    assert batch["image_features"][0].shape[:2] == (2, 1)


@pytest.mark.parametrize("name", ["ms3", "ms4/train", "ms3train"])
def test_a_data_set_is_named_by_subset_and_split(name: str, data: Path, tmp_path: Path) -> None:
    materials = Materials(Av2tSamConfig.tiny(**tiny.MODEL), {}, data, tmp_path)
    with pytest.raises(TrainingError, match=f"'{name}' must be SUBSET/SPLIT .* s4, ms3, avss"):
        AudioVisual(train=(name,), measured=("ms3/val",), off_screen=0.0).build(materials)


def test_a_dubbed_frame_has_the_sound_of_something_outside_its_picture(data: Path) -> None:
    model, processor = build()
    split = AVSBench(data, "ms3", "train")
    clips = [embed_clip(model, processor, clip) for clip in split]
    contents = [Contents(frozenset({"dog"}), frozenset({"dog"})) for _ in clips]
    contents[1] = Contents(frozenset({"cat"}), frozenset({"cat"}))
    dubs = draw_dubs(clips, contents, share=0.7)
    assert len(dubs) == 7
    frames = Frames(clips, dubs)
    assert len(frames) == 17
    for dub, item in zip(dubs, (frames[10 + i] for i in range(7)), strict=True):
        assert not contents[dub.picture.clip].visible & contents[dub.sound.clip].heard
        assert clips[dub.sound.clip].masks[dub.sound.frame].any()
        assert not item.masks.any()
        picture = clips[dub.picture.clip].frames[dub.picture.frame]
        np.testing.assert_array_equal(item.frames[0], picture)
        lent = clips[dub.sound.clip].embeddings["clap_embeddings"]
        heard = torch.as_tensor(item.embeddings["clap_embeddings"])
        assert torch.equal(heard[0], torch.as_tensor(lent)[dub.sound.frame])


def test_a_frame_for_which_every_sound_is_in_the_picture_is_not_dubbed(data: Path) -> None:
    model, processor = build()
    clips = [embed_clip(model, processor, clip) for clip in AVSBench(data, "ms3", "train")]
    same = [Contents(frozenset({"dog"}), frozenset({"dog"}))] * len(clips)
    assert draw_dubs(clips, same, share=1.0) == []


def test_a_negative_share_of_off_screen_sounds_is_refused() -> None:
    with pytest.raises(ValueError, match=r"off_screen must be at least 0, got -0\.1"):
        draw_dubs([], [], share=-0.1)


def test_a_recipe_adds_off_screen_sounds_to_a_model_that_hears(runs: Path, data: Path) -> None:
    options = AudioVisual(train=("ms3/train", "s4/train"), measured=("s4/val",), off_screen=1.0)
    sizes = {}
    for features in ("clip", "clap"):
        config = Av2tSamConfig.tiny(**tiny.MODEL, features=features)
        train = options.build(Materials(config, {}, data, runs / "sounds")).train
        assert isinstance(train, Frames)
        sizes[features] = len(train.places), len(train.dubs)
    split = AVSBench(data, "ms3", "train")
    assert read_contents(split, find_generated(split)) is not None
    assert sizes["clip"] == (sizes["clap"][0], 0)
    assert sizes["clap"][1] > 0


def test_off_screen_sounds_are_refused_where_nothing_tells_what_is_in_the_picture(
    runs: Path, data: Path, tmp_path: Path
) -> None:
    shutil.copytree(data / "Multi-sources", tmp_path / "Multi-sources")
    (tmp_path / "Multi-sources" / RECIPE_FILE).unlink()
    options = AudioVisual(train=("ms3/train",), measured=("ms3/val",), off_screen=0.1)
    config = Av2tSamConfig.tiny(**tiny.MODEL)
    with pytest.raises(TrainingError, match=r"data\.off_screen: ms3/train in .* does not tell"):
        options.build(Materials(config, {}, tmp_path, runs / "sounds"))
