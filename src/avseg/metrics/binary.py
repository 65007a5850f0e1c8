"""J and F of AVSBench's S4 and MS3 (Zhou et al., ECCV 2022, arXiv:2207.05042), and stricter scores.

The published J of a silent frame is the share of its pixels that is not marked: a model that marks
a tenth of the frame still scores 0.9. The published F ignores silent frames. So a model that marks
objects in silence loses little. J and F are computed here as published, together with scores of
silent frames.

A clip has T frames of H x W pixels; F has K thresholds. A frame is silent if its ground truth is
empty.
"""

from dataclasses import dataclass
from math import fsum
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

#: AVSBench's weight of precision against recall, squared: below 1, precision counts more.
BETA2 = 0.3

#: AVSBench's thresholds. The largest one, 1 - 1e-10, is rounded to 1 in float32, as in its code.
THRESHOLDS = torch.linspace(0, 1 - 1e-10, 255)
_THRESHOLDS = THRESHOLDS.numpy()

#: Upper bound of the rounding errors of `254 * score` and of a threshold together, in units of the
#: distance between two thresholds.
_ROUNDING = np.float32(2**-14)


def f_measure(hits: Tensor, marked: Tensor, true: Tensor, beta2: float = BETA2) -> Tensor:
    """Compute F, the weighted harmonic mean of precision and recall: (1 + b) P R / (b P + R).

    Args:
        hits: Numbers of marked pixels that are in the ground truth, any shape.
        marked: Numbers of marked pixels.
        true: Numbers of ground-truth pixels.
        beta2: The weight b.

    Returns:
        F in [0, 1], float64; 0 if there are no hits.
    """
    # The formula simplified with P = hits / marked and R = hits / true, because P and R alone are
    # 0 / 0 if no pixel is marked or in the ground truth.
    hits, marked, true = hits.double(), marked.double(), true.double()
    return (beta2 * hits + hits) / (beta2 * true + marked).clamp(min=1e-9)


def f_curves(scores: Tensor, targets: Tensor, beta2: float = BETA2) -> Tensor:
    """Compute F of each frame at each of AVSBench's thresholds.

    A pixel is marked at a threshold if its score is equal or larger.

    Args:
        scores: Values that are compared with the thresholds, (T, H, W) float: probabilities, or, in
            some published codes, logits.
        targets: Ground-truth masks, (T, H, W) bool.
        beta2: Weight of precision against recall, squared.

    Returns:
        F in [0, 1], (T, K) float64; 0 in silent frames.
    """
    # Frame by frame in NumPy, with the number of the highest reached threshold of each pixel:
    # comparing each pixel with 255 thresholds in PyTorch would need 255 times the memory of a clip.
    frames = zip(scores.float().cpu().numpy(), targets.cpu().numpy(), strict=True)
    counts = np.zeros((3, len(scores), len(THRESHOLDS)), np.int64)  # hits, marked, true
    levels_of = _Levels(scores.shape[1:])
    for i, (frame, target) in enumerate(frames):
        if target.any():
            counts[:, i] = _count(levels_of(frame), frame, target)
    hits, marked, true = torch.from_numpy(counts)
    return f_measure(hits, marked, true, beta2)


class FScore:
    """AVSBench's F: the best F of each clip over thresholds, then the mean over clips.

    The result does not depend on a batch size. It equals the result of AVSBench's released script
    with a test batch size of one clip; with larger batches, the script uses one threshold per
    batch. Silent frames are ignored; a clip of silent frames scores 0, as in AVSBench.

    Args:
        beta2: Weight of precision against recall, squared; AVSBench's is 0.3.
    """

    def __init__(self, beta2: float = BETA2) -> None:
        self.beta2 = beta2
        self.clip_scores: list[float] = []

    def update(self, mask_probs: Tensor, targets: Tensor) -> None:
        """Add one clip.

        Args:
            mask_probs: Predicted probabilities in [0, 1], (T, H, W) float.
            targets: Ground-truth masks, (T, H, W) bool.

        Raises:
            ValueError: If the shapes differ, the targets are not bool, or the predictions are not
                probabilities.
        """
        check_clip(mask_probs, targets)
        sounding = int(targets.cpu().numpy().any(axis=(1, 2)).sum())
        # A clip of silent frames has a curve of zeros, so its score is 0.
        curve = f_curves(mask_probs, targets, self.beta2).sum(0) / max(sounding, 1)
        self.clip_scores.append(float(curve.max()))

    def merge(self, other: Self) -> None:
        """Add the clips of another process.

        Args:
            other: Scores of the other process, with the same beta2.
        """
        self.clip_scores += other.clip_scores

    def compute(self) -> float:
        """Compute the mean over the clips added so far.

        Returns:
            F in [0, 1].

        Raises:
            ValueError: If no clip was added.
        """
        if not self.clip_scores:
            raise ValueError("no clip was added; call update() for each clip first.")
        return fsum(self.clip_scores) / len(self.clip_scores)  # exact sum in any order


def check_clip(mask_probs: Tensor, targets: Tensor) -> None:
    """Validate the shapes, dtypes and ranges of one clip's probabilities and ground truth.

    Args:
        mask_probs: Probabilities in [0, 1], (T, H, W) float.
        targets: Ground-truth masks, (T, H, W) bool.

    Raises:
        ValueError: If they have other shapes, dtypes or ranges.
    """
    if mask_probs.shape != targets.shape or targets.ndim != 3 or 0 in targets.shape:
        raise ValueError(
            f"mask_probs are {tuple(mask_probs.shape)} and targets {tuple(targets.shape)}; both "
            "must be (T, H, W) of one shape, one clip at a time."
        )
    if targets.dtype != torch.bool:
        raise ValueError(f"targets are {targets.dtype}, they must be torch.bool; use targets > 0.")
    low, high = float(mask_probs.min()), float(mask_probs.max())
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"mask_probs run from {low:.3g} to {high:.3g}, probabilities lie in [0, 1]; apply the "
            "sigmoid to logits first."
        )


def _count(
    levels: NDArray[np.uint8], scores: NDArray[np.float32], target: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Count hits, marked and ground-truth pixels of a frame at each threshold, (3, K)."""
    # One histogram counts pixels inside and outside of the ground truth, which bit 8 distinguishes.
    # That is faster than selecting the pixels inside.
    sides = np.left_shift(target, 8, dtype=np.int16)
    sides |= levels
    histogram = torch.bincount(torch.from_numpy(sides.reshape(-1)), minlength=2 << 8).numpy()
    # The cumulative sum from the highest level down is the number of pixels that reach a threshold.
    reached = histogram.reshape(2, -1)[:, len(THRESHOLDS) - 1 :: -1].cumsum(axis=1)[:, ::-1]
    hits, true = reached[1], np.full(len(THRESHOLDS), reached[1, 0])
    counts = np.stack([hits, reached.sum(axis=0), true])
    if scores.min() < 0:  # level 0 contains negative scores, which do not reach threshold 0
        negative = scores < 0
        counts[:2, 0] -= np.count_nonzero(negative & target), np.count_nonzero(negative)
    return counts


class _Levels:
    """Function from scores to levels: number of the highest threshold reached, 0 if negative.

    Args:
        shape: Shape of a frame, (H, W). Arrays of this shape are reused for all frames, since
            allocating memory would take longer than the arithmetic.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._places = np.empty(shape, np.float32)
        self._levels = np.empty(shape, np.uint8)
        self._upper = np.empty(shape, np.uint8)

    def __call__(self, scores: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Compute the levels of a frame, (H, W); the next call overwrites the same array."""
        top = np.float32(len(THRESHOLDS) - 1)
        places = np.multiply(scores, top, out=self._places)
        if scores.min() < 0 or scores.max() > 1:
            # Clipped half a step outside of the thresholds, too far to be rounded to one of them.
            np.clip(places, np.float32(-0.5), top + np.float32(0.5), out=places)
        # The product and the thresholds have rounding errors. If the error bound can change the
        # level of a pixel, the pixel is compared with the thresholds themselves, which is slower.
        places -= _ROUNDING
        np.copyto(self._levels, places, casting="unsafe")
        places += 2 * _ROUNDING
        np.copyto(self._upper, places, casting="unsafe")
        near = np.flatnonzero(self._levels != self._upper)
        values = scores.reshape(-1)[near]
        self._levels.reshape(-1)[near] = np.searchsorted(_THRESHOLDS, values, side="right") - 1
        return self._levels


#: A silent frame counts as clean if less than this share of its pixels is marked.
CLEAN_AREA = 1e-3


def mask_iou(masks: Tensor, targets: Tensor) -> Tensor:
    """Compute J, the intersection over union, with AVSBench's rule for silent frames.

    A silent frame scores the share of its pixels that is not marked, as in AVSBench's released
    scripts.

    Args:
        masks: Predicted masks, (..., H, W) bool.
        targets: Ground-truth masks, (..., H, W) bool.

    Returns:
        J of each frame in [0, 1], (...) float64.

    Raises:
        ValueError: If the two differ in shape or are not bool.
    """
    _check_masks(masks, targets)
    # This rule is in the code of the paper only: the IoU of the background, which is the whole
    # ground truth of a silent frame.
    clean = 1 - masks.flatten(-2).double().mean(-1)
    return torch.where(_is_silent(targets), clean, _iou(masks, targets))


def strict_mask_iou(masks: Tensor, targets: Tensor) -> Tensor:
    """Compute strict J: the intersection over union, and 0 or 1 for silent frames.

    A silent frame scores 1 if no pixel is marked, and 0 otherwise.

    Args:
        masks: Predicted masks, (..., H, W) bool.
        targets: Ground-truth masks, (..., H, W) bool.

    Returns:
        J of each frame in [0, 1], (...) float64.

    Raises:
        ValueError: If the two differ in shape or are not bool.
    """
    _check_masks(masks, targets)
    untouched = _is_silent(masks).double()
    return torch.where(_is_silent(targets), untouched, _iou(masks, targets))


@dataclass(frozen=True)
class BinaryScores:
    """Scores of predicted masks against the ground truth; all except the counts are in [0, 1].

    Attributes:
        j: Mean J of the frames, with AVSBench's rule for silent frames (`mask_iou`).
        j_sounding: Mean J of the frames that are not silent; None if all are silent.
        j_strict: Mean strict J of the frames (`strict_mask_iou`).
        f: AVSBench's F, with the best threshold of each clip (`FScore`).
        f_at_threshold: Mean F of the frames that are not silent, at the threshold of the masks;
            None if all are silent.
        dataset_iou: IoU over the pixels of all frames together; large objects have more weight.
            None if no pixel is marked and all frames are silent.
        dataset_miou: Mean of `dataset_iou` and the IoU of the background, which some papers
            report as mIoU; not comparable with `j`. None if one of the two is undefined.
        silent_clean: Share of the silent frames in which less than 0.1 % of the pixels are marked;
            None if there are no silent frames. Higher is better.
        false_positive_area: Mean marked share of the silent frames; None if there are no silent
            frames. Lower is better.
        clip_count: Number of clips.
        frame_count: Number of frames.
        silent_count: Number of silent frames.
    """

    j: float
    j_sounding: float | None
    j_strict: float
    f: float
    f_at_threshold: float | None
    dataset_iou: float | None
    dataset_miou: float | None
    silent_clean: float | None
    false_positive_area: float | None
    clip_count: int
    frame_count: int
    silent_count: int


class BinaryMetrics:
    """Accumulator of clips for `BinaryScores`, independent of order, batches and processes.

    J is averaged over frames, as in AVSBench, where all test clips of a subset have equal length.

    Args:
        threshold: Probability above which a pixel is marked; AVSBench's is 0.5.
        beta2: Weight of precision against recall in F, squared; AVSBench's is 0.3.
    """

    def __init__(self, threshold: float = 0.5, beta2: float = BETA2) -> None:
        self.threshold = threshold
        self.beta2 = beta2
        self._f = FScore(beta2)
        self._silent: list[Tensor] = []
        self._j: list[Tensor] = []
        self._j_strict: list[Tensor] = []
        self._f_at_threshold: list[Tensor] = []
        self._marked_area: list[Tensor] = []
        self._confusion = torch.zeros(4, dtype=torch.int64)

    def update(self, mask_probs: Tensor, targets: Tensor) -> None:
        """Add one clip.

        Args:
            mask_probs: Predicted probabilities in [0, 1], (T, H, W) float.
            targets: Ground-truth masks, (T, H, W) bool.

        Raises:
            ValueError: If the shapes differ, the targets are not bool, or the predictions are not
                probabilities.
        """
        self._f.update(mask_probs, targets)
        masks = mask_probs > self.threshold
        hits, marked, true = (
            pixels.flatten(1).sum(1) for pixels in (masks & targets, masks, targets)
        )
        self._silent.append((true == 0).cpu())
        self._j.append(mask_iou(masks, targets).cpu())
        self._j_strict.append(strict_mask_iou(masks, targets).cpu())
        self._f_at_threshold.append(f_measure(hits, marked, true, self.beta2).cpu())
        self._marked_area.append((marked.double() / masks[0].numel()).cpu())
        # Stored as counts, because IoU over all frames is a ratio of sums and not a mean of ratios.
        both, only_masks, only_targets = hits.sum(), (marked - hits).sum(), (true - hits).sum()
        neither = masks.numel() - both - only_masks - only_targets
        self._confusion += torch.stack([both, only_masks, only_targets, neither]).cpu()

    def merge(self, other: Self) -> None:
        """Add the clips of another process, in any order.

        Args:
            other: Metrics of the other process, with the same threshold and beta2.

        Raises:
            ValueError: If these differ.
        """
        if (other.threshold, other.beta2) != (self.threshold, self.beta2):
            raise ValueError(
                f"threshold and beta2 are {self.threshold}, {self.beta2} here and "
                f"{other.threshold}, {other.beta2} there; create both with the same."
            )
        self._f.merge(other._f)
        self._silent += other._silent
        self._j += other._j
        self._j_strict += other._j_strict
        self._f_at_threshold += other._f_at_threshold
        self._marked_area += other._marked_area
        self._confusion += other._confusion

    def compute(self) -> BinaryScores:
        """Compute the scores of all clips added so far.

        Returns:
            The scores.

        Raises:
            ValueError: If no clip was added.
        """
        f = self._f.compute()
        silent = torch.cat(self._silent)
        j = torch.cat(self._j)
        area = torch.cat(self._marked_area)[silent]
        both, only_masks, only_targets, neither = self._confusion.tolist()
        wrong = only_masks + only_targets
        iou = both / (both + wrong) if both + wrong else None
        background = neither / (neither + wrong) if neither + wrong else None
        return BinaryScores(
            j=fsum(j.tolist()) / len(j),
            j_sounding=_mean(j[~silent]),
            j_strict=fsum(torch.cat(self._j_strict).tolist()) / len(j),
            f=f,
            f_at_threshold=_mean(torch.cat(self._f_at_threshold)[~silent]),
            dataset_iou=iou,
            dataset_miou=None if iou is None or background is None else (iou + background) / 2,
            silent_clean=_mean((area < CLEAN_AREA).double()),
            false_positive_area=_mean(area),
            clip_count=len(self._silent),
            frame_count=len(silent),
            silent_count=int(silent.sum()),
        )


def _iou(masks: Tensor, targets: Tensor) -> Tensor:
    shared = (masks & targets).flatten(-2).sum(-1).double()
    # `clamp` avoids 0 / 0 for an empty mask of a silent frame, which callers replace.
    return shared / (masks | targets).flatten(-2).sum(-1).clamp(min=1)


def _is_silent(targets: Tensor) -> Tensor:
    return ~targets.flatten(-2).any(-1)


def _mean(values: Tensor) -> float | None:
    # `fsum` is exact, so the result does not depend on the order of clips and processes.
    return fsum(values.tolist()) / len(values) if len(values) else None


def _check_masks(masks: Tensor, targets: Tensor) -> None:
    if masks.shape != targets.shape or masks.ndim < 2:
        raise ValueError(
            f"masks are {tuple(masks.shape)} and targets {tuple(targets.shape)}; both must be "
            "(..., H, W) of one shape."
        )
    if masks.dtype != torch.bool or targets.dtype != torch.bool:
        raise ValueError(
            f"masks are {masks.dtype} and targets {targets.dtype}, both must be torch.bool; "
            "compare probabilities with a threshold first."
        )
