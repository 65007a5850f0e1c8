"""Pre-training tasks: batches fit their models, and losses fall."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from avseg.backbones.imagebind import ImageBind, ImageBindConfig
from avseg.models.av2t_sam import Av2tSamConfig
from avseg.synthavs.categories import CATEGORIES
from avseg.training.parts import CLIP_STEM, Part, load_part
from avseg.training.pretraining.options import TextPrompt
from avseg.training.recipe import Recipe
from avseg.training.run import run_recipe
from avseg.training.tasks.building import build_task
from avseg.training.tasks.task import Task, TaskInputs
from avseg.training.validation import validate
from tests.training import tiny
from tests.training.tiny import changed

PRETRAINING = [tiny.CLIP, tiny.CLAP, tiny.SAM, tiny.SEGMENTER, tiny.SAM3]


def build(recipe: Recipe, runs: Path) -> Task:
    torch.manual_seed(0)
    plan = validate(recipe)
    return build_task(plan.task, TaskInputs(plan.config, {}, None, runs / "sounds"))


@pytest.mark.parametrize("recipe", PRETRAINING, ids=lambda recipe: recipe.name)
def test_a_few_steps_on_one_batch_lower_the_loss(recipe: Recipe, runs: Path) -> None:
    task = build(recipe, runs)
    batch = task.collate([task.train[i] for i in range(3)])
    optimizer = torch.optim.AdamW(task.model.parameters(), lr=2e-3)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = task.model(**batch).loss
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]


def test_images_are_evaluated_in_seen_and_unseen_styles(runs: Path) -> None:
    task = build(tiny.CLIP, runs)
    assert {name: len(data) for name, data in task.measured.items()} == {  # type: ignore[arg-type]
        "seen": 4,
        "unseen": 4,
    }
    assert not torch.equal(task.measured["seen"][0]["images"], task.measured["unseen"][0]["images"])


def test_with_both_versions_the_items_alternate_and_each_version_is_evaluated(runs: Path) -> None:
    alone = [build(changed(tiny.CLIP, "data", generator_version=v), runs) for v in (2, 3)]
    both = build(changed(tiny.CLIP, "data", generator_version="both"), runs)
    assert set(both.measured) == {"seen_2", "unseen_2", "seen_3", "unseen_3"}
    for index in range(4):
        expected = alone[index % 2].train[index]["images"]
        assert torch.equal(both.train[index]["images"], expected)
    assert torch.equal(
        both.measured["unseen_3"][0]["images"], alone[1].measured["unseen"][0]["images"]
    )


def test_the_segmenter_learns_from_images_larger_than_beit3_gets(runs: Path) -> None:
    sam = tiny.MODEL["sam_config"] | {"image_size": 128}
    task = build(changed(tiny.SEGMENTER, "model", sam_config=sam), runs)
    batch = task.collate([task.train[0]])
    assert batch["pixel_values_sam"].shape[-1] == 128
    assert batch["pixel_values_beit3"].shape[-1] == 64
    assert task.model(**batch).mask_logits.shape[-1] == 128 // 4


def test_the_boundary_weight_changes_what_is_learned(runs: Path) -> None:
    gradients = []
    for weight in (0.0, 3.0):
        task = build(changed(tiny.SEGMENTER, "data", boundary_weight=weight), runs)
        task.model(**task.collate([task.train[0]])).loss.backward()
        prompts = task.model.get_submodule("segmenter.text_hidden_fcs")
        gradients.append([p.grad for p in prompts.parameters()])
    assert not any(torch.allclose(*pair) for pair in zip(*gradients, strict=True))


def test_there_is_a_caption_for_each_category_and_for_nothing(runs: Path) -> None:
    task = build(tiny.CLAP, runs)
    batch = task.collate([task.train[i] for i in range(2)])
    assert task.model(**batch).logits.shape == (2, len(CATEGORIES) + 1)


def test_scores_of_an_untrained_model_are_in_their_range(runs: Path) -> None:
    task = build(tiny.SEGMENTER, runs)
    data = task.measured["seen"]
    batch = task.collate([data[0], data[1]])
    measure = task.measure()
    with torch.no_grad():
        measure.update(task.model.eval()(**batch), batch)
    measures = measure.compute()
    assert 0 <= measures["iou"] <= 1
    assert 0 <= measures["clean"] <= 1


def test_the_segmenter_starts_from_the_stem_of_clip_and_the_encoder_of_sam(
    runs: Path, tmp_path: Path
) -> None:
    clip, sam = build(tiny.CLIP, runs).model, build(tiny.SAM, runs).model
    parts = {}
    for part, model in (("stem", clip), ("sam", sam)):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(0.25)
        weights = tmp_path / f"{part}.safetensors"
        save_file(model.state_dict(), weights)
        parts[part] = Part(weights, TextPrompt.part_prefixes[part])
    config = Av2tSamConfig.tiny(**tiny.MODEL)
    options = validate(tiny.SEGMENTER).task
    started = build_task(options, TaskInputs(config, parts, None, runs / "sounds")).model
    loaded = {
        name
        for name, parameter in started.named_parameters()
        if parameter.numel() > 1 and parameter.eq(0.25).all()
    }
    matrices = {name for name, values in started.named_parameters() if values.numel() > 1}
    assert {name for name in matrices if name.startswith("segmenter.sam.")} <= loaded
    assert any(name.startswith("segmenter.beit3.vision_embed.proj.") for name in loaded)
    assert "segmenter.text_hidden_fcs.0.weight" not in loaded


def test_sam3_learns_only_the_mask_of_all_instances_and_their_presence(runs: Path) -> None:
    task = build(tiny.SAM3, runs)
    batch = task.collate([task.train[i] for i in range(2)])
    task.model(**batch).loss.backward()
    idle = {n for n, p in task.model.named_parameters() if p.grad is None or not p.grad.any()}
    trained = {name for name, _ in task.model.named_parameters()} - idle
    sam3 = "segmenter.sam3."
    parts = ("text_encoder.", "text_projection.", "vision_encoder.", "detr_decoder.presence_head.")
    assert all(any(name.startswith(sam3 + part) for name in trained) for part in parts)
    instances = ("detr_decoder.box_head.", "dot_product_scoring.", "mask_decoder.mask_embedder.")
    assert not any(name.startswith(tuple(sam3 + part for part in instances)) for name in trained)


@torch.no_grad()
def test_every_level_of_the_feature_pyramid_of_sam3_has_the_scale_of_the_patches(
    runs: Path,
) -> None:
    task = build(tiny.SAM3, runs)
    batch = task.collate([task.train[i] for i in range(2)])
    sam3: Any = task.model.get_submodule("segmenter")
    patches = sam3.encode_patches(batch["pixel_values_sam3"])
    levels, _ = sam3.sam3.vision_encoder.neck(patches)
    # From a standard deviation of 0.02, the finest level would have 0.0002 times this scale.
    assert all(0.3 < level.std() / patches.std() < 3 for level in levels)


@torch.no_grad()
def test_the_padding_of_a_caption_has_no_effect_on_the_mask_of_sam3(runs: Path) -> None:
    task = build(tiny.SAM3, runs)
    task.model.eval()
    batch = task.collate([task.train[i] for i in range(2)])
    batch["captions"] = torch.tensor([[[5, 0, 0], [6, 7, 0]]] * 2)
    padded = task.model(**batch).mask_logits
    short = task.model(**batch | {"captions": batch["captions"][:, :, :2]}).mask_logits
    torch.testing.assert_close(padded, short)
    assert (padded[:, 0] - padded[:, 1]).abs().max() > 1e-4


def build_imagebind(runs: Path, parts: dict[str, Part] | None = None) -> Task:
    torch.manual_seed(0)
    config = ImageBindConfig.tiny(**tiny.IMAGEBIND_MODEL)
    options = validate(tiny.IMAGEBIND).task
    return build_task(options, TaskInputs(config, parts or {}, None, runs / "sounds"))


def test_a_few_steps_on_one_batch_lower_the_loss_of_imagebind(runs: Path) -> None:
    task = build_imagebind(runs)
    batch = task.collate([task.train[i] for i in range(4)])
    optimizer = torch.optim.AdamW(task.model.parameters(), lr=3e-3)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = task.model(**batch).loss
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]


def test_a_batch_has_normalised_images_and_spectrograms(runs: Path) -> None:
    task = build_imagebind(runs)
    batch = task.collate([task.train[i] for i in range(2)])
    assert batch["pixel_values"].shape == (2, 3, 32, 32)
    assert batch["spectrograms"].shape == (2, 1, 32, 98)
    assert batch["shown"].shape == batch["heard"].shape


def test_imagebind_starts_from_the_stem_of_the_small_clip(runs: Path) -> None:
    weights = runs / "clip" / "model.safetensors"
    started = build_imagebind(runs, {"stem": Part(weights, CLIP_STEM)}).model
    stem = started.get_submodule("imagebind.vision_tower.stem").state_dict()
    clip = load_file(weights)
    assert stem
    assert all(torch.equal(stem[name], clip[CLIP_STEM + name]) for name in stem)


def test_a_run_saves_an_imagebind_from_which_others_start(runs: Path) -> None:
    metrics = run_recipe(tiny.IMAGEBIND, runs / "imagebind")
    assert {"eval_seen_image_found", "eval_unseen_audio_top1"} <= metrics.keys()
    model = ImageBind(ImageBindConfig.tiny(**tiny.IMAGEBIND_MODEL))
    load_part(model, Part(runs / "imagebind" / "model.safetensors", "imagebind."))
    start = json.loads((runs / "imagebind" / "environment.json").read_text())[0]
    assert start["parts"] == {}


@pytest.mark.parametrize("name", ["seen", "unseen"])
def test_imagebind_is_evaluated_in_seen_and_unseen_styles(name: str, runs: Path) -> None:
    assert len(build_imagebind(runs).measured[name]) == 4  # type: ignore[arg-type]
