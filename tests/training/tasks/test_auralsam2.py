"""AuralSAM2 trains on whole clips."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from avseg.datasets import AVSBench
from avseg.models.auralsam2 import AuralSam2Config, AuralSam2Model
from avseg.segmenter import load_segmenter
from avseg.training.feature_cache import FeaturesInMemory
from avseg.training.recipe import load_recipe
from avseg.training.run import run_recipe
from avseg.training.tasks.building import build_task
from avseg.training.tasks.task import Task, TaskInputs
from avseg.training.validation import validate
from tests.training import tiny

MODEL: dict[str, Any] = {
    "sam_config": tiny.MODEL["sam_config"] | {"prompt_dim": 64},
    "memory_config": {"frames": 3, "pointers": 3, "layers": 1, "ffn_dim": 16},
    "vggish_config": {"columns": 16, "channels": [4, 4, 8, 8], "hidden_dim": 16, "dim": 32},
    "image_blocks": [1, 1, 1],
    "mlp_ratio": 1,
    "contrast_dim": 8,
}
RECIPE = replace(
    tiny.BRIDGE,
    name="aural",
    task="auralsam2",
    model=MODEL,
    data={"train": ["s4/train", "ms3/train"], "measured": ["ms3/val"]},
    start_from={},
)


def build(data: Path) -> Task:
    torch.manual_seed(0)
    config = AuralSam2Config.tiny(**MODEL)
    options = validate(RECIPE).task
    return build_task(options, TaskInputs(config, {}, data, data, FeaturesInMemory()))


def test_a_run_saves_a_model_that_can_segment(data: Path, tmp_path: Path) -> None:
    metrics = run_recipe(RECIPE, tmp_path / "run", data)
    assert 0 <= metrics["eval_ms3_val_j"] <= 1
    segmenter = load_segmenter(tmp_path / "run", device="cpu")
    clip = AVSBench(data, "ms3", "val", segmenter.processor.sample_rate)[0]
    assert segmenter.segment_clip(clip.clip).masks.shape == clip.masks.shape
    # Running statistics of the batch norms are saved too.
    weights = load_file(tmp_path / "run" / "model.safetensors")
    batches = weights["fuser.fusions.0.image_batch_norm.num_batches_tracked"]
    assert batches.item() == 2 * 2  # two steps of two clips


def test_a_clip_is_read_whole_with_its_own_audio(data: Path) -> None:
    task = build(data)
    # Two clips of S4 with one mask each, two of MS3 with five.
    clips: list[Any] = [task.train[number] for number in range(4)]
    assert [clip.annotated.sum() for clip in clips] == [1, 1, 5, 5]
    assert [len(clip.frames) for clip in clips] == [5, 5, 5, 5]
    batch = task.collate(clips[2:])
    model = task.model
    assert isinstance(model, AuralSam2Model)
    truth = AVSBench(data, "ms3", "train", audio_channels=2)[0]
    np.testing.assert_array_equal(batch["targets"][0].numpy(), truth.masks)
    segmenter_inputs = load_inputs(truth, model)
    torch.testing.assert_close(batch["pixel_values"][:1], segmenter_inputs["pixel_values"])
    torch.testing.assert_close(batch["audio_values"][:1], segmenter_inputs["audio_values"])


def load_inputs(truth: Any, model: AuralSam2Model) -> dict[str, torch.Tensor]:
    from avseg.models.auralsam2 import AuralSam2Processor

    return AuralSam2Processor.from_config(model.config)(truth.clip)


def test_a_few_steps_lower_the_loss(data: Path) -> None:
    task = build(data)
    model = task.model.train()
    batch = task.collate([task.train[2], task.train[3]])
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.95 * losses[0]


@pytest.mark.parametrize("name", ["v1s", "v1m", "v2"])
def test_the_recipes_have_the_sizes_and_options_of_the_released_code(name: str) -> None:
    recipe = load_recipe(f"auralsam2_{name}")
    assert recipe.trainer["num_train_epochs"] == {"v1s": 140, "v1m": 140, "v2": 90}[name]
    assert recipe.trainer["weight_decay"] == 0.05
    config = AuralSam2Config(**recipe.model)
    assert config.window_frames == {"v1s": 5, "v1m": 5, "v2": 10}[name]
    assert config.sam_config.embed_dims == [144, 288, 576, 1152]
    assert not config.train_vggish
