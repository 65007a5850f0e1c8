"""Losses of AuralSAM2, by hand at a tiny size."""

import math

import pytest
import torch
from torch import Tensor

from avseg.backbones.sam import MaskPrediction
from avseg.models.auralsam2.configuration import AuralSam2Losses
from avseg.models.auralsam2.fuser import ProjectedLevel
from avseg.models.auralsam2.losses import (
    contrastive_loss,
    dice_loss,
    focal_loss,
    frame_losses,
    info_nce,
)

OPTIONS = AuralSam2Losses()


def prediction(logits: Tensor, ious: Tensor) -> MaskPrediction:
    return MaskPrediction(logits, ious, torch.zeros(len(logits), 1))


def test_the_focal_loss_is_small_where_the_mask_is_right() -> None:
    logits = torch.tensor([[[[2.0, -1.0]]]])
    truth = torch.tensor([[[[1.0, 0.0]]]])
    p, q = 1 / (1 + math.exp(-2)), 1 / (1 + math.exp(1))
    expected = (0.25 * (1 - p) ** 2 * -math.log(p) + 0.75 * q**2 * -math.log(1 - q)) / 2
    assert focal_loss(logits, truth).item() == pytest.approx(expected, rel=1e-5)


def test_the_dice_loss_adds_one_above_and_below() -> None:
    logits, truth = torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, 0.0]]]])
    assert dice_loss(logits, truth).item() == pytest.approx(1 - (2 * 0.5 + 1) / (1 + 1 + 1))


def test_the_mask_with_the_least_loss_is_trained() -> None:
    truth = torch.tensor([[[1, 0], [1, 0]]])
    good = 9.0 * torch.tensor([[1.0, -1.0], [1.0, -1.0]])
    logits = torch.stack([-good, good, torch.zeros(2, 2)])[None].requires_grad_()
    losses = frame_losses(prediction(logits, torch.tensor([[0.9, 0.1, 0.2]])), truth, OPTIONS)
    (losses.focal + losses.dice).sum().backward()
    assert logits.grad is not None
    assert logits.grad[0, 1].abs().max() > 0
    assert not logits.grad[0, [0, 2]].any()
    # True IoUs 0, 1 and 0: the mean error of the three predictions.
    assert losses.iou.item() == pytest.approx((0.9 + 0.9 + 0.2) / 3)


def test_a_frame_without_an_object_trains_only_the_object_score() -> None:
    losses = frame_losses(
        prediction(torch.randn(2, 3, 4, 4), torch.rand(2, 3)),
        torch.stack([torch.zeros(4, 4), torch.eye(4)]),
        OPTIONS,
    )
    assert [losses.focal[0], losses.dice[0], losses.iou[0]] == [0, 0, 0]
    assert min(losses.focal[1], losses.dice[1], losses.iou[1]) > 0
    torch.testing.assert_close(losses.presence, torch.full((2,), math.log(2)))


def test_the_weighted_sum_has_the_weights_of_the_released_code() -> None:
    losses = frame_losses(
        prediction(torch.randn(1, 3, 4, 4), torch.rand(1, 3)), torch.ones(1, 4, 4), OPTIONS
    )
    expected = 20 * losses.focal + losses.dice + losses.iou + losses.presence
    torch.testing.assert_close(losses.weighted(OPTIONS), expected)


def test_the_masks_are_compared_at_the_size_of_the_ground_truth() -> None:
    logits = torch.full((1, 3, 2, 2), 5.0)
    losses = frame_losses(prediction(logits, torch.ones(1, 3)), torch.ones(1, 8, 8), OPTIONS)
    assert losses.iou.item() == 0


def test_the_contrastive_loss_equals_its_formula() -> None:
    torch.manual_seed(0)
    pixels, audio = torch.randn(5, 3).double(), torch.randn(4, 3).double()
    labels, audio_labels = torch.tensor([0, 1, 1, 0, 1]), torch.tensor([1, 0, 1, 1])
    rows = []
    for i in range(5):
        negatives = sum(
            math.exp(float(pixels[i] @ pixels[j]) / 0.5) for j in range(5) if labels[j] != labels[i]
        ) + sum(
            math.exp(float(pixels[i] @ audio[j]) / 0.5)
            for j in range(4)
            if audio_labels[j] != labels[i]
        )
        terms = [
            float(pixels[i] @ audio[j]) / 0.5
            - math.log(math.exp(float(pixels[i] @ audio[j]) / 0.5) + negatives)
            for j in range(4)
            if audio_labels[j] == labels[i]
        ]
        rows.append(-sum(terms) / len(terms))
    loss = info_nce(pixels, labels, audio, audio_labels, 0.5)
    assert loss.item() == pytest.approx(sum(rows) / 5)


def test_a_pixel_without_audio_of_its_label_counts_zero() -> None:
    pixels, audio = torch.eye(3)[:2], torch.eye(3)[2:]
    both = info_nce(pixels, torch.tensor([0, 1]), audio, torch.tensor([1]), 1.0)
    # The second pixel: one positive and one negative with the cosine 0.
    assert both.item() == pytest.approx(math.log(2) / 2)


def test_a_clip_of_one_label_has_no_negatives_and_no_loss() -> None:
    pixels = torch.eye(3)[:2].requires_grad_()
    loss = info_nce(pixels, torch.zeros(2), torch.eye(3)[2:], torch.zeros(1), 1.0)
    loss.backward()
    assert loss.item() == 0
    assert pixels.grad is not None
    assert not pixels.grad.isnan().any()


def level(image: Tensor, audio: Tensor) -> ProjectedLevel:
    return ProjectedLevel(image, audio)


def test_every_label_belongs_to_its_own_pixel() -> None:
    truth = torch.zeros(2, 4, 4)
    truth[0, :2] = 1
    # Pixels of the object are equal to the audio of frame 0, all others to that of frame 1.
    audio = torch.eye(2)
    image = audio[(1 - truth.flatten(1)).long()]  # (2, 16, 2)
    right = contrastive_loss([level(image, audio)], truth, OPTIONS)
    wrong = contrastive_loss([level(image.flip(1), audio)], truth, OPTIONS)
    assert right < 0.1
    assert wrong > 1


def test_losses_in_lower_precision_are_computed_in_float32() -> None:
    torch.manual_seed(0)
    truth = torch.zeros(1, 32, 32)
    truth[0, :20] = 1
    coarse = prediction(torch.randn(1, 3, 32, 32).bfloat16(), torch.rand(1, 3).bfloat16())
    exact = prediction(coarse.mask_logits.float(), coarse.iou_predictions.float())
    ours, expected = (frame_losses(each, truth, OPTIONS) for each in (coarse, exact))
    assert torch.equal(ours.dice, expected.dice)
    assert torch.equal(ours.focal, expected.focal)
    pixels, audio = torch.randn(6, 4).bfloat16(), torch.randn(3, 4).bfloat16()
    labels, audio_labels = torch.tensor([0, 0, 1, 1, 1, 0]), torch.tensor([0, 1, 1])
    with torch.autocast("cpu", torch.bfloat16):
        rough = info_nce(pixels, labels, audio, audio_labels, 0.1)
    assert torch.equal(rough, info_nce(pixels.float(), labels, audio.float(), audio_labels, 0.1))


def test_the_number_of_pixels_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    truth = torch.zeros(2, 4, 4)
    truth[0, :2] = 1
    seen: list[int] = []

    def count_pixels(pixels: Tensor, *_: object) -> Tensor:
        seen.append(len(pixels))
        return pixels.sum()

    monkeypatch.setattr("avseg.models.auralsam2.losses.info_nce", count_pixels)
    levels = [level(torch.randn(2, 16, 2), torch.randn(2, 2)) for _ in range(3)]
    contrastive_loss(levels, truth, OPTIONS)
    contrastive_loss(levels, truth, AuralSam2Losses(contrast_pixels=3))
    contrastive_loss(levels, truth, AuralSam2Losses(contrast_rows=20))
    # Frame 0 has two classes, frame 1 only the background.
    assert seen == [3 * 2 * 16, 3 * 3 * 3, 20]
