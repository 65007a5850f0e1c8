"""What every model of the package returns.

B clips, T frames, h x w size of the mask logits. A model prompted by texts has P prompts in the
place of (B, T).
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.utils.generic import ModelOutput

from avseg.backbones.sam import MaskPrediction
from avseg.backbones.sam2_memory import MemoryBank


@dataclass
class AvsegOutput(ModelOutput):
    """Masks of the sounding objects in every frame, or of what texts name.

    Args:
        loss: Training loss, a scalar; None without targets.
        mask_logits: Mask of each frame before the sigmoid, at the model's size, (B, T, h, w).
        iou_predictions: The model's own estimate of each mask's IoU, (B, T) in [0, 1].
        object_score_logits: Whether there is anything to mark, before the sigmoid, (B, T); None of
            a model that does not say.
        memory: What the model remembers of these frames, to be given to it with those that
            follow; None of a model that takes every frame by itself.
    """

    loss: Tensor | None = None
    mask_logits: Tensor | None = None
    iou_predictions: Tensor | None = None
    object_score_logits: Tensor | None = None
    memory: MemoryBank | None = None


@dataclass
class NamedOutput(AvsegOutput):
    """Masks of the sounding objects by their names, and of all together.

    A prompt is a pair of a frame and a name that fits its sound; there are P.

    Args:
        mask_logits: Largest logit of a frame's prompts, (B, T, h, w); far below 0 without any.
        iou_predictions: Best score of a frame's prompts, (B, T) in [0, 1]; 0 without any.
        similarities: Cosine of each frame's sound with each of C names, (B, T, C).
        frame_index: Frame of each prompt, (P,) int64, counted through all clips.
        name_index: Name of each prompt, (P,) int64.
        named_logits: Mask of each prompt before the sigmoid, (P, h, w).
        named_scores: Predicted IoU of each prompt's mask times the probability that what it names
            is there, if the model says, (P,) in [0, 1].
    """

    similarities: Tensor | None = None
    frame_index: Tensor | None = None
    name_index: Tensor | None = None
    named_logits: Tensor | None = None
    named_scores: Tensor | None = None


@dataclass
class ContrastOutput(ModelOutput):
    """What contrastive pre-training returns for N items and C captions.

    Args:
        loss: Training loss, a scalar.
        logits: How true each caption is of each item, before the sigmoid, (N, C).
    """

    loss: Tensor | None = None
    logits: Tensor | None = None


@dataclass
class ClassOutput(ModelOutput):
    """What the pre-training of an image encoder returns for N pictures.

    Args:
        loss: Training loss, a scalar.
        logits: Of the background and each category, (N, 1 + num_classes, h, h).
    """

    loss: Tensor | None = None
    logits: Tensor | None = None


@dataclass
class TextPromptOutput(ModelOutput):
    """What text-prompted pre-training returns for N pictures with P prompts.

    Args:
        loss: Training loss, a scalar.
        mask_loss: Its part for the masks, a scalar.
        helper_loss: Its part for the helping heads, a scalar.
        mask_logits: Best mask of each prompt, before the sigmoid, (N, P, h, w).
    """

    loss: Tensor | None = None
    mask_loss: Tensor | None = None
    helper_loss: Tensor | None = None
    mask_logits: Tensor | None = None


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


class DecoderOptions(Protocol):
    """What a model's configuration says of how its decoder's answer is read and trained."""

    @property
    def suppress_absent(self) -> bool:
        """Whether there is no mask where the object score says that there is nothing."""
        ...

    @property
    def iou_head_weight(self) -> float:
        """Weight of the loss that trains the estimate of each mask's IoU."""
        ...

    @property
    def presence_weight(self) -> float:
        """Weight of the loss that trains the object score."""
        ...


def build_output(
    prediction: MaskPrediction,
    options: DecoderOptions,
    shape: tuple[int, int],
    targets: Tensor | None,
    annotated: Tensor | None,
) -> AvsegOutput:
    """Choose each frame's mask, and compute the loss if there is a truth.

    Args:
        prediction: The decoder's answer for N frames.
        options: The model's configuration.
        shape: B and T.
        targets: True masks, (B, T, H, W) of 0 and 1.
        annotated: True for frames whose target counts, (B, T) bool; None counts all.

    Returns:
        The masks, and the loss if there are targets.
    """
    logits, ious = prediction.best(options.suppress_absent)  # (N, h, w), (N,)
    presence = prediction.object_score_logits  # (N, 1)
    loss = None
    if targets is not None:
        loss = prediction_loss(
            prediction,
            targets,
            annotated,
            iou_head_weight=options.iou_head_weight,
            presence_weight=options.presence_weight,
        )
    return AvsegOutput(
        loss=loss,
        mask_logits=logits.unflatten(0, shape),
        iou_predictions=ious.unflatten(0, shape),
        object_score_logits=None if presence is None else presence.view(shape),
    )
