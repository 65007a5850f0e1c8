"""Tasks: batches that their models take, and losses that fall."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from avseg.models.av2t_sam import Av2tSamConfig
from avseg.synthavs.categories import CATEGORIES
from avseg.training.parts import Part
from avseg.training.pretraining.options import TextPrompt
from avseg.training.recipe import Recipe
from avseg.training.tasks.task import Task, TaskInputs
from avseg.training.validation import validate
from tests.training import tiny

PRETRAINING = [tiny.CLIP, tiny.CLAP, tiny.SAM, tiny.SEGMENTER]


def build(recipe: Recipe, runs: Path) -> Task:
    torch.manual_seed(0)
    config = Av2tSamConfig.tiny(**tiny.MODEL)
    return validate(recipe).task.build(TaskInputs(config, {}, None, runs / "sounds"))


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


def test_pictures_are_measured_in_seen_and_unseen_styles(runs: Path) -> None:
    task = build(tiny.CLIP, runs)
    assert {name: len(data) for name, data in task.measured.items()} == {  # type: ignore[arg-type]
        "seen": 4,
        "unseen": 4,
    }
    assert not torch.equal(task.measured["seen"][0]["images"], task.measured["unseen"][0]["images"])


def test_there_is_a_caption_for_each_category_and_for_nothing(runs: Path) -> None:
    task = build(tiny.CLAP, runs)
    batch = task.collate([task.train[i] for i in range(2)])
    assert task.model(**batch).logits.shape == (2, len(CATEGORIES) + 1)


def test_measures_of_an_untrained_task_lie_in_their_range(runs: Path) -> None:
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
    started = options.build(TaskInputs(config, parts, None, runs / "sounds")).model
    loaded = {
        name
        for name, parameter in started.named_parameters()
        if parameter.numel() > 1 and parameter.eq(0.25).all()
    }
    matrices = {name for name, values in started.named_parameters() if values.numel() > 1}
    assert {name for name in matrices if name.startswith("segmenter.sam.")} <= loaded
    assert any(name.startswith("segmenter.beit3.vision_embed.proj.") for name in loaded)
    assert "segmenter.text_hidden_fcs.0.weight" not in loaded
