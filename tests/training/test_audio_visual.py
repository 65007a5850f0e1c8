"""The bridge's data: what the frozen parts say once is what they would say every time."""

from pathlib import Path

import numpy as np
import pytest
import torch

from avseg.datasets import AVSBench
from avseg.errors import TrainingError
from avseg.models.av2t_sam import Av2tSamConfig, Av2tSamModel, Av2tSamProcessor
from avseg.training.audio_visual import AudioVisual, Frames, collate, embed_clip
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
    parts = {"model": tmp_path / "model.safetensors"}
    options = AudioVisual(train=("ms3/train",), measured=("ms3/val",))
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
        AudioVisual(train=(name,), measured=("ms3/val",)).build(materials)
