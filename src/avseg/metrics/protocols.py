"""Scores of the same masks by several published protocols, and joint scores of robustness tests.

The codes of the papers differ in thresholds, sizes and batches (see `protocol_table`). The same
masks, scored by all of them, show how far apart the figures in the papers are for this reason.

The robustness scores are G-mIoU, G-F, G-FPR and vision bias. AVSBench-Robust (Li et al., 2025,
arXiv:2502.00358) tests each clip with its original audio and under negative conditions: silence,
noise and an off-screen sound. It keeps the ground truth of the original audio, so that under a
negative condition a low score is good, and adds the false-positive rate, the marked share of the
frame. Its G-mIoU, G-F and G-FPR combine the conditions, but neither its released code nor its
README states how. THE FORMULAS OF THE G-MEASURES HERE ARE OURS; do not print them beside those of
the paper.

A clip has T frames; predicted masks have h x w pixels, ground truth H x W. F has K thresholds.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from avseg.metrics.binary import f_curves, f_measure
from avseg.metrics.protocol_table import PROTOCOLS, Protocol, Scores

#: Size at which masks are scored, and how the ground truth is resized: `side` and `truth_grows`.
_View = tuple[int | None, bool]


@dataclass(frozen=True, eq=False)
class _Clip:
    """Pixel counts and F curves of one clip, from which every protocol computes its scores.

    Attributes:
        category: Sounding category.
        counts: Numbers of correctly marked, marked, ground-truth and all pixels in each frame,
            (4, T) int64, by view and threshold.
        curves: Sum of the F curves of the frames that are not silent, (K,), and the number of these
            frames, by view and kind of scores that F thresholds.
    """

    category: str | None
    counts: dict[tuple[_View, float], Tensor]
    curves: dict[tuple[_View, Scores], tuple[Tensor, int]]


class ProtocolScores:
    """Scores of the same masks by several protocols at once.

    Protocols with batches depend on the order of the clips. Clips are sorted by their numbers in
    the data set, so that the scores do not depend on the order of the calls or on the number of
    processes. Each process calls `update` for its share; one process then calls `merge` for each
    of the others.

    Args:
        names: Names of protocols, see `PROTOCOLS`; None for all.

    Raises:
        ValueError: If there is no protocol of a name.
    """

    def __init__(self, names: Sequence[str] | None = None) -> None:
        self.names = tuple(PROTOCOLS if names is None else names)
        check_protocols(self.names)
        self._clips: dict[int, _Clip] = {}

    def update(
        self,
        mask_logits: Tensor,
        targets: Tensor,
        category: str | None = None,
        index: int | None = None,
    ) -> None:
        """Add one clip.

        Args:
            mask_logits: Mask logits at any resolution, (T, h, w) float.
            targets: Ground-truth masks, (T, H, W) bool.
            category: Sounding category, if the data set lists it.
            index: Number of the clip in the data set; None for the next number.

        Raises:
            ValueError: If the shapes do not match, the targets are not bool, a logit is NaN, or a
                clip of this number was added before.
        """
        _check_clip(mask_logits, targets)
        index = max(self._clips, default=-1) + 1 if index is None else index
        self._check_new({index})
        self._clips[index] = self._count_clip(mask_logits.float().cpu(), targets.cpu(), category)

    def merge(self, other: Self) -> None:
        """Add the clips of another process.

        Args:
            other: Scores of the other process, with the same protocols.

        Raises:
            ValueError: If the protocols differ, or a clip of the same number is in both.
        """
        if other.names != self.names:
            raise ValueError(
                f"protocols are {', '.join(self.names)} here and {', '.join(other.names)} there; "
                "create both with the same names."
            )
        self._check_new(set(other._clips))
        self._clips.update(other._clips)

    def compute(self) -> dict[str, dict[str, float]]:
        """Compute the scores of all clips added so far.

        Returns:
            "j" and "f" in [0, 1] by protocol.

        Raises:
            ValueError: If no clip was added.
        """
        return self._compute(self._ordered())

    def by_category(self) -> dict[str, dict[str, dict[str, float]]]:
        """Compute the scores of each category, over its clips alone.

        Returns:
            "j" and "f" by category, then protocol; empty if the data set lists no categories.

        Raises:
            ValueError: If no clip was added.
        """
        groups: dict[str, list[_Clip]] = {}
        for clip in self._ordered():
            if clip.category is not None:
                groups.setdefault(clip.category, []).append(clip)
        return {name: self._compute(groups[name]) for name in sorted(groups)}

    def _count_clip(self, mask_logits: Tensor, targets: Tensor, category: str | None) -> _Clip:
        clip = _Clip(category, {}, {})
        protocols = [PROTOCOLS[name] for name in self.names]
        # Many protocols share a size and a threshold, so each is resized and counted once.
        for view in {_view(protocol) for protocol in protocols}:
            logits, truth = _resize(mask_logits, targets, view)
            probs = logits.sigmoid()
            rows = [protocol for protocol in protocols if _view(protocol) == view]
            for threshold in {row.threshold for row in rows}:
                clip.counts[view, threshold] = _count(probs > threshold, truth)
            for kind in {row.f_scores for row in rows if row.f_is_swept and not row.is_pooled}:
                clip.curves[view, kind] = _sum_curves(_scores(logits, probs, kind), truth)
        return clip

    def _ordered(self) -> list[_Clip]:
        if not self._clips:
            raise ValueError("no clip was added; call update() for each clip first.")
        return [self._clips[index] for index in sorted(self._clips)]

    def _compute(self, clips: list[_Clip]) -> dict[str, dict[str, float]]:
        return {name: _score(PROTOCOLS[name], clips) for name in self.names}

    def _check_new(self, indices: set[int]) -> None:
        twice = sorted(indices & self._clips.keys())
        if twice:
            raise ValueError(
                f"clip {twice[0]} was added before ({len(twice)} of {len(indices)} were); give "
                "each clip its number in the data set, and each to one process only."
            )


def check_protocols(names: Sequence[str]) -> None:
    """Validate names of protocols.

    Args:
        names: The names.

    Raises:
        ValueError: If the list is empty, or there is no protocol of a name.
    """
    unknown = [repr(name) for name in names if name not in PROTOCOLS]
    if unknown or not names:
        raise ValueError(
            f"there is no protocol {', '.join(unknown) or 'without a name'}; "
            f"choose from {', '.join(PROTOCOLS)}."
        )


def spread(scores: Iterable[dict[str, float]]) -> dict[str, float]:
    """Compute the range of scores over protocols.

    Args:
        scores: "j" and "f" of each protocol.

    Returns:
        Largest minus smallest "j" and "f".
    """
    rows = list(scores)
    return {key: max(r[key] for r in rows) - min(r[key] for r in rows) for key in ("j", "f")}


def global_score(positive: float, negatives: Mapping[str, float]) -> float:
    """Compute the joint score over the original audio and the negative conditions.

    It is called G-mIoU for scores of J, and G-F for scores of F: the harmonic mean of the score
    with the original audio and of one minus the mean score under the negative conditions. A model
    scores 1 if its masks are perfect, and empty without the sound. A model that ignores the audio
    has the same score p under all conditions, so its joint score is 2 p (1 - p), at most 0.5.

    The scores must be means over frames in which a visible object sounds. In a silent frame, an
    empty mask scores high under a negative condition too, although nothing is marked.

    Args:
        positive: Score with the original audio, in [0, 1].
        negatives: Score against the same ground truth under each negative condition, by its name.

    Returns:
        The joint score in [0, 1].

    Raises:
        ValueError: If there is no negative condition, or a score is out of its range.
    """
    _check_scores({"true": positive, **negatives})
    emptied = 1 - _mean_negative(negatives)
    # The harmonic mean of 0 and 0 is 0.
    return 2 * positive * emptied / (positive + emptied) if positive + emptied else 0.0


def global_false_positive_rate(rates: Mapping[str, float]) -> float:
    """Compute G-FPR: the mean marked share of the frames under negative conditions.

    Args:
        rates: Mean marked share of a frame under each negative condition, by its name.

    Returns:
        The mean over the conditions in [0, 1]; lower is better.

    Raises:
        ValueError: If there is no negative condition, or a rate is out of its range.
    """
    _check_scores(rates)
    return _mean_negative(rates)


def vision_bias(positive: float, negative: float) -> float | None:
    """Compute the share of a score that remains without the audio.

    Args:
        positive: Score with the original audio, in [0, 1].
        negative: Score against the same ground truth with the audio muted.

    Returns:
        Their ratio: 0 if nothing is marked without the audio, 1 if the audio makes no difference;
        None if the score with the original audio is 0.

    Raises:
        ValueError: If a score is out of its range.
    """
    _check_scores({"true": positive, "negative": negative})
    return negative / positive if positive else None


def _score(protocol: Protocol, clips: list[_Clip]) -> dict[str, float]:
    counts = [clip.counts[_view(protocol), protocol.threshold] for clip in clips]
    if protocol.is_pooled:
        return _score_pooled(torch.cat(counts, 1).sum(1))
    # The published scripts average over batches, and F has one threshold per batch.
    size = protocol.clips_per_batch or len(clips)
    starts = range(0, len(clips), size)
    batches = [torch.cat(counts[i : i + size], 1) for i in starts]
    # All batches have equal weight, also a smaller last one, as in the published scripts.
    j = _mean([float(_frame_j(batch, protocol.silence_is_strict).mean()) for batch in batches])
    if not protocol.f_is_swept:
        return {"j": j, "f": _mean([_f_at_threshold(batch) for batch in batches])}
    curves = [clip.curves[_view(protocol), protocol.f_scores] for clip in clips]
    return {"j": j, "f": _mean([_best_f(curves[i : i + size]) for i in starts])}


def _frame_j(counts: Tensor, silence_is_strict: bool) -> Tensor:
    hits, marked, true, pixels = counts.double()
    # AVSBench's code scores a silent frame by the share of its pixels that is not marked.
    silent = (marked == 0).double() if silence_is_strict else 1 - marked / pixels
    return torch.where(true == 0, silent, hits / (marked + true - hits).clamp(min=1))


def _best_f(curves: list[tuple[Tensor, int]]) -> float:
    """Return the maximum of the mean curve of a batch; 0 if all its frames are silent."""
    count = sum(frames for _, frames in curves)
    total = torch.stack([curve for curve, _ in curves]).sum(0)
    return float(total.max() / count) if count else 0.0


def _f_at_threshold(counts: Tensor) -> float:
    hits, marked, true, _ = counts
    sounding = true > 0
    f = f_measure(hits[sounding], marked[sounding], true[sounding])
    return float(f.mean()) if len(f) else 0.0


def _score_pooled(counts: Tensor) -> dict[str, float]:
    """Compute the mean score of object and background over the pixels of all frames, (4,)."""
    hits, marked, true, pixels = counts.tolist()
    # Pixels that are marked and true were subtracted twice, so they are added once.
    neither = pixels - marked - true + hits
    sides = ((hits, marked, true), (neither, pixels - marked, pixels - true))
    # As in CAVP's code, a class without any pixel has an IoU of 0, and no F.
    ious = [shared / max(p + t - shared, 1) for shared, p, t in sides]
    present = torch.tensor([side for side in sides if side[1] + side[2]])
    return {"j": _mean(ious), "f": float(f_measure(*present.T).mean())}


def _view(protocol: Protocol) -> _View:
    return protocol.side, protocol.truth_grows


def _scores(logits: Tensor, probs: Tensor, kind: Scores) -> Tensor:
    # A published quirk: logits above 1 reach all thresholds, negative ones reach none.
    if kind == "logits":
        return logits
    # The softmax over (p, 1 - p) gives the object sigmoid(p - (1 - p)) = sigmoid(2 p - 1).
    return probs if kind == "probabilities" else (2 * probs - 1).sigmoid()


def _sum_curves(scores: Tensor, targets: Tensor) -> tuple[Tensor, int]:
    # As in AVSBench's code, silent frames are not in the mean; their F is 0 in the sum.
    sounding = int(targets.numpy().any(axis=(1, 2)).sum())
    return f_curves(scores, targets).sum(0), sounding


def _count(masks: Tensor, targets: Tensor) -> Tensor:
    # NumPy counts True values ten times as fast as PyTorch.
    pairs = zip(masks.numpy(), targets.numpy(), strict=True)
    counts = [
        (np.count_nonzero(m & t), np.count_nonzero(m), np.count_nonzero(t), t.size)
        for m, t in pairs
    ]
    return torch.tensor(counts).T


def _resize(mask_logits: Tensor, targets: Tensor, view: _View) -> tuple[Tensor, Tensor]:
    """Resize the mask logits, bilinearly, and the ground truth to the size of a view."""
    side, truth_grows = view
    # As everywhere in avseg, logits are resized, not probabilities.
    size = tuple(targets.shape[1:]) if side is None else (side, side)
    if targets.shape[1:] != size:
        mode = "bilinear" if truth_grows else "nearest-exact"
        maps = F.interpolate(255 * targets[:, None].float(), size=size, mode=mode)
        # Ref-AVS resizes 8-bit masks and keeps values above 0: 0.5 of 255 rounds to 1.
        targets = maps[:, 0] >= 0.5
    if mask_logits.shape[1:] != size:
        mask_logits = F.interpolate(mask_logits[:, None], size=size, mode="bilinear")[:, 0]
    return mask_logits, targets


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _check_clip(mask_logits: Tensor, targets: Tensor) -> None:
    shapes = (mask_logits.shape, targets.shape)
    if any(len(shape) != 3 or 0 in shape for shape in shapes) or shapes[0][0] != shapes[1][0]:
        raise ValueError(
            f"mask_logits are {tuple(shapes[0])} and targets {tuple(shapes[1])}; they must be "
            "(T, h, w) and (T, H, W) of the same T frames, one clip at a time."
        )
    if targets.dtype != torch.bool:
        raise ValueError(f"targets are {targets.dtype}, they must be torch.bool; use targets > 0.")
    if mask_logits.isnan().any():
        raise ValueError("mask_logits contain NaN, which no threshold can mark.")


def _mean_negative(values: Mapping[str, float]) -> float:
    if not values:
        raise ValueError("there is no negative condition to average over; give at least one.")
    return fsum(values.values()) / len(values)


def _check_scores(scores: Mapping[str, float]) -> None:
    for name, score in scores.items():
        if not 0 <= score <= 1:
            raise ValueError(f"the score of {name!r} is {score}, it must be in [0, 1].")
