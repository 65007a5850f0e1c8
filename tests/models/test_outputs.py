"""Outputs of models, and losses on masks."""

import math

import pytest
import torch

from avseg.backbones.sam import MaskPrediction
from avseg.models.outputs import (
    AvsegOutput,
    bce_loss,
    iou_loss,
    iou_prediction_loss,
    mask_loss,
    mean_of_annotated,
    prediction_loss,
    presence_loss,
    resize_logits,
)


def test_fields_that_were_not_computed_are_omitted() -> None:
    outputs = AvsegOutput(mask_logits=torch.zeros(1, 2, 4, 4))
    assert list(outputs) == ["mask_logits"]
    assert outputs.loss is None


#: One true positive, false negative, false positive and true negative; then a silent frame.
TARGETS = torch.tensor([[[1, 1], [0, 0]], [[0, 0], [0, 0]]])
LOGITS = 50.0 * torch.tensor([[[1.0, -1.0], [1.0, -1.0]], [[1.0, -1.0], [-1.0, -1.0]]])


def test_bce_of_probability_one_half_is_log_two() -> None:
    losses = bce_loss(torch.zeros(2, 2, 2), TARGETS)
    assert losses.tolist() == pytest.approx([math.log(2)] * 2)


def test_an_error_within_two_pixels_of_the_boundary_has_the_additional_weight() -> None:
    truth = torch.zeros(3, 12, 12)
    truth[:, :6] = 1  # the boundary is between rows 5 and 6
    logits = 100.0 * (truth * 2 - 1)
    for frame, row in enumerate((7, 8, 11)):
        logits[frame, row, 3] = 4.0
    near, far, corner = bce_loss(logits, truth, boundary_weight=3.0).tolist()
    # Four of the twelve rows have weight 4, the others have weight 1.
    assert near == pytest.approx(4 * math.log1p(math.exp(4)) / (12 * (4 * 4 + 8)))
    assert far == corner == pytest.approx(near / 4)


def test_without_a_boundary_all_pixels_have_the_same_weight() -> None:
    logits = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(0))
    for truth in (torch.zeros(1, 8, 8), torch.ones(1, 8, 8)):
        torch.testing.assert_close(bce_loss(logits, truth, 3.0), bce_loss(logits, truth))


def test_iou_loss_is_one_minus_intersection_over_union() -> None:
    assert iou_loss(LOGITS, TARGETS)[0].item() == pytest.approx(1 - 1 / 3)


def test_iou_loss_counts_probabilities() -> None:
    # Intersection 2 * 0.5, union 2 * 1 + 2 * 0.5.
    assert iou_loss(torch.zeros(2, 2, 2), TARGETS)[0].item() == pytest.approx(1 - 1 / 3)


def test_in_a_silent_frame_iou_loss_is_the_fraction_of_mask_pixels() -> None:
    assert iou_loss(LOGITS, TARGETS)[1].item() == pytest.approx(1 / 4)


def test_a_silent_frame_lowers_every_pixel() -> None:
    logits = torch.zeros(1, 4, 4, requires_grad=True)
    mask_loss(logits, torch.zeros(1, 4, 4)).sum().backward()
    assert logits.grad is not None
    assert (logits.grad > 0).all()


def test_a_perfect_mask_has_loss_zero() -> None:
    assert mask_loss(100.0 * (TARGETS * 2 - 1), TARGETS).tolist() == pytest.approx([0, 0])


def test_mask_loss_is_computed_at_the_size_of_the_ground_truth() -> None:
    truth = torch.zeros(1, 8, 8)
    truth[:, :4] = 1
    logits = torch.tensor([[[9.0, 9.0], [-9.0, -9.0]]])
    expected = mask_loss(resize_logits(logits, (8, 8)), truth)
    torch.testing.assert_close(mask_loss(logits, truth), expected)


def test_predicted_iou_is_compared_with_the_iou_of_each_mask() -> None:
    masks = torch.stack([LOGITS[0], -LOGITS[0]])[None]  # IoU 1/3 each
    losses = iou_prediction_loss(masks, torch.tensor([[1 / 3, 1 / 3 + 0.3]]), TARGETS[:1])
    assert losses.item() == pytest.approx(0.3**2 / 2)


def test_an_empty_mask_of_a_silent_frame_has_iou_one() -> None:
    nothing = torch.full((1, 1, 2, 2), -5.0)
    assert iou_prediction_loss(nothing, torch.ones(1, 1), TARGETS[1:]).item() == 0


def test_the_loss_of_the_predicted_iou_gives_masks_no_gradient() -> None:
    masks = LOGITS[:, None].clone().requires_grad_()
    ious = torch.rand(2, 1, requires_grad=True)
    iou_prediction_loss(masks, ious, TARGETS).sum().backward()
    assert masks.grad is None
    assert ious.grad is not None


def test_presence_is_whether_the_ground_truth_has_a_pixel() -> None:
    sure = torch.tensor([[50.0], [-50.0]])
    assert presence_loss(sure, TARGETS).tolist() == pytest.approx([0, 0])
    assert presence_loss(-sure, TARGETS).tolist() == pytest.approx([50, 50])


@pytest.mark.parametrize("leading", [(2,), (2, 3)])
def test_resizing_keeps_the_leading_shape(leading: tuple[int, ...]) -> None:
    assert resize_logits(torch.zeros(*leading, 4, 6), (8, 9)).shape == (*leading, 8, 9)


def test_the_prediction_loss_uses_the_mask_with_the_highest_predicted_iou() -> None:
    logits = torch.stack([LOGITS, -LOGITS], dim=1)  # (2, 2, 2, 2)
    prediction = MaskPrediction(logits, torch.tensor([[0.9, 0.1]] * 2), torch.zeros(2, 1))
    targets = TARGETS.unsqueeze(0)  # one clip of two frames
    masks = mask_loss(LOGITS, TARGETS).mean()
    torch.testing.assert_close(prediction_loss(prediction, targets, None), masks)
    ious = iou_prediction_loss(logits, prediction.iou_predictions, TARGETS).mean()
    judged = prediction_loss(prediction, targets, None, iou_head_weight=0.5, presence_weight=2.0)
    torch.testing.assert_close(judged, masks + 0.5 * ious + 2 * math.log(2))


def test_only_annotated_frames_count_in_a_mean() -> None:
    losses = torch.tensor([1.0, 2.0, 4.0, 8.0])
    annotated = torch.tensor([[True, False], [True, False]])
    assert mean_of_annotated(losses, annotated) == 2.5
    assert mean_of_annotated(losses, torch.zeros(2, 2, dtype=torch.bool)) == 0
    assert mean_of_annotated(losses, None) == 3.75
