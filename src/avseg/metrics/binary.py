"""J and F of AVSBench's S4 and MS3 (Zhou et al., ECCV 2022, arXiv:2207.05042), and what they hide.

The published J gives a silent frame the share of its pixels that is left clean, so that marking a
tenth of it still scores 0.9; and F leaves silent frames out. So a model that never hears silence
loses little. Both are given here as published, beside measures that look at silence.

T frames of H x W pixels. A frame is silent if its true mask is empty.
"""

from dataclasses import dataclass
from math import fsum
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

#: AVSBench's weight of precision against recall, squared.
BETA2 = 0.3

#: AVSBench's thresholds: the largest is 1, since 32-bit floats have nothing between it and 1.
THRESHOLDS = torch.linspace(0, 1 - 1e-10, 255)
_THRESHOLDS = THRESHOLDS.numpy()

#: More than a product with 254 and a threshold can be off together, in steps between thresholds.
_ROUNDING = np.float32(2**-14)


def f_measure(hits: Tensor, marked: Tensor, true: Tensor, beta2: float = BETA2) -> Tensor:
    """Weigh precision against recall: (1 + b) P R / (b P + R).

    Args:
        hits: How many marked pixels are true ones, any shape.
        marked: How many pixels are marked.
        true: How many pixels are true.
        beta2: The weight b.

    Returns:
        F in [0, 1], float64; 0 where nothing is hit.
    """
    # With P = hits / marked and R = hits / true, without the divisions that fail when nothing is
    # marked or true.
    hits, marked, true = hits.double(), marked.double(), true.double()
    return (beta2 * hits + hits) / (beta2 * true + marked).clamp(min=1e-9)


def f_curves(scores: Tensor, targets: Tensor, beta2: float = BETA2) -> Tensor:
    """Measure F of each frame under each of AVSBench's thresholds.

    A pixel is marked under each threshold up to its score.

    Args:
        scores: What is compared with the thresholds, (T, H, W) float: probabilities, or, in some
            published codes, logits.
        targets: True masks, (T, H, W) bool.
        beta2: Weight of precision against recall, squared.

    Returns:
        F in [0, 1], (T, K) float64; 0 in silent frames.
    """
    frames = zip(scores.float().cpu().numpy(), targets.cpu().numpy(), strict=True)
    counts = np.zeros((3, len(scores), len(THRESHOLDS)), np.int64)  # hits, marked, true
    levels_of = _Levels(scores.shape[1:])
    for i, (frame, target) in enumerate(frames):
        if target.any():
            counts[:, i] = _count(levels_of(frame), frame, target)
    hits, marked, true = torch.from_numpy(counts)
    return f_measure(hits, marked, true, beta2)


class FScore:
    """AVSBench's F: in each clip the best F-measure over thresholds, then the mean over clips.

    The clip is the unit, so the result does not depend on the batch size; it equals the released
    AVSBench script at its test batch size of one clip, and at no other. Silent frames do not
    count; a clip of silent frames only scores 0, as in AVSBench.

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
            targets: True masks, (T, H, W) bool.

        Raises:
            ValueError: If the shapes differ, the targets are not bool, or the predictions are no
                probabilities.
        """
        check_clip(mask_probs, targets)
        sounding = int(targets.cpu().numpy().any(axis=(1, 2)).sum())
        curve = f_curves(mask_probs, targets, self.beta2).sum(0) / max(sounding, 1)
        self.clip_scores.append(float(curve.max()))

    def merge(self, other: Self) -> None:
        """Add the clips of another process.

        Args:
            other: What it has gathered, with the same beta2.
        """
        self.clip_scores += other.clip_scores

    def compute(self) -> float:
        """Average the clips added so far.

        Returns:
            F in [0, 1].

        Raises:
            ValueError: If no clip was added.
        """
        if not self.clip_scores:
            raise ValueError("no clip was added; call update() for each clip first.")
        return fsum(self.clip_scores) / len(self.clip_scores)  # exact: the order cannot show


def check_clip(mask_probs: Tensor, targets: Tensor) -> None:
    """Refuse what is not one clip of probabilities with its true masks.

    Args:
        mask_probs: Should be probabilities in [0, 1], (T, H, W) float.
        targets: Should be true masks, (T, H, W) bool.

    Raises:
        ValueError: If they are not.
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
    """Count a frame's hit, marked and true pixels under each threshold, (3, K)."""
    # Pixels outside and inside of the true mask in one pass: choosing the latter costs more.
    sides = np.left_shift(target, 8, dtype=np.int16)
    sides |= levels
    histogram = torch.bincount(torch.from_numpy(sides.reshape(-1)), minlength=2 << 8).numpy()
    reached = histogram.reshape(2, -1)[:, len(THRESHOLDS) - 1 :: -1].cumsum(axis=1)[:, ::-1]
    hits, true = reached[1], np.full(len(THRESHOLDS), reached[1, 0])
    counts = np.stack([hits, reached.sum(axis=0), true])
    if scores.min() < 0:  # the level says that these pixels reach the threshold 0
        negative = scores < 0
        counts[:2, 0] -= np.count_nonzero(negative & target), np.count_nonzero(negative)
    return counts


class _Levels:
    """Numbers the highest threshold that each pixel reaches; a negative score gets 0 too.

    Args:
        shape: Of a frame, (H, W). Its arrays are used again: fresh memory costs more than the
            arithmetic.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._places = np.empty(shape, np.float32)
        self._levels = np.empty(shape, np.uint8)
        self._upper = np.empty(shape, np.uint8)

    def __call__(self, scores: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Number the thresholds of a frame, (H, W); the next call writes to the same array."""
        top = np.float32(len(THRESHOLDS) - 1)
        places = np.multiply(scores, top, out=self._places)
        if scores.min() < 0 or scores.max() > 1:
            # Half a step outside: as far from a threshold as can be.
            np.clip(places, np.float32(-0.5), top + np.float32(0.5), out=places)
        # The product is rounded and so are the thresholds; near one, only a comparison can tell.
        places -= _ROUNDING
        np.copyto(self._levels, places, casting="unsafe")
        places += 2 * _ROUNDING
        np.copyto(self._upper, places, casting="unsafe")
        near = np.flatnonzero(self._levels != self._upper)
        values = scores.reshape(-1)[near]
        self._levels.reshape(-1)[near] = np.searchsorted(_THRESHOLDS, values, side="right") - 1
        return self._levels


#: A silent frame is clean if less than this share of its pixels is marked.
CLEAN_AREA = 1e-3


def mask_iou(masks: Tensor, targets: Tensor) -> Tensor:
    """Measure J, the shared pixels over the marked pixels, under AVSBench's rule for silence.

    A silent frame scores the share of its pixels that is not marked, as in AVSBench's released
    scripts.

    Args:
        masks: Predicted masks, (..., H, W) bool.
        targets: True masks, (..., H, W) bool.

    Returns:
        J of each frame in [0, 1], (...) float64.

    Raises:
        ValueError: If the two differ in shape or are not bool.
    """
    _check_masks(masks, targets)
    clean = 1 - masks.flatten(-2).double().mean(-1)
    return torch.where(_is_silent(targets), clean, _iou(masks, targets))


def strict_mask_iou(masks: Tensor, targets: Tensor) -> Tensor:
    """Measure J, the shared pixels over the marked pixels; silence has to be left untouched.

    A silent frame scores 1 if nothing is marked and 0 if one pixel is.

    Args:
        masks: Predicted masks, (..., H, W) bool.
        targets: True masks, (..., H, W) bool.

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
    """How well masks agree with the true ones; all but the counts in [0, 1].

    Attributes:
        j: Mean J of the frames, silent ones by AVSBench's rule (`mask_iou`); higher is better.
        j_sounding: Mean J of the frames that are not silent; None if all are.
        j_strict: Mean J of the frames, silent ones all or nothing (`strict_mask_iou`).
        f: AVSBench's F, each clip at its own best threshold (`FScore`).
        f_at_threshold: Mean F-measure of the frames that are not silent, at the threshold of the
            masks; None if all are silent.
        dataset_iou: Shared pixels over marked pixels of all frames together; large objects weigh
            more. None if nothing is marked and all frames are silent.
        dataset_miou: The mean of `dataset_iou` and the same for the background, which some papers
            report as mIoU; not comparable with `j`.
        silent_clean: Share of the silent frames in which less than 0.1 % of the pixels are marked;
            None if there are none. Higher is better.
        false_positive_area: Mean marked share of the silent frames; None if there are none. Lower
            is better.
        clip_count: How many clips were added.
        frame_count: How many frames they have.
        silent_count: How many of these are silent.
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
    """Gathers clips and scores them together; neither order nor batches nor processes matter.

    Frames are the unit of J, as in AVSBench, where all test clips of a subset are equally long.

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
            targets: True masks, (T, H, W) bool.

        Raises:
            ValueError: If the shapes differ, the targets are not bool, or the predictions are no
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
        both, only_masks, only_targets = hits.sum(), (marked - hits).sum(), (true - hits).sum()
        neither = masks.numel() - both - only_masks - only_targets
        self._confusion += torch.stack([both, only_masks, only_targets, neither]).cpu()

    def merge(self, other: Self) -> None:
        """Add the clips of another process; it does not matter which process has which.

        Args:
            other: What it has gathered, with the same threshold and beta2.

        Raises:
            ValueError: If these differ.
        """
        if (other.threshold, other.beta2) != (self.threshold, self.beta2):
            raise ValueError(
                f"threshold and beta2 are {self.threshold}, {self.beta2} here and "
                f"{other.threshold}, {other.beta2} there; make both alike."
            )
        self._f.merge(other._f)
        self._silent += other._silent
        self._j += other._j
        self._j_strict += other._j_strict
        self._f_at_threshold += other._f_at_threshold
        self._marked_area += other._marked_area
        self._confusion += other._confusion

    def compute(self) -> BinaryScores:
        """Score all clips added so far.

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
    return shared / (masks | targets).flatten(-2).sum(-1).clamp(min=1)


def _is_silent(targets: Tensor) -> Tensor:
    return ~targets.flatten(-2).any(-1)


def _mean(values: Tensor) -> float | None:
    # Summed exactly, so that the order cannot show.
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
