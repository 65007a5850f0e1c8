"""What passes through every promptable SAM."""

import pytest
import torch
from torch.nn import functional as F

from avseg.backbones.sam import ImageFeatures, MaskPrediction


def test_the_best_mask_is_that_of_the_highest_predicted_iou() -> None:
    logits = torch.arange(6.0).view(2, 3, 1, 1)
    prediction = MaskPrediction(logits, torch.tensor([[0.1, 0.9, 0.2], [0.5, 0.3, 0.4]]))
    masks, ious = prediction.best()
    assert masks.flatten().tolist() == [1.0, 3.0]
    assert ious.tolist() == pytest.approx([0.9, 0.5])


def test_a_best_mask_is_resized_where_its_model_resizes() -> None:
    logits, ious = torch.randn(2, 3, 4, 4), torch.tensor([[0.0, 1.0, 0.0]] * 2)
    masks, _ = MaskPrediction(logits, ious, resized_to=16).best()
    torch.testing.assert_close(
        masks, F.interpolate(logits[:, 1:2], (16, 16), mode="bilinear", align_corners=False)[:, 0]
    )


def test_features_are_lined_up_with_prompts_without_copies() -> None:
    level = torch.arange(3.0).view(3, 1, 1, 1)
    repeated = ImageFeatures((level,)).repeat(torch.tensor([2, 0, 2])).repeat(torch.tensor([1, 2]))
    assert repeated.levels[0] is level
    assert repeated.per_prompt(level).flatten().tolist() == [0.0, 2.0]
