"""Training losses of AuralSAM2 (arXiv:2506.01015, 3.3): masks, their quality, and audio contrast.

N frames, K masks of a frame, h x w size of the mask logits, H x W size of the ground truth, P
places of the fused features, V width of the contrastive space, R rows, A audio vectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from avseg.backbones.sam import MaskPrediction
from avseg.models.auralsam2.configuration import AuralSam2Losses
from avseg.models.auralsam2.fuser import ProjectedLevel
from avseg.models.outputs import presence_loss, resize_logits

#: Focusing exponent and weight of the object's pixels in the focal loss (arXiv:1708.02002).
_FOCAL_GAMMA, _FOCAL_ALPHA = 2.0, 0.25


@dataclass(frozen=True)
class FrameLosses:
    """Losses of each of N frames, before their weights.

    Attributes:
        focal: Focal loss of the selected mask, 0 in a frame without an object, (N,).
        dice: Dice loss of the selected mask, 0 in a frame without an object, (N,).
        iou: Mean error of the K predicted IoUs, 0 in a frame without an object, (N,).
        presence: Cross-entropy of the object score, (N,).
    """

    focal: Tensor
    dice: Tensor
    iou: Tensor
    presence: Tensor

    def weighted(self, options: AuralSam2Losses) -> Tensor:
        """Return the weighted sum of the losses of each frame, (N,)."""
        return (
            options.focal_weight * self.focal
            + options.dice_weight * self.dice
            + options.iou_weight * self.iou
            + options.presence_weight * self.presence
        )


def frame_losses(
    prediction: MaskPrediction, targets: Tensor, options: AuralSam2Losses
) -> FrameLosses:
    """Compute the losses of each frame at the size of the ground truth.

    The mask with the least weighted sum of focal and dice loss is trained.

    Args:
        prediction: Prediction of N frames with K masks each.
        targets: Ground-truth masks, (N, H, W) of 0 and 1.
        options: Weights, which select the mask.

    Returns:
        The losses.

    Raises:
        TypeError: If the prediction has no object score.
    """
    scores = prediction.object_score_logits
    if scores is None:
        raise TypeError("the prediction has no object score; use SAM 2.")
    # bfloat16 has 8 significant bits, too few for sums over all pixels.
    logits = resize_logits(_at_least_float32(prediction.mask_logits), targets.shape[-2:])
    truth = targets.unsqueeze(1).to(logits).expand_as(logits)
    focal, dice = focal_loss(logits, truth), dice_loss(logits, truth)  # (N, K)
    combined = options.focal_weight * focal + options.dice_weight * dice
    best = combined.argmin(dim=1, keepdim=True)
    iou = (prediction.iou_predictions - _true_ious(logits, truth)).abs().mean(dim=1)
    # Masks of a frame without an object are not trained; the object score learns such frames.
    has_object = targets.flatten(1).any(dim=1).to(logits)
    return FrameLosses(
        focal=focal.gather(1, best)[:, 0] * has_object,
        dice=dice.gather(1, best)[:, 0] * has_object,
        iou=iou * has_object,
        presence=presence_loss(scores, targets),
    )


def focal_loss(mask_logits: Tensor, truth: Tensor) -> Tensor:
    """Compute the mean focal loss over the pixels of each mask (arXiv:1708.02002).

    Args:
        mask_logits: Before the sigmoid, (N, K, H, W).
        truth: 0 and 1, in the same shape and dtype.

    Returns:
        Loss of each mask, (N, K).
    """
    entropy = F.binary_cross_entropy_with_logits(mask_logits, truth, reduction="none")
    probs = mask_logits.sigmoid()
    wrong = probs + truth - 2 * probs * truth  # one minus the probability of the true class
    weights = _FOCAL_ALPHA * truth + (1 - _FOCAL_ALPHA) * (1 - truth)
    return (weights * wrong**_FOCAL_GAMMA * entropy).mean(dim=(-2, -1))


def dice_loss(mask_logits: Tensor, truth: Tensor) -> Tensor:
    """Compute one minus the Dice coefficient of probabilities and ground truth, each plus one.

    Args:
        mask_logits: Before the sigmoid, (N, K, H, W).
        truth: 0 and 1, in the same shape and dtype.

    Returns:
        Loss of each mask, (N, K).
    """
    probs = mask_logits.sigmoid()
    shared = (probs * truth).sum(dim=(-2, -1))
    total = probs.sum(dim=(-2, -1)) + truth.sum(dim=(-2, -1))
    return 1 - (2 * shared + 1) / (total + 1)


@torch.no_grad()
def _true_ious(mask_logits: Tensor, truth: Tensor) -> Tensor:
    """Compute the IoU of each predicted mask with the ground truth, (N, K)."""
    masks, objects = mask_logits > 0, truth > 0
    shared = (masks & objects).sum(dim=(-2, -1))
    union = (masks | objects).sum(dim=(-2, -1))
    return shared / union.clamp(min=1)


def contrastive_loss(
    levels: Sequence[ProjectedLevel], targets: Tensor, options: AuralSam2Losses
) -> Tensor:
    """Compute the contrastive loss of the pixels of a clip with its audio.

    A pixel of an object must be similar to the audio of frames with an object, and a pixel of the
    background to the audio of frames without one. Pixels are compared with the audio of every frame
    and level. Unlike in the released code, each label belongs to its own pixel, pixels are drawn
    uniformly, and a clip with too many pixels loses a random subset of them.

    Args:
        levels: Unit vectors of each level, from `AuralFuser.project`.
        targets: Ground-truth masks of the T frames, (T, H, W) of 0 and 1.
        options: Temperature and limits.

    Returns:
        Mean over the selected pixels, a scalar.
    """
    side = round(levels[0].image.shape[1] ** 0.5)
    truth = F.interpolate(targets[:, None].float(), (side, side), mode="nearest").flatten(
        1
    )  # (T, P)
    # A small object may vanish on the grid; then the audio has the label of an empty frame.
    frame_labels = truth.amax(dim=1)  # (T,)
    index = _draw_pixels(truth, options.contrast_pixels)
    pixels = torch.cat(
        [level.image[frames, places] for level in levels for frames, places in index]
    )
    labels = torch.cat([truth[frames, places] for _ in levels for frames, places in index])
    if len(labels) > options.contrast_rows:
        kept = torch.randperm(len(labels), device=labels.device)[: options.contrast_rows]
        pixels, labels = pixels[kept], labels[kept]
    audio = torch.cat([level.audio for level in levels])
    audio_labels = frame_labels.repeat(len(levels))
    return info_nce(pixels, labels, audio, audio_labels, options.temperature)


def _draw_pixels(truth: Tensor, limit: int) -> list[tuple[Tensor, Tensor]]:
    """Draw pixels of each class in each frame; return indices of frames and places."""
    drawn = []
    for number, labels in enumerate(truth):
        for label in (0, 1):
            places = (labels == label).nonzero()[:, 0]
            places = places[torch.randperm(len(places), device=places.device)[:limit]]
            drawn.append((torch.full_like(places, number), places))
    return drawn


def info_nce(
    pixels: Tensor, labels: Tensor, audio: Tensor, audio_labels: Tensor, temperature: float
) -> Tensor:
    """Compute the loss of pixels with the audio of their label as the positives.

    The negatives of a pixel are all pixels and audio vectors of the other label. Pixels of its own
    label are neither positives nor negatives.

    Args:
        pixels: Unit vectors, (R, V).
        labels: Label of each pixel, 0 or 1, (R,).
        audio: Unit vectors, (A, V).
        audio_labels: Label of each audio vector, 0 or 1, (A,).
        temperature: Number by which the cosines are divided.

    Returns:
        Mean over all pixels, a scalar; a pixel without a positive counts 0.
    """
    pixels, audio = _at_least_float32(pixels), _at_least_float32(audio)
    # The cosines are divided by a small number, which also enlarges their rounding.
    with torch.autocast(pixels.device.type, enabled=False):
        by_pixel, by_audio = pixels @ pixels.T / temperature, pixels @ audio.T / temperature
    others = torch.cat(
        [
            by_pixel.masked_fill(labels[:, None] == labels, -torch.inf),
            by_audio.masked_fill(labels[:, None] == audio_labels, -torch.inf),
        ],
        dim=1,
    )
    negatives = others.logsumexp(dim=1, keepdim=True)  # (R, 1); -inf without any negative
    positives = by_audio - torch.logaddexp(by_audio, negatives)  # logarithm of the share, (R, A)
    is_positive = labels[:, None] == audio_labels
    count = is_positive.sum(dim=1).clamp(min=1)
    return -(positives.masked_fill(~is_positive, 0.0).sum(dim=1) / count).mean()


def _at_least_float32(values: Tensor) -> Tensor:
    """Convert values of lower precision to float32; float64 is kept."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
