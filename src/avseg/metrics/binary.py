"""J and F of AVSBench's S4 and MS3 (Zhou et al., ECCV 2022, arXiv:2207.05042), and what they hide.

The published J gives a silent frame the share of its pixels that is left clean, so that marking a
tenth of it still scores 0.9; and F leaves silent frames out. So a model that never hears silence
loses little. Both are given here as published, beside measures that look at silence.

T frames of H x W pixels. A frame is silent if its true mask is empty.
"""

from dataclasses import dataclass
from math import fsum
from typing import Self

import torch
from torch import Tensor

from avseg.metrics.fmeasure import BETA2, FScore, f_measure

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
