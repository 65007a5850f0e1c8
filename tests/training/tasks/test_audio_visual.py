"""The data of AV2T-SAM: cached features equal those computed in every step."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from avseg.datasets import AVSBench
from avseg.errors import TrainingError
from avseg.models.av2t_sam import (
    Av2tSam3Config,
    Av2tSam3Model,
    Av2tSam3Processor,
    Av2tSamConfig,
    Av2tSamModel,
    Av2tSamProcessor,
)
from avseg.models.av2t_sam.bridge import BridgeModel
from avseg.models.av2t_sam.modeling import TRAINABLE_SAM3
from avseg.segmenter import load_segmenter
from avseg.synthavs.contents import find_synthavs_split, read_contents
from avseg.synthavs.writer import OPTIONS_FILE
from avseg.training.clips import EmbeddedClips, SingleFrames
from avseg.training.feature_cache import FeatureCache, FeaturesInMemory
from avseg.training.parts import Part
from avseg.training.run import run_recipe
from avseg.training.tasks.audio_visual import collate, frozen_towers, step_backbones
from avseg.training.tasks.building import build_task
from avseg.training.tasks.options import AudioVisual
from avseg.training.tasks.task import TaskInputs
from tests.training import tiny


def build(**changes: object) -> tuple[Av2tSamModel, Av2tSamProcessor]:
    torch.manual_seed(0)
    config = Av2tSamConfig.tiny(**tiny.MODEL, **changes)
    return Av2tSamModel(config).train(mode=False), Av2tSamProcessor.from_config(config)


def build_sam3(**changes: object) -> tuple[Av2tSam3Model, Av2tSam3Processor]:
    torch.manual_seed(0)
    config = Av2tSam3Config.tiny(**tiny.MODEL_SAM3, **changes)
    return Av2tSam3Model(config).train(mode=False), Av2tSam3Processor.from_config(config)


def embed(
    model: BridgeModel, processor: Av2tSamProcessor | Av2tSam3Processor, split: AVSBench
) -> EmbeddedClips:
    towers = frozen_towers(model, processor)
    return EmbeddedClips([split], towers, FeaturesInMemory(), processor.window_s)


@pytest.mark.parametrize("adapters", [True, False])
@pytest.mark.parametrize("features", ["clip", "clap", "mul"])
@torch.no_grad()
def test_cached_features_give_the_same_masks_as_the_clip_itself(
    features: str, adapters: bool, data: Path
) -> None:
    model, processor = build(features=features, adapters=adapters)
    split = AVSBench(data, "ms3", "val")
    batch = collate([embed(model, processor, split)[0]], processor, backbones=step_backbones(model))
    embedded = model(**batch).mask_logits
    direct = model(**processor(split[0].clip)).mask_logits
    # The levels of the image features are kept in float16.
    torch.testing.assert_close(embedded, direct, atol=1e-5 if adapters else 2e-2, rtol=0)


@pytest.mark.parametrize("adapters", [True, False])
@torch.no_grad()
def test_cached_features_give_sam3_the_same_masks_as_the_clip_itself(
    adapters: bool, data: Path
) -> None:
    model, processor = build_sam3(adapters=adapters)
    split = AVSBench(data, "ms3", "val")
    batch = collate([embed(model, processor, split)[0]], processor, step_backbones(model))
    assert ("pixel_values_sam3" in batch) == adapters
    assert ("image_features" in batch) != adapters
    embedded = model(**batch).mask_logits
    direct = model(**processor(split[0].clip)).mask_logits
    # The output of the image encoder is kept in float16.
    torch.testing.assert_close(embedded, direct, atol=1e-5 if adapters else 2e-2, rtol=0)


def test_a_run_on_sam3_trains_its_parts_and_can_be_evaluated(runs: Path, data: Path) -> None:
    run_recipe(tiny.SAM3, runs / "sam3")
    metrics = run_recipe(tiny.BRIDGE_SAM3, runs / "bridge_sam3", data)
    assert 0 <= metrics["eval_ms3_val_j"] <= 1
    trained = load_file(runs / "bridge_sam3" / "model.safetensors")
    sources = {
        "segmenter.": ("sam3", "segmenter."),
        "clip.": ("clip", "tower."),
        "clap.": ("clap", "tower."),
    }
    for prefix, (run, own) in sources.items():
        start = load_file(runs / run / "model.safetensors")
        names = [name for name in trained if name.startswith(prefix)]
        assert names
        for name in names:
            before = start[name.replace(prefix, own, 1)]
            # In two steps each trainable weight moves, and no frozen one.
            if not name.startswith(TRAINABLE_SAM3):
                assert torch.equal(trained[name], before), name
    segmenter = load_segmenter(runs / "bridge_sam3", "cpu")
    rate = segmenter.processor.sample_rate
    segmented = segmenter.segment_clip(AVSBench(data, "ms3", "val", rate)[0].clip)
    assert segmented.masks.shape[1:] == (64, 64)
    assert ((segmented.scores >= 0) & (segmented.scores <= 1)).all()


def test_features_come_from_the_frozen_parts_of_the_model_that_a_run_starts_from(
    runs: Path, data: Path, tmp_path: Path
) -> None:
    torch.manual_seed(5)
    config = Av2tSamConfig.tiny(**tiny.MODEL)
    earlier = Av2tSamModel(config).train(False)
    earlier.save_pretrained(tmp_path)
    parts = {"model": Part(tmp_path / "model.safetensors")}
    options = AudioVisual(train=("ms3/train",), measured=("ms3/val",), off_screen=0.0)
    task = build_task(options, TaskInputs(config, parts, data, runs / "sounds"))
    split = AVSBench(data, "ms3", "val")
    expected = embed(earlier, Av2tSamProcessor.from_config(config), split)[0].features
    found = task.measured["ms3_val"][0].features
    assert found.keys() == expected.keys() == {"clip_embeddings", "clap_embeddings"}
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values)


def test_targets_are_the_ground_truth_masks_of_the_clip(data: Path) -> None:
    model, processor = build()
    split = AVSBench(data, "ms3", "val")
    batch = collate([embed(model, processor, split)[0]], processor, backbones=step_backbones(model))
    np.testing.assert_array_equal(batch["targets"][0].numpy(), split[0].masks)


def test_frames_of_several_clips_are_collated(data: Path) -> None:
    model, processor = build(adapters=False)
    frames = SingleFrames(embed(model, processor, AVSBench(data, "ms3", "train")))
    batch = collate([frames[0], frames[6]], processor, backbones=step_backbones(model))
    assert batch["targets"].shape == (2, 1, 64, 64)
    assert batch["image_features"][0].shape[:2] == (2, 1)
    assert batch["clap_embeddings"].shape[:2] == (2, 1)


def test_a_second_run_computes_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Av2tSamConfig.tiny(**tiny.MODEL, adapters=False)
    options = AudioVisual(train=("ms3/train",), measured=("s4/val",), off_screen=0.0)
    cache = FeatureCache(tmp_path)
    builds = []
    for _ in range(2):
        torch.manual_seed(0)
        builds.append(build_task(options, TaskInputs(config, {}, data, tmp_path, cache)))
        monkeypatch.setattr(FeatureCache, "write", None)
    first, second = (build.train[3].features for build in builds)
    assert first.keys() == {"clip_embeddings", "clap_embeddings", "image_features"}
    for name, values in first.items():
        for one, other in zip(values, second[name], strict=True):
            assert torch.equal(one, other)


def test_features_do_not_depend_on_trainable_weights(data: Path) -> None:
    model, processor = build(adapters=False)
    split = AVSBench(data, "ms3", "val")
    before = frozen_towers(model, processor)
    features = embed(model, processor, split)[0].features
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(float(parameter.requires_grad))
    after = frozen_towers(model, processor)
    assert [tower.key("a") for tower in after] == [tower.key("a") for tower in before]
    for name, values in embed(model, processor, split)[0].features.items():
        for one, other in zip(values, features[name], strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("option", ["inputs", "window_s", "clip_config", "clap_config"])
def test_the_key_depends_on_the_preprocessing(option: str) -> None:
    changes = {
        "inputs": "published",
        "window_s": 0.5,
        "clip_config": {"image_size": 64},
        "clap_config": {"fmin": 60.0},
    }
    merged = tiny.MODEL | {
        option: tiny.MODEL[option] | changes[option]
        if isinstance(changes[option], dict)
        else changes[option]
    }
    config = Av2tSamConfig.tiny(**merged)
    before = frozen_towers(*build())
    torch.manual_seed(0)
    model = Av2tSamModel(config).train(mode=False)
    after = frozen_towers(model, Av2tSamProcessor.from_config(config))
    changed = [a.key("a") != b.key("a") for a, b in zip(before, after, strict=True)]
    assert any(changed)


def test_off_screen_pairs_are_added_for_a_model_that_uses_audio(runs: Path, data: Path) -> None:
    options = AudioVisual(train=("ms3/train", "s4/train"), measured=("s4/val",), off_screen=1.0)
    sizes = {}
    for features in ("clip", "clap"):
        config = Av2tSamConfig.tiny(**tiny.MODEL, features=features)
        train = build_task(options, TaskInputs(config, {}, data, runs / "sounds")).train
        assert isinstance(train, SingleFrames)
        sizes[features] = len(train.indices), len(train.pairs)
    split = AVSBench(data, "ms3", "train")
    assert read_contents(split, find_synthavs_split(split)) is not None
    assert sizes["clip"] == (sizes["clap"][0], 0)
    assert sizes["clap"][1] > 0


def test_off_screen_pairs_need_data_with_visible_categories(
    runs: Path, data: Path, tmp_path: Path
) -> None:
    shutil.copytree(data / "Multi-sources", tmp_path / "Multi-sources")
    (tmp_path / "Multi-sources" / OPTIONS_FILE).unlink()
    options = AudioVisual(train=("ms3/train",), measured=("ms3/val",), off_screen=0.1)
    config = Av2tSamConfig.tiny(**tiny.MODEL)
    with pytest.raises(TrainingError, match=r"data\.off_screen: ms3/train in .* does not list"):
        build_task(options, TaskInputs(config, {}, tmp_path, runs / "sounds"))
