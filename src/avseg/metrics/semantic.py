"""AVSS: how well each pixel's class is told (Zhou et al., IJCV 2024, arXiv:2301.13190).

Each frame has an IoU and an F for each class that occurs in it, marked or true; a class has the
mean over these frames, the score is the mean over classes. The protocols are explained in
docs/explanation/metrics.md.

T frames of H x W pixels, K classes, number 0 the background.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum
from types import MappingProxyType
from typing import Self

import torch
from torch import Tensor

from avseg.metrics.binary import f_measure

#: Classes of AVSS, the background among them.
CLASS_COUNT = 71


@dataclass(frozen=True)
class SemanticProtocol:
    """How one code turns class maps into scores.

    Attributes:
        title: The name to print.
        code: Repository and commit; "avseg" for our own.
        padded_to: Frames to which shorter clips are filled up with frames that are background,
            true and predicted; 0 for none.
        absent_score_zero: Whether a class that never occurs scores 0; else it is left out.
        is_pooled: Whether the pixels of all frames are counted together.
        dropped_class: The class that "without background" leaves out.
        sources: Where in the code each of these is, by the field's name.
    """

    title: str
    code: str
    padded_to: int = 0
    absent_score_zero: bool = True
    is_pooled: bool = False
    dropped_class: int = 0
    sources: Mapping[str, str] = field(default_factory=dict)


#: By name.
SEMANTIC_PROTOCOLS: Mapping[str, SemanticProtocol] = MappingProxyType(
    {
        "avss": SemanticProtocol(
            title="AVSBench, AVSegFormer",
            code="OpenNLPLab/AVSBench@f7414af, vvvb-github/AVSegFormer@7083cb6",
            padded_to=10,
            dropped_class=-1,
            sources={
                "padded_to": "avs_scripts/avss/color_dataloader.py: clips of 5 frames get 5 empty "
                "ones, and test.py scores them",
                "absent_score_zero": "avs_scripts/avss/test.py: miou_pc[isnan] = 0",
                "dropped_class": "avs_scripts/avss/test.py: miou_pc[:-1], which is 'woman' "
                "(OpenNLPLab/AVSBench#23)",
            },
        ),
        "avss-combo": SemanticProtocol(
            title="COMBO",
            code="yannqi/COMBO-AVS@cb8af1c",
            dropped_class=-1,
            sources={
                "absent_score_zero": "models/evaluation/sem_seg_evaluation_ss.py: evaluate()",
                "dropped_class": "models/evaluation/sem_seg_evaluation_ss.py: miou_pc[:-1]",
            },
        ),
        "avss-cavp": SemanticProtocol(
            title="CAVP, data set",
            code="cyh-0/CAVP@96a6c34",
            is_pooled=True,
            sources={
                "is_pooled": "utils/eval_utils.py: MIoU, ForegroundDetect",
                "absent_score_zero": "utils/eval_utils.py: MIoU divides by at least numpy.spacing",
            },
        ),
        "avss-present": SemanticProtocol(
            title="classes that occur",
            code="avseg",
            absent_score_zero=False,
            sources={"absent_score_zero": "docs/explanation/metrics.md"},
        ),
    }
)


class SemanticMetrics:
    """Gathers clips with classes and scores them together, whatever their order and processes.

    Args:
        class_count: How many classes there are, the background among them.
    """

    def __init__(self, class_count: int = CLASS_COUNT) -> None:
        self.class_count = class_count
        self._sums: list[Tensor] = []  # of each clip: IoU, F and number of frames, (3, K)
        self._frames: list[int] = []
        self._confusion = torch.zeros(class_count, class_count, dtype=torch.int64)

    def update(self, classes: Tensor, targets: Tensor) -> None:
        """Add one clip.

        Args:
            classes: Predicted class of each pixel, (T, H, W) of whole numbers.
            targets: True class of each pixel, (T, H, W) of whole numbers.

        Raises:
            ValueError: If the shapes differ, or a class number is not in [0, K).
        """
        self._check(classes, targets)
        pairs = targets.flatten(1).long() * self.class_count + classes.flatten(1).long()
        count = self.class_count**2
        tables = torch.stack([torch.bincount(frame, minlength=count).cpu() for frame in pairs])
        tables = tables.view(-1, *self._confusion.shape)  # (T, K true, K marked)
        iou, f = _class_scores(tables)
        occurs = _occurs(tables)
        self._sums.append(torch.stack([iou.sum(0), f.sum(0), occurs.sum(0).double()]))
        self._frames.append(len(targets))
        self._confusion += tables.sum(0)

    def merge(self, other: Self) -> None:
        """Add the clips of another process; it does not matter which process has which.

        Args:
            other: What it has gathered, of as many classes.

        Raises:
            ValueError: If it has another number of classes.
        """
        if other.class_count != self.class_count:
            raise ValueError(
                f"there are {self.class_count} classes here and {other.class_count} there; make "
                "both with the same number."
            )
        self._sums += other._sums
        self._frames += other._frames
        self._confusion += other._confusion

    def compute(self, names: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
        """Score all clips added so far.

        Args:
            names: Of the protocols, see `SEMANTIC_PROTOCOLS`; None for all.

        Returns:
            By protocol: "j" and "f", and the same "without_background", in [0, 1].

        Raises:
            ValueError: If no clip was added, or there is no such protocol.
        """
        names = tuple(SEMANTIC_PROTOCOLS) if names is None else names
        unknown = [name for name in names if name not in SEMANTIC_PROTOCOLS]
        if unknown:
            raise ValueError(
                f"there is no protocol {', '.join(unknown)}; choose from "
                f"{', '.join(SEMANTIC_PROTOCOLS)}."
            )
        self._refuse_nothing()
        return {name: self._score(SEMANTIC_PROTOCOLS[name]) for name in names}

    def by_class(self) -> dict[int, dict[str, float]]:
        """Score each class that occurs.

        Returns:
            By class number: "j" and "f", the means over the frames in which it occurs, marked or
            true, and the number of these "frames".

        Raises:
            ValueError: If no clip was added.
        """
        self._refuse_nothing()
        iou, f, frames = self._totals(padded_to=0)
        there = [number for number in range(self.class_count) if frames[number]]
        return {
            number: {
                "j": float(iou[number] / frames[number]),
                "f": float(f[number] / frames[number]),
                "frames": int(frames[number]),
            }
            for number in there
        }

    def _refuse_nothing(self) -> None:
        if not self._sums:
            raise ValueError("no clip was added; call update() for each clip first.")

    def _score(self, protocol: SemanticProtocol) -> dict[str, float]:
        if protocol.is_pooled:
            scores = torch.stack(_class_scores(self._confusion))
            occurs = _occurs(self._confusion)
            # CAVP's F leaves absent classes out, its IoU does not.
            zero_if_absent = (protocol.absent_score_zero, False)
        else:
            iou, f, frames = self._totals(protocol.padded_to)
            scores = torch.stack([iou, f]) / frames.clamp(min=1)
            occurs = frames > 0
            zero_if_absent = (protocol.absent_score_zero, protocol.absent_score_zero)
        kept = torch.ones(self.class_count, dtype=torch.bool)
        kept[protocol.dropped_class] = False
        everything = torch.ones_like(kept)
        result = {}
        for key, values, zero in zip(("j", "f"), scores, zero_if_absent, strict=True):
            counted = everything if zero else occurs
            result[key] = _mean(values[counted])
            result[f"{key}_without_background"] = _mean(values[counted & kept])
        return result

    def _totals(self, padded_to: int) -> Tensor:
        """Sum over frames, exactly, so that the order of the clips cannot show; (3, K)."""
        columns = torch.stack(self._sums).flatten(1).T.tolist()
        totals = torch.tensor([fsum(column) for column in columns], dtype=torch.float64)
        totals = totals.view(3, self.class_count)
        # In a padding frame the background is all there is, and all right.
        totals[:, 0] += sum(max(padded_to - frames, 0) for frames in self._frames)
        return totals

    def _check(self, classes: Tensor, targets: Tensor) -> None:
        if classes.shape != targets.shape or targets.ndim != 3 or 0 in targets.shape:
            raise ValueError(
                f"classes are {tuple(classes.shape)} and targets {tuple(targets.shape)}; both must "
                "be (T, H, W) of one shape, one clip at a time."
            )
        for name, numbers in (("classes", classes), ("targets", targets)):
            low, high = int(numbers.min()), int(numbers.max())
            if numbers.is_floating_point() or not 0 <= low <= high < self.class_count:
                raise ValueError(
                    f"{name} are {numbers.dtype} from {low} to {high}, they must be whole numbers "
                    f"from 0 to {self.class_count - 1}; take the argmax of class logits."
                )


def _class_scores(tables: Tensor) -> tuple[Tensor, Tensor]:
    """Score each class by tables of true against marked, (..., K, K); IoU and F, (..., K)."""
    hits = tables.diagonal(dim1=-2, dim2=-1)
    true, marked = tables.sum(-1), tables.sum(-2)
    iou = hits.double() / (true + marked - hits).clamp(min=1)
    return iou, f_measure(hits, marked, true)


def _occurs(tables: Tensor) -> Tensor:
    return (tables.sum(-1) + tables.sum(-2)) > 0


def _mean(values: Tensor) -> float:
    return fsum(values.tolist()) / len(values) if len(values) else 0.0
