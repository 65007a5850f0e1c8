"""Training losses of TAViS (arXiv:2506.11436): masks, and alignment with the text of classes.

N frames, Q queries, K = Q + 1 masks, C names with the background first, W width of the text tower,
h x w size of the mask logits, H x W size of the ground truth.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from avseg.models.outputs import bce_loss, resize_logits
from avseg.models.tavis.configuration import TavisLosses
from avseg.models.tavis.matching import Matches, match

#: Avoids a division by zero for two empty masks; the value of the released code.
_EPSILON = 1e-6


def compute_losses(
    mask_logits: Tensor,
    class_logits: tuple[Tensor, Tensor],
    pseudo_text: Tensor | None,
    name_states: Tensor,
    labels: Tensor,
    options: TavisLosses,
) -> tuple[dict[str, Tensor], int]:
    """Match queries with classes and compute each loss, without its weight.

    Args:
        mask_logits: Mask of each query, then of all sounding objects, (N, K, h, w).
        class_logits: Similarity of each query with each name, by its audio and by its masked
            image, (N, Q, C) each.
        pseudo_text: Pseudo text of each query, (N, Q, W); None if the model has no pseudo text.
        name_states: State of the text tower at the end of each name, (C, W).
        labels: Index of the name of every pixel, (N, H, W) integer.
        options: Number of points for matching, and weight of the background.

    Returns:
        The losses by name, as `total_loss` takes them, and the number of matched pairs.
    """
    # Under autocast the logits have half precision, in which sums over pixels are too inexact.
    exact = torch.promote_types(mask_logits.dtype, torch.float32)
    logits = resize_logits(mask_logits.to(exact), labels.shape[-2:])
    queries = logits[:, :-1]
    # Random points instead of all pixels, as in Mask2Former (arXiv:2112.01527): less memory.
    points = torch.rand(
        len(logits), options.match_points, 2, device=logits.device, dtype=logits.dtype
    )
    audio_logits, image_logits = class_logits
    matches = match(queries, audio_logits.softmax(-1), image_logits.softmax(-1), labels, points)
    losses = {"binary": binary_loss(logits[:, -1], labels)}
    # Without matched pairs (all frames are silent) the losses on single queries are skipped, as in
    # the released code.
    if not len(matches):
        return losses, 0
    classes = matches.class_of_each_query(queries.shape[:2])
    losses["a2t"] = alignment_loss(audio_logits, classes, options.background_weight)
    losses["i2t"] = alignment_loss(image_logits, classes, options.background_weight)
    losses["separate"] = separate_loss(queries, labels, matches)
    if pseudo_text is not None:
        losses["a2pt"] = pseudo_text_loss(pseudo_text, name_states, classes)
    return losses, len(matches)


def total_loss(losses: dict[str, Tensor], pairs: int, options: TavisLosses) -> Tensor:
    """Compute the weighted sum of the losses.

    Args:
        losses: "binary"; if there are matched pairs also "a2t", "i2t" and "separate", and with
            pseudo text also "a2pt".
        pairs: Number of matched pairs.
        options: The weights.

    Returns:
        The loss, a scalar.
    """
    # The released code divides these means by the number of pairs once more; this reproduces it.
    divisor = max(pairs, 1) if options.divide_by_pairs else 1
    weights = {
        "a2t": options.a2t_weight / divisor,
        "i2t": options.i2t_weight / divisor,
        "a2pt": options.a2pt_weight,
        "separate": options.separate_weight,
        "binary": options.binary_weight,
    }
    return torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()


def soft_iou_loss(mask_logits: Tensor, targets: Tensor) -> Tensor:
    """Compute one minus the IoU of probabilities and ground truth, as the released code does.

    Unlike `avseg.models.outputs.iou_loss` it is 1 if the ground truth is empty.

    Args:
        mask_logits: Before the sigmoid, (N, H, W).
        targets: Ground-truth masks, (N, H, W) of 0 and 1.

    Returns:
        Loss of each mask in [0, 1], (N,).
    """
    probs = mask_logits.sigmoid()
    truth = targets.to(probs)
    intersection = (probs * truth).sum(dim=(-2, -1))
    union = (probs + truth).sum(dim=(-2, -1)) - intersection
    return 1 - intersection / (union + _EPSILON)


def alignment_loss(class_logits: Tensor, classes: Tensor, background_weight: float) -> Tensor:
    """Compute the class-weighted cross-entropy of the queries: L_a2t and L_i2t.

    Args:
        class_logits: Similarity with each name, (N, Q, C).
        classes: Class of each query, (N, Q) int64.
        background_weight: Weight of class 0; the others have 1.

    Returns:
        Weighted mean, a scalar.
    """
    # Most queries have the background as their class and would dominate an unweighted loss.
    weight = torch.ones_like(class_logits[0, 0])
    weight[0] = background_weight
    return F.cross_entropy(class_logits.flatten(0, 1), classes.flatten(), weight)


def pseudo_text_loss(pseudo_text: Tensor, name_states: Tensor, classes: Tensor) -> Tensor:
    """Compute the squared distance of pseudo text from the text of its class: L_a2pt.

    Args:
        pseudo_text: Pseudo text of each query, (N, Q, W).
        name_states: State of the text tower at the end of each name, (C, W).
        classes: Class of each query, (N, Q) int64.

    Returns:
        Mean, a scalar.
    """
    return F.mse_loss(pseudo_text, name_states[classes])


def separate_loss(mask_logits: Tensor, labels: Tensor, matches: Matches) -> Tensor:
    """Compute cross-entropy plus IoU loss of the matched masks: L_sep.

    Args:
        mask_logits: Mask of each query, at the size of the ground truth, (N, Q, H, W).
        labels: Class of every pixel, (N, H, W) integer.
        matches: The pairs, at least one.

    Returns:
        Mean over the pairs, a scalar.
    """
    logits, truth = mask_logits[matches.frames, matches.queries], matches.masks(labels)
    return (bce_loss(logits, truth) + soft_iou_loss(logits, truth)).mean()


def binary_loss(mask_logits: Tensor, labels: Tensor) -> Tensor:
    """Compute cross-entropy plus IoU loss of the mask of all sounding objects: L_binary.

    Args:
        mask_logits: At the size of the ground truth, (N, H, W).
        labels: Class of every pixel, (N, H, W) integer.

    Returns:
        Mean over the frames, a scalar.
    """
    truth = labels > 0
    return (bce_loss(mask_logits, truth) + soft_iou_loss(mask_logits, truth)).mean()
