"""Outputs of the models, and the losses on masks that the families share.

First the output classes, then the conversion of a mask decoder's prediction to an output, then the
losses.

B clips, T frames, N = B * T, K masks of a frame, h x w size of the mask logits, H x W size of the
ground truth. The outputs of a model with text prompts have an axis of P prompts instead of (B, T).
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
    """Masks of the sounding objects, or of the objects that text prompts describe.

    Args:
        loss: Training loss, a scalar; None if there are no targets.
        mask_logits: Mask of each frame before the sigmoid, at the model's size, (B, T, h, w).
        iou_predictions: Predicted IoU of each mask, (B, T) in [0, 1].
        object_score_logits: Presence of an object before the sigmoid, (B, T); None if the model has
            no object score.
        memory: Memory bank after these frames, an input of the model for the next frames; None if
            the model has no memory.
    """

    loss: Tensor | None = None
    mask_logits: Tensor | None = None
    iou_predictions: Tensor | None = None
    object_score_logits: Tensor | None = None
    memory: MemoryBank | None = None


@dataclass
class NamedOutput(AvsegOutput):
    """A mask for each name in each frame, and one mask of all sounding objects.

    A prompt is a pair of a frame and a name that fits the audio of the frame. There are P prompts.

    Args:
        mask_logits: Maximum of the logits of all prompts of a frame, (B, T, h, w); far below 0 in a
            frame without a prompt.
        iou_predictions: Maximum of the scores of all prompts of a frame, (B, T) in [0, 1]; 0 in a
            frame without a prompt.
        similarities: Cosine of the audio of each frame with each of C names, (B, T, C).
        frame_index: Index of the frame of each prompt among all B * T frames, (P,) int64.
        name_index: Index of the name of each prompt, (P,) int64.
        named_logits: Mask of each prompt before the sigmoid, (P, h, w).
        named_scores: Predicted IoU of the mask of each prompt, times the presence probability if
            the model has an object score, (P,) in [0, 1].
    """

    similarities: Tensor | None = None
    frame_index: Tensor | None = None
    name_index: Tensor | None = None
    named_logits: Tensor | None = None
    named_scores: Tensor | None = None


@dataclass
class ContrastOutput(ModelOutput):
    """Output of contrastive pre-training for N items and C captions.

    Args:
        loss: Training loss, a scalar.
        logits: Match of each item with each caption, before the sigmoid, (N, C).
    """

    loss: Tensor | None = None
    logits: Tensor | None = None


@dataclass
class ClassOutput(ModelOutput):
    """Output of the pre-training of an image encoder for N images.

    Args:
        loss: Training loss, a scalar.
        logits: Logits of the background and each category, (N, 1 + num_classes, h, h).
    """

    loss: Tensor | None = None
    logits: Tensor | None = None


@dataclass
class TextPromptOutput(ModelOutput):
    """Output of text-prompted pre-training for N images with P prompts.

    Args:
        loss: Training loss, a scalar.
        mask_loss: Loss of the masks, a scalar.
        helper_loss: Loss of the auxiliary heads, which exist in pre-training only, a scalar.
        mask_logits: Best mask of each prompt, before the sigmoid, (N, P, h, w).
    """

    loss: Tensor | None = None
    mask_loss: Tensor | None = None
    helper_loss: Tensor | None = None
    mask_logits: Tensor | None = None


def resize_logits(mask_logits: Tensor, size: tuple[int, ...] | torch.Size) -> Tensor:
    """Resize mask logits bilinearly.

    Args:
        mask_logits: (N, h, w) or (N, K, h, w).
        size: Height and width, in pixels.

    Returns:
        Logits of that size, same leading shape.
    """
    if mask_logits.shape[-2:] == torch.Size(size):
        return mask_logits
    # Bilinear `interpolate` takes four dimensions, one of them for channels.
    maps = mask_logits if mask_logits.dim() == 4 else mask_logits.unsqueeze(1)
    resized = F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)
    return resized if mask_logits.dim() == 4 else resized.squeeze(1)


class DecoderOptions(Protocol):
    """Options of a model's configuration for its mask decoder's prediction and its losses."""

    @property
    def suppress_absent(self) -> bool:
        """Whether a mask is emptied if the object score predicts that no object is present."""
        ...

    @property
    def iou_head_weight(self) -> float:
        """Weight of the loss that trains the predicted IoU."""
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
    """Select the mask of each frame, and compute the loss if there are targets.

    Args:
        prediction: Prediction of the mask decoder for N frames.
        options: Configuration of the model.
        shape: B and T.
        targets: Ground-truth masks, (B, T, H, W) of 0 and 1.
        annotated: True for frames with a ground truth, (B, T) bool; None if all have one.

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


def bce_loss(mask_logits: Tensor, targets: Tensor, boundary_weight: float = 0.0) -> Tensor:
    """Compute the mean binary cross-entropy over the pixels of each frame.

    Args:
        mask_logits: Before the sigmoid, (N, H, W).
        targets: Ground-truth masks, (N, H, W) of 0 and 1.
        boundary_weight: Additional weight of the pixels near the boundary of the ground truth,
            relative to the weight of the others.

    Returns:
        Loss of each frame, (N,).
    """
    losses = F.binary_cross_entropy_with_logits(
        mask_logits, targets.to(mask_logits), reduction="none"
    )
    if not boundary_weight:
        return losses.mean(dim=(-2, -1))
    weights = 1 + boundary_weight * _near_boundary(targets.to(mask_logits))
    return (losses * weights).sum(dim=(-2, -1)) / weights.sum(dim=(-2, -1))


def _near_boundary(targets: Tensor) -> Tensor:
    """Return 1 for pixels with the mask and the background among their 5 x 5 neighbours, else 0."""
    largest = F.max_pool2d(targets.unsqueeze(1), 5, stride=1, padding=2)
    smallest = -F.max_pool2d(-targets.unsqueeze(1), 5, stride=1, padding=2)
    return (largest > smallest)[:, 0].to(targets)


def iou_loss(mask_logits: Tensor, targets: Tensor) -> Tensor:
    """Compute one minus the IoU of probabilities and ground truth (SAMA-AVS, arXiv:2305.11019).

    The intersection is the sum of the products. The union is the sum of both minus the
    intersection. In a silent frame this IoU is 0 for every prediction and has no gradient. So the
    loss of a silent frame uses the IoU of the background, as the evaluation of AVSBench does.

    Args:
        mask_logits: Before the sigmoid, (N, H, W).
        targets: Ground-truth masks, (N, H, W) of 0 and 1.

    Returns:
        Loss of each frame in [0, 1], (N,).
    """
    probs = mask_logits.sigmoid()
    truth = targets.to(probs)
    intersection = (probs * truth).sum(dim=(-2, -1))
    union = (probs + truth - probs * truth).sum(dim=(-2, -1))
    # Both cases are computed for all frames and `where` selects one, which needs no loop over
    # frames.
    is_empty = truth.sum(dim=(-2, -1)) == 0
    # The smallest normal number instead of an epsilon, because it does not bias small masks.
    iou = intersection / union.clamp(min=torch.finfo(probs.dtype).tiny)
    # With an empty ground truth the loss is one minus the IoU of the background, mean(probs).
    return torch.where(is_empty, probs.mean(dim=(-2, -1)), 1 - iou)


def mask_loss(mask_logits: Tensor, targets: Tensor, boundary_weight: float = 0.0) -> Tensor:
    """Compute the loss of AV2T-SAM: cross-entropy plus IoU loss, at the size of the ground truth.

    Args:
        mask_logits: Before the sigmoid, (N, h, w).
        targets: Ground-truth masks, (N, H, W) of 0 and 1.
        boundary_weight: As for `bce_loss`; 0 in the paper.

    Returns:
        Loss of each frame, (N,).
    """
    mask_logits = resize_logits(mask_logits, targets.shape[-2:])
    return bce_loss(mask_logits, targets, boundary_weight) + iou_loss(mask_logits, targets)


def iou_prediction_loss(mask_logits: Tensor, iou_predictions: Tensor, targets: Tensor) -> Tensor:
    """Compute the squared error of the predicted IoU (SAM, arXiv:2304.02643, appendix A).

    Args:
        mask_logits: Before the sigmoid, (N, K, h, w); the loss has no gradient for them.
        iou_predictions: In [0, 1], (N, K).
        targets: Ground-truth masks, (N, H, W) of 0 and 1.

    Returns:
        Loss of each frame, mean over its masks, (N,).
    """
    with torch.no_grad():
        # A logit of 0 is a probability of 0.5.
        masks = resize_logits(mask_logits, targets.shape[-2:]) > 0
        truth = targets.bool().unsqueeze(1)  # (N, 1, H, W)
        intersection = (masks & truth).sum(dim=(-2, -1))
        union = (masks | truth).sum(dim=(-2, -1))
        # An empty mask of a silent frame is correct: its IoU is 1.
        ious = torch.where(union > 0, intersection / union.clamp(min=1), 1.0)
    return (iou_predictions - ious).square().mean(dim=1)


def presence_loss(object_score_logits: Tensor, targets: Tensor) -> Tensor:
    """Compute the cross-entropy of the object score (SAM 2, arXiv:2408.00714, appendix D).

    Args:
        object_score_logits: Before the sigmoid, (N, 1).
        targets: Ground-truth masks, (N, H, W) of 0 and 1.

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
    """Compute the loss of a mask decoder's prediction with one prompt per frame.

    Args:
        prediction: Prediction for N frames; the mask loss trains the mask with the highest
            predicted IoU.
        targets: Ground-truth masks, (B, T, H, W) of 0 and 1.
        annotated: True for frames with a ground truth, (B, T) bool; None if all have one.
        iou_head_weight: Weight of the loss that trains the predicted IoU.
        presence_weight: Weight of the loss that trains the object score, if there is one.

    Returns:
        Mean over the annotated frames, a scalar.
    """
    truth = targets.flatten(0, 1)  # (N, H, W)
    # Training and inference select the mask in the same way, so exactly the used mask is trained.
    losses = mask_loss(prediction.best()[0], truth)  # (N,)
    if iou_head_weight:
        # The IoU head is trained on all K masks, because each mask has an IoU with the ground
        # truth.
        losses = losses + iou_head_weight * iou_prediction_loss(
            prediction.mask_logits, prediction.iou_predictions, truth
        )
    presence = prediction.object_score_logits
    if presence_weight and presence is not None:
        losses = losses + presence_weight * presence_loss(presence, truth)
    return mean_of_annotated(losses, annotated)


def mean_of_annotated(losses: Tensor, annotated: Tensor | None) -> Tensor:
    """Compute the mean over the annotated frames.

    Args:
        losses: Loss of each frame, (N,).
        annotated: True for frames with a ground truth, (B, T) bool; None if all have one.

    Returns:
        The mean, a scalar; 0 if no frame is annotated.
    """
    if annotated is None:
        return losses.mean()
    # Weights instead of indexing: without any annotated frame the loss is 0 and still has a
    # gradient.
    weights = annotated.flatten().to(losses)
    return (losses * weights).sum() / weights.sum().clamp(min=1)
