"""What TAViS learns from (arXiv:2506.11436): masks, and the text of their classes.

N frames, Q queries, C names with the background first, W width of the text tower, H x W size of
masks and truth.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from avseg.models.outputs import bce_loss
from avseg.models.tavis.configuration import TavisConfig
from avseg.models.tavis.matching import Matches

#: Keeps the IoU of two empty masks finite, as in the released code.
_EPSILON = 1e-6


def soft_iou_loss(mask_logits: Tensor, targets: Tensor) -> Tensor:
    """One minus the IoU of probabilities and truth, as the released code computes it.

    Unlike `avseg.models.outputs.iou_loss` it is 1 where there is nothing to mark.

    Args:
        mask_logits: Before the sigmoid, (N, H, W).
        targets: True masks, (N, H, W) of 0 and 1.

    Returns:
        Loss of each mask in [0, 1], (N,).
    """
    probs = mask_logits.sigmoid()
    truth = targets.to(probs)
    shared = (probs * truth).sum(dim=(-2, -1))
    total = (probs + truth).sum(dim=(-2, -1)) - shared
    return 1 - shared / (total + _EPSILON)


def alignment_loss(class_logits: Tensor, classes: Tensor, background_weight: float) -> Tensor:
    """Cross-entropy of each query's class, the background counting less: L_a2t and L_i2t.

    Args:
        class_logits: Similarity with each name, (N, Q, C).
        classes: Class of each query, (N, Q) int64.
        background_weight: Weight of class 0; the others have 1.

    Returns:
        Weighted mean, a scalar.
    """
    weight = torch.ones_like(class_logits[0, 0])
    weight[0] = background_weight
    return F.cross_entropy(class_logits.flatten(0, 1), classes.flatten(), weight)


def pseudo_text_loss(pseudo_text: Tensor, name_states: Tensor, classes: Tensor) -> Tensor:
    """Squared distance of each object's pseudo text from the text of its class: L_a2pt.

    Args:
        pseudo_text: Of each query, (N, Q, W).
        name_states: State of the text tower at the end of each name's text, (C, W).
        classes: Class of each query, (N, Q) int64.

    Returns:
        Mean, a scalar.
    """
    return F.mse_loss(pseudo_text, name_states[classes])


def separate_loss(mask_logits: Tensor, labels: Tensor, matches: Matches) -> Tensor:
    """Cross-entropy plus IoU loss of the masks that have a class: L_sep.

    Args:
        mask_logits: Of each query, at the size of the truth, (N, Q, H, W).
        labels: Class of every pixel, (N, H, W) integer.
        matches: The pairs, at least one.

    Returns:
        Mean over the pairs, a scalar.
    """
    logits, truth = mask_logits[matches.frames, matches.queries], matches.masks(labels)
    return (bce_loss(logits, truth) + soft_iou_loss(logits, truth)).mean()


def binary_loss(mask_logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy plus IoU loss of the mask of all that sounds: L_binary.

    Args:
        mask_logits: At the size of the truth, (N, H, W).
        labels: Class of every pixel, (N, H, W) integer.

    Returns:
        Mean over the frames, a scalar.
    """
    truth = labels > 0
    return (bce_loss(mask_logits, truth) + soft_iou_loss(mask_logits, truth)).mean()


def total_loss(parts: dict[str, Tensor], pairs: int, config: TavisConfig) -> Tensor:
    """Add the losses up with their weights.

    Args:
        parts: "binary" always; "a2t", "i2t", "separate" if there are pairs, and "a2pt" if there
            is pseudo text too.
        pairs: How many pairs there are.
        config: The weights.

    Returns:
        The loss, a scalar.
    """
    shared = max(pairs, 1) if config.divide_by_pairs else 1
    weights = {
        "a2t": config.a2t_weight / shared,
        "i2t": config.i2t_weight / shared,
        "a2pt": config.a2pt_weight,
        "separate": config.separate_weight,
        "binary": config.binary_weight,
    }
    return torch.stack([weights[name] * part for name, part in parts.items()]).sum()
