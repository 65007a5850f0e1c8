"""Example masks: which clips are drawn, and how."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import TrainerControl, TrainerState, TrainingArguments

from avseg.models.outputs import AvsegOutput
from avseg.training.example_masks import ExampleMasks, draw_masks


def test_predicted_masks_are_drawn_above_the_ground_truth() -> None:
    frames = np.full((2, 3, 4, 3), 100, np.uint8)
    masks, targets = np.zeros((2, 2, 3, 4), bool)
    masks[0, 0, 0] = targets[1, 2, 3] = True
    drawn = draw_masks(frames, masks, targets)
    assert drawn.shape == (6, 8, 3)
    tinted = np.argwhere((drawn != 100).any(-1))
    assert tinted.tolist() == [[0, 0], [5, 7]]  # a row of masks, then a row of truth


class Marks(nn.Module):
    """A model whose masks cover the whole frame."""

    def forward(self, targets: Tensor) -> AvsegOutput:
        """Return logits at half the size."""
        return AvsegOutput(mask_logits=torch.ones_like(targets)[..., ::2, ::2])


def test_evenly_spaced_clips_are_drawn_after_an_evaluation(tmp_path: Path) -> None:
    items: Any = [SimpleNamespace(frames=np.zeros((1, 4, 4, 3), np.uint8)) for _ in range(10)]
    callback = ExampleMasks(
        {"ms3_val": items}, lambda _: {"targets": torch.zeros(1, 1, 4, 4)}, lambda i: i.frames
    )
    shown: list[str] = []
    callback.tb_writer = SimpleNamespace(add_image=lambda tag, *_, **__: shown.append(tag))
    arguments = TrainingArguments(str(tmp_path), use_cpu=True, report_to="none")
    callback.on_evaluate(arguments, TrainerState(), TrainerControl(), model=Marks())
    assert shown == [f"ms3_val/{index}" for index in (0, 2, 5, 7)]
