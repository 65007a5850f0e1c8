"""The task that makes the small ImageBind."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from avseg.backbones.imagebind import ImageBind, ImageBindConfig
from avseg.training.parts import CLIP_STEM, Part, load_part
from avseg.training.run import run_recipe
from avseg.training.tasks.task import Task, TaskInputs
from avseg.training.validation import validate
from tests.training import tiny


def build(runs: Path, parts: dict[str, Part] | None = None) -> Task:
    torch.manual_seed(0)
    config = ImageBindConfig.tiny(**tiny.IMAGEBIND_MODEL)
    options = validate(tiny.IMAGEBIND).task
    return options.build(TaskInputs(config, parts or {}, None, runs / "sounds"))


def test_a_few_steps_on_one_batch_lower_the_loss(runs: Path) -> None:
    task = build(runs)
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


def test_a_batch_is_normalised_pictures_and_spectrograms(runs: Path) -> None:
    task = build(runs)
    batch = task.collate([task.train[i] for i in range(2)])
    assert batch["pixel_values"].shape == (2, 3, 32, 32)
    assert batch["spectrograms"].shape == (2, 1, 32, 98)
    assert batch["shown"].shape == batch["heard"].shape


def test_it_starts_from_the_small_clips_stem(runs: Path) -> None:
    weights = runs / "clip" / "model.safetensors"
    started = build(runs, {"stem": Part(weights, CLIP_STEM)}).model
    stem = started.get_submodule("imagebind.vision_tower.stem").state_dict()
    clip = load_file(weights)
    assert stem
    assert all(torch.equal(stem[name], clip[CLIP_STEM + name]) for name in stem)


def test_a_run_leaves_an_imagebind_that_others_start_from(runs: Path) -> None:
    metrics = run_recipe(tiny.IMAGEBIND, runs / "imagebind")
    assert {"eval_seen_image_found", "eval_unseen_audio_top1"} <= metrics.keys()
    model = ImageBind(ImageBindConfig.tiny(**tiny.IMAGEBIND_MODEL))
    load_part(model, Part(runs / "imagebind" / "model.safetensors", "imagebind."))
    start = json.loads((runs / "imagebind" / "environment.json").read_text())[0]
    assert start["parts"] == {}


@pytest.mark.parametrize("name", ["seen", "unseen"])
def test_it_is_measured_in_both_kinds_of_styles(name: str, runs: Path) -> None:
    assert len(build(runs).measured[name]) == 4  # type: ignore[arg-type]
