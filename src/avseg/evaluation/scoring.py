"""One clip's masks against its true ones, and against what it marks under another sound.

T frames of H x W pixels, those of a clip that are annotated; h x w size of the logits, K classes.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avseg.evaluation.scores import ClipScores, SoundScores
from avseg.metrics.binary import CLEAN_AREA, BinaryMetrics, BinaryScores, mask_iou, strict_mask_iou
from avseg.models.losses import resize_logits


def score_clip(
    clip_id: str, categories: Sequence[str], probs: Tensor, truth: Tensor, threshold: float
) -> ClipScores:
    """Score a clip under its own sound.

    Args:
        clip_id: Name of the clip.
        categories: What sounds in the picture, as far as that is known.
        probs: Predicted probabilities, (T, H, W).
        truth: True masks, (T, H, W) bool.
        threshold: Probability above which a pixel is marked.

    Returns:
        The scores, those under other sounds still missing.
    """
    scores = _score(probs, truth, threshold)
    return ClipScores(
        clip_id=clip_id,
        categories=tuple(categories),
        j=scores.j,
        j_sounding=scores.j_sounding,
        j_strict=scores.j_strict,
        f=scores.f,
        f_at_threshold=scores.f_at_threshold,
        dataset_iou=scores.dataset_iou,
        silent_clean=scores.silent_clean,
        false_positive_area=scores.false_positive_area,
        frames=scores.frame_count,
        silent_frames=scores.silent_count,
        union_pixels=int(((probs > threshold) | truth).sum()),
        sounds={},
    )


def score_sound(
    own: Tensor, probs: Tensor, own_truth: Tensor, truth: NDArray[np.bool_] | None, threshold: float
) -> SoundScores:
    """Score a clip under a sound that is not its own.

    Args:
        own: Probabilities under its own sound, (T, H, W).
        probs: Probabilities under the other sound, (T, H, W).
        own_truth: What its own sound marks, (T, H, W) bool.
        truth: What the other sound marks, (T, H, W) bool; None if nobody knows.
        threshold: Probability above which a pixel is marked.

    Returns:
        The scores.
    """
    own_masks, masks = own > threshold, probs > threshold
    area = masks.flatten(1).double().mean(1)
    against_own = _score(probs, own_truth, threshold)
    then = None if truth is None else torch.from_numpy(truth)
    no_longer = None if then is None else own_truth & ~then
    return SoundScores(
        marked_frames=float((area >= CLEAN_AREA).double().mean()),
        marked_area=float(area.mean()),
        j_then=None if then is None else float(strict_mask_iou(masks, then).mean()),
        j_own_sounding=against_own.j_sounding,
        f_own_sounding=against_own.f_at_threshold,
        still_marked=None if no_longer is None else _mean_share(masks, no_longer),
        unmoved=_mean_overlap(own_masks, masks),
    )


def class_map(class_logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Choose the class of each pixel.

    Args:
        class_logits: Of K classes, number 0 the background, (T, K, h, w).
        size: H and W.

    Returns:
        Class numbers, (T, H, W) int64.
    """
    # A frame at a time: the logits of all classes at the frames' own size are large.
    frames = [resize_logits(frame, size).argmax(0) for frame in class_logits]
    return torch.stack(frames)


def _score(probs: Tensor, truth: Tensor, threshold: float) -> BinaryScores:
    metrics = BinaryMetrics(threshold)
    metrics.update(probs, truth)
    return metrics.compute()


def _mean_share(masks: Tensor, of: Tensor) -> float | None:
    """Average the marked share of some pixels over the frames that have any."""
    there = of.flatten(1).any(1)
    if not there.any():
        return None
    shares = (masks & of).flatten(1).sum(1)[there] / of.flatten(1).sum(1)[there]
    return float(shares.mean())


def _mean_overlap(own: Tensor, other: Tensor) -> float | None:
    """Average the IoU of two masks over the frames where the first marks something."""
    marks = own.flatten(1).any(1)
    return float(mask_iou(other[marks], own[marks]).mean()) if marks.any() else None
