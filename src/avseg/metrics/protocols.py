"""The same masks scored by several published protocols at once, so that tables can be compared.

T frames of h x w (predicted) or H x W (annotated) pixels, K thresholds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from avseg.metrics.binary import f_curves, f_measure
from avseg.metrics.protocol_table import PROTOCOLS, Protocol, Scores

__all__ = ["PROTOCOLS", "Protocol", "ProtocolScores", "spread"]

#: To which size masks are brought, and how: side and truth_grows of a protocol.
_View = tuple[int | None, bool]


@dataclass(frozen=True, eq=False)
class _Clip:
    """What all protocols need to know of one clip.

    Attributes:
        category: What sounds.
        counts: Numbers of hit, marked, true and all pixels in each frame, (4, T) int64, by view
            and threshold.
        curves: Sum of the F curves of the frames that are not silent, (K,), and how many these
            are, by view and what is compared with the thresholds.
    """

    category: str | None
    counts: dict[tuple[_View, float], Tensor]
    curves: dict[tuple[_View, Scores], tuple[Tensor, int]]


class ProtocolScores:
    """Scores the same masks by several protocols at once.

    What a protocol does in batches depends on the order of the clips: that of their numbers in the
    data set, however the clips come and on however many processes. Every process calls `update`
    for its share, one of them `merge` with the others.

    Args:
        names: Of the protocols, see `PROTOCOLS`; None for all.

    Raises:
        ValueError: If there is no protocol of a name.
    """

    def __init__(self, names: Sequence[str] | None = None) -> None:
        self.names = tuple(PROTOCOLS if names is None else names)
        unknown = [name for name in self.names if name not in PROTOCOLS]
        if unknown or not self.names:
            raise ValueError(
                f"there is no protocol {', '.join(unknown) or 'without a name'}; "
                f"choose from {', '.join(PROTOCOLS)}."
            )
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
            mask_logits: Predicted masks before the sigmoid, at any size, (T, h, w) float.
            targets: True masks, (T, H, W) bool.
            category: What sounds, if the data set says it.
            index: Number of the clip in the data set; None for the next.

        Raises:
            ValueError: If the shapes do not fit, the targets are not bool, a logit is not a
                number, or a clip of this number was added before.
        """
        _check_clip(mask_logits, targets)
        index = max(self._clips, default=-1) + 1 if index is None else index
        self._refuse_twice({index})
        self._clips[index] = self._measure(mask_logits.float().cpu(), targets.cpu(), category)

    def merge(self, other: Self) -> None:
        """Add the clips of another process.

        Args:
            other: What it has gathered, by the same protocols.

        Raises:
            ValueError: If the protocols differ, or a clip of the same number is in both.
        """
        if other.names != self.names:
            raise ValueError(
                f"protocols are {', '.join(self.names)} here and {', '.join(other.names)} there; "
                "make both with the same names."
            )
        self._refuse_twice(set(other._clips))
        self._clips.update(other._clips)

    def compute(self) -> dict[str, dict[str, float]]:
        """Score all clips added so far.

        Returns:
            By protocol: "j" and "f", in [0, 1].

        Raises:
            ValueError: If no clip was added.
        """
        return self._compute(self._ordered())

    def by_category(self) -> dict[str, dict[str, dict[str, float]]]:
        """Score the clips of each category as if they were the whole data set.

        Returns:
            By category, then protocol: "j" and "f"; empty if the data set says no categories.

        Raises:
            ValueError: If no clip was added.
        """
        groups: dict[str, list[_Clip]] = {}
        for clip in self._ordered():
            if clip.category is not None:
                groups.setdefault(clip.category, []).append(clip)
        return {name: self._compute(groups[name]) for name in sorted(groups)}

    def _measure(self, mask_logits: Tensor, targets: Tensor, category: str | None) -> _Clip:
        clip = _Clip(category, {}, {})
        protocols = [PROTOCOLS[name] for name in self.names]
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

    def _refuse_twice(self, indices: set[int]) -> None:
        twice = sorted(indices & self._clips.keys())
        if twice:
            raise ValueError(
                f"clip {twice[0]} was added before ({len(twice)} of {len(indices)} were); give "
                "each clip its number in the data set, and each to one process only."
            )


def spread(scores: Iterable[dict[str, float]]) -> dict[str, float]:
    """Measure how far protocols lie apart.

    Args:
        scores: "j" and "f" of each protocol.

    Returns:
        Largest minus smallest "j" and "f".
    """
    rows = list(scores)
    return {key: max(r[key] for r in rows) - min(r[key] for r in rows) for key in ("j", "f")}


def _score(protocol: Protocol, clips: list[_Clip]) -> dict[str, float]:
    counts = [clip.counts[_view(protocol), protocol.threshold] for clip in clips]
    if protocol.is_pooled:
        return _score_pooled(torch.cat(counts, 1).sum(1))
    size = protocol.clips_per_batch or len(clips)
    starts = range(0, len(clips), size)
    batches = [torch.cat(counts[i : i + size], 1) for i in starts]
    j = _mean([float(_frame_j(batch, protocol.silence_is_strict).mean()) for batch in batches])
    if not protocol.f_is_swept:
        return {"j": j, "f": _mean([_f_at_threshold(batch) for batch in batches])}
    curves = [clip.curves[_view(protocol), protocol.f_scores] for clip in clips]
    return {"j": j, "f": _mean([_best_f(curves[i : i + size]) for i in starts])}


def _frame_j(counts: Tensor, silence_is_strict: bool) -> Tensor:
    hits, marked, true, pixels = counts.double()
    silent = (marked == 0).double() if silence_is_strict else 1 - marked / pixels
    return torch.where(true == 0, silent, hits / (marked + true - hits).clamp(min=1))


def _best_f(curves: list[tuple[Tensor, int]]) -> float:
    """Take the best of the mean curve of a batch; one of silent frames only scores 0."""
    count = sum(frames for _, frames in curves)
    total = torch.stack([curve for curve, _ in curves]).sum(0)
    return float(total.max() / count) if count else 0.0


def _f_at_threshold(counts: Tensor) -> float:
    hits, marked, true, _ = counts
    sounding = true > 0
    f = f_measure(hits[sounding], marked[sounding], true[sounding])
    return float(f.mean()) if len(f) else 0.0


def _score_pooled(counts: Tensor) -> dict[str, float]:
    """Score object and background by the pixels of all frames, (4,), and take the mean."""
    hits, marked, true, pixels = counts.tolist()
    neither = pixels - marked - true + hits
    sides = ((hits, marked, true), (neither, pixels - marked, pixels - true))
    # A class that is nowhere has IoU 0 and no F there.
    ious = [shared / max(p + t - shared, 1) for shared, p, t in sides]
    there = torch.tensor([side for side in sides if side[1] + side[2]])
    return {"j": _mean(ious), "f": float(f_measure(*there.T).mean())}


def _view(protocol: Protocol) -> _View:
    return protocol.side, protocol.truth_grows


def _scores(logits: Tensor, probs: Tensor, kind: Scores) -> Tensor:
    if kind == "logits":
        return logits
    # The softmax of (p, 1 - p) is the sigmoid of their difference.
    return probs if kind == "probabilities" else (2 * probs - 1).sigmoid()


def _sum_curves(scores: Tensor, targets: Tensor) -> tuple[Tensor, int]:
    sounding = int(targets.numpy().any(axis=(1, 2)).sum())
    return f_curves(scores, targets).sum(0), sounding


def _count(masks: Tensor, targets: Tensor) -> Tensor:
    # NumPy counts true values ten times as fast as PyTorch.
    pairs = zip(masks.numpy(), targets.numpy(), strict=True)
    counts = [
        (np.count_nonzero(m & t), np.count_nonzero(m), np.count_nonzero(t), t.size)
        for m, t in pairs
    ]
    return torch.tensor(counts).T


def _resize(mask_logits: Tensor, targets: Tensor, view: _View) -> tuple[Tensor, Tensor]:
    """Bring both to one size, logits bilinearly."""
    side, truth_grows = view
    size = tuple(targets.shape[1:]) if side is None else (side, side)
    if targets.shape[1:] != size:
        mode = "bilinear" if truth_grows else "nearest-exact"
        maps = F.interpolate(255 * targets[:, None].float(), size=size, mode=mode)
        targets = maps[:, 0] >= 0.5  # what rounds to more than nothing in 8 bits
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
        raise ValueError("mask_logits hold NaN, which no threshold can mark; look at the model.")
