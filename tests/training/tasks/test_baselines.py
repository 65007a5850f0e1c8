"""The baselines of AV2T-SAM train on the same clips."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from avseg.datasets import AVSBench
from avseg.errors import TrainingError
from avseg.models.frame_audio import FrameAudioProcessor
from avseg.models.sama import SamaConfig, SamaModel
from avseg.segmenter import load_segmenter
from avseg.synthavs.contents import ClipContents
from avseg.training.clips import ClipIndex, EmbeddedClips, OffScreenPair, draw_off_screen_clips
from avseg.training.feature_cache import FeatureCache, FeaturesInMemory, FeatureStore
from avseg.training.recipe import Recipe, load_recipe
from avseg.training.run import run_recipe
from avseg.training.tasks.audio_visual import clap_tower
from avseg.training.tasks.baselines import collate, single_frame_examples, whole_clip_examples
from avseg.training.tasks.building import build_task
from avseg.training.tasks.task import Task, TaskInputs
from avseg.training.validation import validate
from tests.training import tiny

SAMA = replace(
    tiny.BRIDGE,
    name="sama",
    task="sama",
    model={name: tiny.MODEL[name] for name in ("sam_config", "clap_config", "adapter_dim")},
    start_from={"clap": "clap", "sam": "segmenter"},
)
TPAVI = replace(
    tiny.BRIDGE,
    name="tpavi",
    task="tpavi",
    model={
        "hiera_config": {
            name: tiny.MODEL["sam_config"][name]
            for name in (
                "image_size",
                "blocks_per_stage",
                "embed_dims",
                "num_heads",
                "window_sizes",
                "global_blocks",
            )
        },
        "clap_config": tiny.MODEL["clap_config"],
        "dim": 8,
    },
    start_from={"clap": "clap", "hiera": "segmenter"},
)
both = pytest.mark.parametrize("recipe", [SAMA, TPAVI], ids=lambda recipe: recipe.name)


def build(recipe: Recipe, data: Path, cache: FeatureStore | None = None, **options: object) -> Task:
    torch.manual_seed(0)
    task = validate(replace(recipe, data=recipe.data | options)).task
    config = task.config_class().tiny(**recipe.model)
    return build_task(task, TaskInputs(config, {}, data, data, cache or FeaturesInMemory()))


def clips_of(data: Path, *names: str) -> tuple[SamaModel, EmbeddedClips]:
    torch.manual_seed(0)
    model = SamaModel(SamaConfig.tiny(**SAMA.model)).train(mode=False)
    splits = [AVSBench(data, *name.split("/")) for name in names]  # type: ignore[arg-type]
    towers = [clap_tower(model.clap, 1.0)]
    return model, EmbeddedClips(splits, towers, FeaturesInMemory(), 1.0, whole=True)


@both
def test_a_run_saves_a_model_that_can_segment(recipe: Recipe, data: Path, runs: Path) -> None:
    metrics = run_recipe(recipe, runs / recipe.name, data)
    assert 0 <= metrics["eval_ms3_val_j"] <= 1
    segmenter = load_segmenter(runs / recipe.name, device="cpu")
    clip = AVSBench(data, "ms3", "val", segmenter.processor.sample_rate)[0]
    assert segmenter.segment_clip(clip.clip).masks.shape == clip.masks.shape


@both
def test_frozen_parts_are_those_of_the_runs_that_trained_them(
    recipe: Recipe, data: Path, runs: Path
) -> None:
    run_recipe(recipe, runs / recipe.name, data)
    trained = load_file(runs / recipe.name / "model.safetensors")
    clap = load_file(runs / "clap" / "model.safetensors")
    tower = {name for name in trained if name.startswith("clap.")}
    assert tower
    for name in tower:
        assert torch.equal(trained[name], clap[name.replace("clap.", "tower.", 1)]), name
    encoder = "sam.sam2.vision_encoder.backbone." if recipe is SAMA else "encoder.hiera."
    segmenter = load_file(runs / "segmenter" / "model.safetensors")
    same = [
        torch.equal(
            value,
            segmenter[name.replace(encoder, "segmenter.sam.sam2.vision_encoder.backbone.", 1)],
        )
        for name, value in trained.items()
        if name.startswith(encoder)
    ]
    assert all(same) == (recipe is SAMA)  # of AVSBench's model the image encoder trains
    assert same


def test_sama_trains_on_single_frames_and_tpavi_on_whole_clips(data: Path) -> None:
    # Two clips of S4 with one mask each, two of MS3 with five.
    frames, clips = (build(recipe, data, off_screen=0.0).train for recipe in (SAMA, TPAVI))
    assert [len(item.frames) for item in frames] == [1] * 12  # type: ignore[attr-defined]
    assert [len(item.frames) for item in clips] == [5] * 4  # type: ignore[attr-defined]
    assert [item.annotated.sum() for item in clips] == [1, 1, 5, 5]  # type: ignore[attr-defined]


def test_cached_audio_features_give_the_same_masks_as_the_clip_itself(data: Path) -> None:
    model, clips = clips_of(data, "ms3/val")
    processor = FrameAudioProcessor.from_config(model.config)
    clip = AVSBench(data, "ms3", "val")[0]
    batch = collate([clips[0]], processor)
    np.testing.assert_array_equal(batch["targets"][0].numpy(), clip.masks)
    assert batch["annotated"].all()
    with torch.no_grad():
        direct = model(**processor(clip.clip)).mask_logits
        torch.testing.assert_close(model(**batch).mask_logits, direct, atol=1e-5, rtol=0)


def test_a_clip_with_one_annotated_frame_is_read_whole(data: Path) -> None:
    model, clips = clips_of(data, "s4/train")
    clip = AVSBench(data, "s4", "train")[1]
    embedded = clips[1]
    np.testing.assert_array_equal(embedded.frames, clip.clip.frames)
    np.testing.assert_array_equal(embedded.masks, clip.masks)
    np.testing.assert_array_equal(embedded.annotated, clip.annotated)
    with torch.no_grad():
        embeddings = model.clap(torch.from_numpy(clip.clip.audio_windows(1.0)))
    assert torch.equal(embedded.features["clap_embeddings"][0], embeddings)


def test_a_single_frame_keeps_its_own_audio(data: Path) -> None:
    _, clips = clips_of(data, "s4/train", "ms3/train")
    frames = single_frame_examples(clips, [])
    assert len(frames) == 2 * 1 + 2 * 5
    eighth, whole = frames[8], clips[3]
    np.testing.assert_array_equal(eighth.frames[0], whole.frames[1])
    assert eighth.annotated.tolist() == [True]
    (embeddings,), (all_embeddings,) = (
        eighth.features["clap_embeddings"],
        whole.features["clap_embeddings"],
    )
    assert torch.equal(embeddings, all_embeddings[1:2])


def test_the_audio_of_a_clip_pair_has_no_visible_category(data: Path) -> None:
    _, clips = clips_of(data, "ms3/train")
    contents = [
        ClipContents(frozenset({"dog"}), frozenset({"dog"})),
        ClipContents(frozenset({"cat"}), frozenset({"cat"})),
    ]
    pairs = draw_off_screen_clips(contents, share=1.5)
    assert len(pairs) == 3
    excerpts = whole_clip_examples(clips, pairs)
    assert len(excerpts) == 2 + 3
    for pair, item in zip(pairs, (excerpts[2 + i] for i in range(3)), strict=True):
        assert pair.audio.clip == 1 - pair.visual.clip
        np.testing.assert_array_equal(item.frames, clips[pair.visual.clip].frames)
        lent = clips[pair.audio.clip].features["clap_embeddings"][0]
        assert torch.equal(item.features["clap_embeddings"][0], lent)
        assert item.annotated.all()
        assert not item.masks.any()
    with pytest.raises(ValueError, match=r"off_screen must be at least 0, got -1"):
        draw_off_screen_clips(contents, -1)


def test_a_frame_of_a_pair_has_the_audio_of_the_same_second_of_the_other_clip(data: Path) -> None:
    # Of the clip that lends its sound, one frame is annotated and the third is not.
    _, clips = clips_of(data, "s4/train", "ms3/train")
    frames = single_frame_examples(clips, [OffScreenPair(ClipIndex(2), ClipIndex(0))])
    third = frames[len(frames) - 3]
    np.testing.assert_array_equal(third.frames[0], clips[2].frames[2])
    lent = clips[0].features["clap_embeddings"][0]
    assert torch.equal(third.features["clap_embeddings"][0], lent[2:3])


def test_a_clip_for_which_every_sound_is_visible_is_left_out() -> None:
    dog = ClipContents(frozenset({"dog"}), frozenset({"dog"}))
    assert draw_off_screen_clips([dog, dog], share=1.0) == []


def test_both_baselines_share_cached_audio_features(
    data: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_recipe(SAMA, runs / "sama_cached", data, tmp_path)
    kept = sorted(tmp_path.rglob("*.safetensors"))
    assert len(kept) == 2 + 2 + 1  # clips of S4 and of MS3 to train on, and one to measure
    monkeypatch.setattr(FeatureCache, "write", None)
    run_recipe(TPAVI, runs / "tpavi_finds", data, tmp_path)
    assert sorted(tmp_path.rglob("*.safetensors")) == kept


@both
def test_off_screen_clips_are_added_to_the_others(recipe: Recipe, data: Path) -> None:
    plain, more = (build(recipe, data, off_screen=share).train for share in (0.0, 1.0))
    assert len(more) > len(plain)  # type: ignore[arg-type]


@both
@pytest.mark.parametrize("when", ["measured", "tested"])
def test_evaluation_data_needs_a_mask_for_every_frame(
    recipe: Recipe, when: str, data: Path
) -> None:
    with pytest.raises(
        TrainingError, match=r"s4/train has frames without a ground-truth mask; eva"
    ):
        build(recipe, data, None, **{when: ["s4/train"]})


@pytest.mark.parametrize("name", ["sama_small", "tpavi_small"])
def test_small_baselines_have_data_steps_and_learning_rate_of_av2t_sam_small(name: str) -> None:
    bridge, baseline = load_recipe("av2t_sam_small"), load_recipe(name)
    assert baseline.data == bridge.data
    own = {"per_device_train_batch_size"}  # of clips where the bridge has frames
    assert {k: v for k, v in baseline.trainer.items() if k not in own} == {
        k: v for k, v in bridge.trainer.items() if k not in own
    }
