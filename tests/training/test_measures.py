"""Measures of training: what each counts, on outputs that are known."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from avseg.models.outputs import AvsegOutput, ContrastOutput, TextPromptOutput
from avseg.training.measures import measure_contrast, measure_masks, measure_text_prompts

CPU = torch.device("cpu")


class Answers(nn.Module):
    """A model that gives the same output for any input."""

    def __init__(self, output: object) -> None:
        super().__init__()
        self.output = output

    def forward(self, **inputs: Tensor) -> object:
        """Ignore the inputs."""
        del inputs
        return self.output


def batches_of(batch: dict[str, Tensor]) -> DataLoader[Any]:
    items: list[dict[str, Tensor]] = [batch]
    return DataLoader(items, batch_size=None)  # type: ignore[arg-type]


def test_found_counts_true_captions_among_as_many_of_the_highest_scores() -> None:
    present = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    logits = torch.tensor([[3.0, 1.0, 2.0], [0.0, 2.0, 1.0], [0.0, 1.0, 2.0]])
    model = Answers(ContrastOutput(loss=torch.tensor(0.5), logits=logits))
    measures = measure_contrast(model, batches_of({"present": present}), CPU)
    assert measures == {"found": pytest.approx(2 / 4), "top1": pytest.approx(1 / 2), "loss": 0.5}


def test_captions_of_something_count_by_iou_and_of_nothing_by_clean_masks() -> None:
    targets = torch.zeros(1, 3, 2, 2, dtype=torch.bool)
    targets[0, 0, 0] = True  # the upper half
    logits = torch.full((1, 3, 2, 2), -9.0)
    logits[0, 0, 0, 0] = 9.0  # half of it found
    logits[0, 2] = 9.0  # all marked where nothing is
    model = Answers(TextPromptOutput(loss=torch.tensor(1.0), mask_logits=logits))
    measures = measure_text_prompts(model, batches_of({"targets": targets}), CPU)
    assert measures == {"iou": 0.5, "clean": 0.5, "loss": 1.0}


def test_masks_are_scored_at_the_size_of_the_truth() -> None:
    targets = torch.zeros(1, 2, 4, 4, dtype=torch.bool)
    targets[0, 0] = True
    logits = torch.tensor([9.0, -9.0]).view(1, 2, 1, 1)
    model = Answers(AvsegOutput(loss=torch.tensor(0.25), mask_logits=logits))
    measures = measure_masks(model, batches_of({"targets": targets}), CPU)
    assert (measures["loss"], measures["j"], measures["silent_clean"]) == (0.25, 1.0, 1.0)


def test_a_score_that_the_data_cannot_give_is_left_out() -> None:
    targets = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    logits = torch.full((1, 1, 4, 4), 9.0)
    model = Answers(AvsegOutput(loss=torch.tensor(0.0), mask_logits=logits))
    assert "silent_clean" not in measure_masks(model, batches_of({"targets": targets}), CPU)
