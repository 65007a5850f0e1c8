"""Measures of pre-training: their scores for known outputs."""

from typing import Any

import pytest
import torch
from torch import Tensor

from avseg.models.outputs import ClassOutput, ContrastOutput, TextPromptOutput
from avseg.training.pretraining.imagebind_objective import ImageBindPretrainingOutput
from avseg.training.pretraining.measures import (
    ClassMeasure,
    ContrastMeasure,
    ImageBindMeasure,
    TextPromptMeasure,
)
from tests.training.test_measures import measured


def test_found_is_the_share_of_matching_captions_among_as_many_highest_logits() -> None:
    present = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    logits = torch.tensor([[3.0, 1.0, 2.0], [0.0, 2.0, 1.0], [0.0, 1.0, 2.0]])
    out = ContrastOutput(loss=torch.tensor(0.5), logits=logits)
    measures = measured(ContrastMeasure(), out, present=present)
    assert measures == {"found": pytest.approx(2 / 4), "top1": pytest.approx(1 / 2), "loss": 0.5}


def binding() -> tuple[ImageBindPretrainingOutput, dict[str, Tensor]]:
    """Three images and audio clips of two categories; the third audio is off-screen."""
    shown = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    heard = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    pairs = torch.tensor([[0.0, 2.0, 1.0], [1.0, 1.0, 3.0], [2.0, 0.0, 0.0]])
    out = ImageBindPretrainingOutput(
        loss=torch.tensor(1.5), image_logits=shown, audio_logits=-heard, pair_logits=pairs
    )
    return out, {"shown": shown, "heard": heard}


def test_imagebind_is_measured_for_images_audio_and_pairs() -> None:
    out, batch = binding()
    measures = measured(ImageBindMeasure(), out, **batch)
    assert measures["image_found"] == measures["image_top1"] == 1
    assert measures["audio_found"] == pytest.approx(1 / 4)
    assert measures["matched"] == pytest.approx(1 / 3)  # the third sound's highest picture is true
    assert measures["loss"] == 1.5


def test_imagebind_measures_of_two_processes_are_merged() -> None:
    out, batch = binding()
    one, two, both = ImageBindMeasure(), ImageBindMeasure(), ImageBindMeasure()
    one.update(out, batch)
    two.update(out, batch)
    one.merge(two)
    for _ in range(2):
        both.update(out, batch)
    assert one.compute() == both.compute()


def test_captions_of_visible_objects_are_scored_by_iou_and_others_by_empty_masks() -> None:
    targets = torch.zeros(1, 3, 2, 2, dtype=torch.bool)
    targets[0, 0, 0] = True  # the upper half
    logits = torch.full((1, 3, 2, 2), -9.0)
    logits[0, 0, 0, 0] = 9.0  # half of it found
    logits[0, 2] = 9.0  # all marked where nothing is
    out = TextPromptOutput(loss=torch.tensor(1.0), mask_logits=logits)
    measures = measured(TextPromptMeasure(), out, targets=targets)
    assert measures == {"iou": 0.5, "clean": 0.5, "loss": 1.0}


def random_batches(count: int) -> list[tuple[Any, dict[str, Tensor]]]:
    """Return batches of two images with three captions."""
    torch.manual_seed(0)
    return [
        (
            TextPromptOutput(loss=torch.rand(()), mask_logits=torch.randn(2, 3, 4, 4)),
            {"targets": torch.rand(2, 3, 4, 4) > 0.6},
        )
        for _ in range(count)
    ]


def test_merged_text_prompt_measures_equal_one_measure_of_all_batches() -> None:
    whole, parts = TextPromptMeasure(), [TextPromptMeasure(), TextPromptMeasure()]
    for i, (out, batch) in enumerate(random_batches(4)):
        whole.update(out, batch)
        parts[i // 2].update(out, batch)
    parts[0].merge(parts[1])
    assert parts[0].compute() == whole.compute()


def test_merged_contrast_measures_equal_one_measure_of_all_batches() -> None:
    torch.manual_seed(0)
    whole, parts = ContrastMeasure(), [ContrastMeasure(), ContrastMeasure()]
    for part in parts:
        out = ContrastOutput(loss=torch.rand(()), logits=torch.randn(3, 4))
        batch = {"present": (torch.rand(3, 4) > 0.5).float()}
        whole.update(out, batch)
        part.update(out, batch)
    parts[0].merge(parts[1])
    assert parts[0].compute() == whole.compute()


def test_merged_class_measures_equal_one_measure_of_all_batches() -> None:
    torch.manual_seed(0)
    whole, parts = ClassMeasure(), [ClassMeasure(), ClassMeasure()]
    for part in parts:
        out = ClassOutput(loss=torch.rand(()), logits=torch.randn(2, 3, 4, 4))
        batch = {"classes": torch.randint(0, 3, (2, 8, 8))}
        whole.update(out, batch)
        part.update(out, batch)
    parts[0].merge(parts[1])
    assert parts[0].compute() == whole.compute()
