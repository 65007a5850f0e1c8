"""How the published codes score masks, quirks and all, so that their tables can be compared.

Most papers print "mIoU" and "F" and mean AVSBench's two functions, but their codes call them on
other numbers, at other sizes, or in other batches. Each such code is a row of `PROTOCOLS`;
docs/metrics.md says which to use when.

T frames of h x w (predicted) or H x W (annotated) pixels, K thresholds.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from avseg.metrics.fmeasure import f_curves, f_measure

#: What is compared with the thresholds of F.
Scores = Literal["probabilities", "logits", "softmax of probabilities"]

#: What a quirk does; {} stands for its value.
_EFFECTS = {
    "clips_per_batch": "batches of {} clips: F takes one threshold for each, and all batches count "
    "alike, the last and smaller one too",
    "threshold": "pixels above {} are marked, not above 0.5",
    "f_scores": "F compares its thresholds with the {}, not with the probabilities",
    "f_is_swept": "F is taken at the threshold of the masks, not at the best of 255",
    "silence_is_strict": "a silent frame scores 1 if nothing is marked and else 0, not the share "
    "of its pixels that is left clean",
    "is_pooled": "pixels of all frames together, mean of object and background, F at the threshold "
    "of the masks",
    "side": "scored at {0} x {0} pixels, not at the size of the stored frames",
}
_WHOLE_SET = "one batch of all clips: F takes one threshold for the whole set, frames count alike"


@dataclass(frozen=True)
class Quirk:
    """One way in which a code departs from AVSBench's functions on single clips.

    Attributes:
        name: The field of `Protocol` that holds it.
        effect: What it does.
        source: Where in the code it is.
    """

    name: str
    effect: str
    source: str


@dataclass(frozen=True)
class Protocol:
    """How one code turns masks into J and F; the defaults are AVSBench's functions on single clips.

    Attributes:
        title: The name to print.
        code: Repository and commit; "avseg" for our own.
        clips_per_batch: Clips that are scored together; None for the whole data set.
        threshold: Probability above which a pixel is marked.
        f_scores: What F compares with its thresholds.
        f_is_swept: Whether F takes the best of 255 thresholds, or that of the masks.
        silence_is_strict: Whether a silent frame scores all or nothing.
        is_pooled: Whether the pixels of all frames are counted together, the background as well.
        side: Of the square, in pixels, to which masks are resized; None for the annotated size.
        sources: Where in the code each departure from the defaults is, by the field's name.
    """

    title: str
    code: str
    clips_per_batch: int | None = 1
    threshold: float = 0.5
    f_scores: Scores = "probabilities"
    f_is_swept: bool = True
    silence_is_strict: bool = False
    is_pooled: bool = False
    side: int | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def quirks(self) -> tuple[Quirk, ...]:
        """Name the departures from AVSBench's functions on single clips."""
        return tuple(
            Quirk(name, self._effect(name), source) for name, source in self.sources.items()
        )

    def _effect(self, name: str) -> str:
        value = getattr(self, name)
        return _WHOLE_SET if value is None else _EFFECTS[name].format(value)


_OURS = "avseg"

#: By name. The size is given where a code resizes; AVSBench's S4 and MS3 are stored at 224 x 224.
PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        "tpavi": Protocol(
            title="AVSBench (TPAVI)",
            code="OpenNLPLab/AVSBench@f7414af",
        ),
        "tpavi-batch4": Protocol(
            title="AVSBench, as its test.sh",
            code="OpenNLPLab/AVSBench@f7414af",
            clips_per_batch=4,
            sources={"clips_per_batch": "avs_scripts/avs_ms3/test.sh: --test_batch_size 4"},
        ),
        "avsegformer": Protocol(
            title="AVSegFormer",
            code="vvvb-github/AVSegFormer@7083cb6",
            clips_per_batch=2,
            side=512,
            sources={
                "clips_per_batch": "config/ms3/AVSegFormer_pvt2_ms3.py: batch_size of the test set",
                "side": "dataloader/ms3_dataset.py: Resize([512, 512]) of frames and masks",
            },
        ),
        "combo": Protocol(
            title="COMBO",
            code="yannqi/COMBO-AVS@cb8af1c",
            f_scores="softmax of probabilities",
            sources={
                "f_scores": "models/evaluation/sem_seg_evaluation.py: process() applies the "
                "softmax to the two probabilities of object and background"
            },
        ),
        "sama-avs": Protocol(
            title="SAMA-AVS",
            code="jinxiang-liu/anno-free-AVS@15e6b04",
            f_scores="logits",
            side=1024,
            sources={
                "f_scores": "utility.py: Eval_Fmeasure() without its sigmoid",
                "side": "test_avs.py: --inp_size 1024, of frames and masks",
            },
        ),
        "tavis": Protocol(
            title="TAViS",
            code="Sssssuperior/TAViS@00212fe",
            f_scores="logits",
            sources={"f_scores": "utility.py: Eval_Fmeasure() without its sigmoid"},
        ),
        "av2t-sam": Protocol(
            title="AV2T-SAM",
            code="bok-bok/AV2T-SAM@d7cac49",
            f_scores="logits",
            sources={"f_scores": "utility.py: Eval_Fmeasure() without its sigmoid"},
        ),
        "gavs": Protocol(
            title="GAVS",
            code="GeWu-Lab/Generalizable-Audio-Visual-Segmentation@753b23b",
            threshold=0.4,
            sources={"threshold": "GAVS/segment_anything/utils/v1m/utility.py: mask_iou()"},
        ),
        "ref-avs": Protocol(
            title="Ref-AVS",
            code="GeWu-Lab/Ref-AVS@82eb688",
            clips_per_batch=4,
            threshold=0.4,
            side=256,
            sources={
                "clips_per_batch": "run_refavs.py: batch_size of val_loader",
                "threshold": "utils/metric/utility.py: mask_iou()",
                "side": "datasets/dataset_refavs.py: cv2.resize(..., (256, 256)) of the masks",
            },
        ),
        "cavp": Protocol(
            title="CAVP, data set",
            code="cyh-0/CAVP@96a6c34",
            clips_per_batch=None,
            is_pooled=True,
            sources={
                "is_pooled": "utils/eval_utils.py: MIoU and ForegroundDetect, called in "
                "trainer/trainer_cavp_avs_obj.py"
            },
        ),
        "whole-set": Protocol(
            title="one threshold for all",
            code=_OURS,
            clips_per_batch=None,
            sources={"clips_per_batch": "docs/metrics.md"},
        ),
        "strict": Protocol(
            title="strict in silence, F at 0.5",
            code=_OURS,
            clips_per_batch=None,
            f_is_swept=False,
            silence_is_strict=True,
            sources={
                "f_is_swept": "docs/metrics.md",
                "silence_is_strict": "docs/metrics.md",
            },
        ),
    }
)


@dataclass(frozen=True, eq=False)
class _Clip:
    """What all protocols need to know of one clip.

    Attributes:
        category: What sounds.
        counts: Numbers of hit, marked, true and all pixels in each frame, (4, T) int64, by side
            and threshold.
        curves: Sum of the F curves of the frames that are not silent, (K,), and how many these
            are, by side and what is compared with the thresholds.
    """

    category: str | None
    counts: dict[tuple[int | None, float], Tensor]
    curves: dict[tuple[int | None, Scores], tuple[Tensor, int]]


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
        protocols = [PROTOCOLS[name] for name in self.names]
        clip = _Clip(category, {}, {})
        for side in {protocol.side for protocol in protocols}:
            logits, truth = _resize(mask_logits.float().cpu(), targets.cpu(), side)
            probs = logits.sigmoid()
            for protocol in protocols:
                key = (side, protocol.threshold)
                if protocol.side == side and key not in clip.counts:
                    clip.counts[key] = _count(probs > protocol.threshold, truth)
            for protocol in protocols:
                curve = (side, protocol.f_scores)
                if protocol.side == side and _needs_curve(protocol) and curve not in clip.curves:
                    scores = _scores(logits, probs, protocol.f_scores)
                    clip.curves[curve] = _sum_curves(scores, truth)
        self._clips[index] = clip

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
    counts = [clip.counts[protocol.side, protocol.threshold] for clip in clips]
    if protocol.is_pooled:
        return _score_pooled(torch.cat(counts, 1).sum(1))
    size = protocol.clips_per_batch or len(clips)
    starts = range(0, len(clips), size)
    batches = [torch.cat(counts[i : i + size], 1) for i in starts]
    j = _mean([float(_frame_j(batch, protocol.silence_is_strict).mean()) for batch in batches])
    if not protocol.f_is_swept:
        return {"j": j, "f": _mean([_f_at_threshold(batch) for batch in batches])}
    curves = [clip.curves[protocol.side, protocol.f_scores] for clip in clips]
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


def _needs_curve(protocol: Protocol) -> bool:
    return protocol.f_is_swept and not protocol.is_pooled


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


def _resize(mask_logits: Tensor, targets: Tensor, side: int | None) -> tuple[Tensor, Tensor]:
    """Bring both to one size: logits bilinearly, true masks to the nearest pixel."""
    size = targets.shape[1:] if side is None else (side, side)
    if targets.shape[1:] != torch.Size(size):
        maps = F.interpolate(targets[:, None].byte(), size=tuple(size), mode="nearest-exact")
        targets = maps[:, 0].bool()
    if mask_logits.shape[1:] != torch.Size(size):
        maps = F.interpolate(mask_logits[:, None], size=tuple(size), mode="bilinear")
        mask_logits = maps[:, 0]
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
