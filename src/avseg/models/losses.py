"""Losses on masks. Each returns one value per frame, so that frames without truth can be left out.

B clips, T frames, N = B * T, K masks of a frame, h x w size of the logits, H x W size of the truth.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from avseg.backbones.sam import MaskPrediction


def bce_loss(mask_logits: Tensor, targets: Tensor) -> Tensor:
    """Mean binary cross-entropy of each frame's pixels.

    Args:
        mask_logits: Before the sigmoid, (N, H, W).
        targets: True masks, (N, H, W) of 0 and 1.

    Returns:
        Loss of each frame, (N,).
    """
    losses = F.binary_cross_entropy_with_logits(
        mask_logits, targets.to(mask_logits), reduction="none"
    )
    return losses.mean(dim=(-2, -1))


def iou_loss(mask_logits: Tensor, targets: Tensor) -> Tensor:
    """One minus the IoU of probabilities and truth (Liu et al. 2024, arXiv:2305.11019).

    The intersection is the sum of products, the union the sum of both less the intersection. In a
    frame where nothing sounds that IoU is 0 whatever is marked and would teach nothing, so there
    it is the IoU of the unmarked area, as AVSBench measures such frames.

    Args:
        mask_logits: Before the sigmoid, (N, H, W).
        targets: True masks, (N, H, W) of 0 and 1.

    Returns:
        Loss of each frame in [0, 1], (N,).
    """
    probs = mask_logits.sigmoid()
    truth = targets.to(probs)
    intersection = (probs * truth).sum(dim=(-2, -1))
    union = (probs + truth - probs * truth).sum(dim=(-2, -1))
    is_empty = truth.sum(dim=(-2, -1)) == 0
    iou = intersection / union.clamp(min=torch.finfo(probs.dtype).tiny)
    return torch.where(is_empty, probs.mean(dim=(-2, -1)), 1 - iou)


def mask_loss(mask_logits: Tensor, targets: Tensor) -> Tensor:
    """AV2T-SAM's loss: cross-entropy plus IoU loss, at the size of the truth.

    Args:
        mask_logits: Before the sigmoid, (N, h, w).
        targets: True masks, (N, H, W) of 0 and 1.

    Returns:
        Loss of each frame, (N,).
    """
    mask_logits = resize_logits(mask_logits, targets.shape[-2:])
    return bce_loss(mask_logits, targets) + iou_loss(mask_logits, targets)


def iou_prediction_loss(mask_logits: Tensor, iou_predictions: Tensor, targets: Tensor) -> Tensor:
    """Squared error of the predicted IoU of each of K masks (SAM, arXiv:2304.02643, appendix A).

    Args:
        mask_logits: Before the sigmoid, (N, K, h, w); no gradient reaches them.
        iou_predictions: In [0, 1], (N, K).
        targets: True masks, (N, H, W) of 0 and 1.

    Returns:
        Loss of each frame, mean over its masks, (N,).
    """
    with torch.no_grad():
        masks = resize_logits(mask_logits, targets.shape[-2:]) > 0
        truth = targets.bool().unsqueeze(1)  # (N, 1, H, W)
        intersection = (masks & truth).sum(dim=(-2, -1))
        union = (masks | truth).sum(dim=(-2, -1))
        # Marking nothing where nothing sounds is right.
        ious = torch.where(union > 0, intersection / union.clamp(min=1), 1.0)
    return (iou_predictions - ious).square().mean(dim=1)


def presence_loss(object_score_logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of "there is something to mark" (SAM 2, arXiv:2408.00714, appendix D).

    Args:
        object_score_logits: Before the sigmoid, (N, 1).
        targets: True masks, (N, H, W) of 0 and 1.

    Returns:
        Loss of each frame, (N,).
    """
    is_present = targets.flatten(1).any(dim=1).to(object_score_logits)
    return F.binary_cross_entropy_with_logits(
        object_score_logits[:, 0], is_present, reduction="none"
    )


def prediction_loss(
    prediction: MaskPrediction,
    targets: Tensor,
    annotated: Tensor | None,
    *,
    iou_head_weight: float = 0.0,
    presence_weight: float = 0.0,
) -> Tensor:
    """Loss of a mask decoder's answer, one prompt a frame.

    Args:
        prediction: For N frames; of its masks the one with the best predicted IoU learns.
        targets: True masks, (B, T, H, W) of 0 and 1.
        annotated: True for frames whose target counts, (B, T) bool; None counts all.
        iou_head_weight: Of the loss that trains the estimate of each mask's IoU.
        presence_weight: Of the loss that trains the object score, if there is one.

    Returns:
        Mean over the frames that count, a scalar.
    """
    truth = targets.flatten(0, 1)  # (N, H, W)
    losses = mask_loss(prediction.best()[0], truth)  # (N,)
    if iou_head_weight:
        losses = losses + iou_head_weight * iou_prediction_loss(
            prediction.mask_logits, prediction.iou_predictions, truth
        )
    presence = prediction.object_score_logits
    if presence_weight and presence is not None:
        losses = losses + presence_weight * presence_loss(presence, truth)
    return mean_of_annotated(losses, annotated)


def mean_of_annotated(losses: Tensor, annotated: Tensor | None) -> Tensor:
    """Average over the frames whose truth is known.

    Args:
        losses: Of each frame, (N,).
        annotated: True for frames that count, (B, T) bool; None counts all.

    Returns:
        The mean, a scalar; 0 if no frame counts.
    """
    if annotated is None:
        return losses.mean()
    counts = annotated.flatten().to(losses)
    return (losses * counts).sum() / counts.sum().clamp(min=1)


def resize_logits(mask_logits: Tensor, size: tuple[int, ...] | torch.Size) -> Tensor:
    """Resize logits bilinearly.

    Args:
        mask_logits: (N, h, w) or (N, K, h, w).
        size: Height and width, in pixels.

    Returns:
        Logits of that size, same leading shape.
    """
    if mask_logits.shape[-2:] == torch.Size(size):
        return mask_logits
    maps = mask_logits if mask_logits.dim() == 4 else mask_logits.unsqueeze(1)
    resized = F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)
    return resized if mask_logits.dim() == 4 else resized.squeeze(1)
