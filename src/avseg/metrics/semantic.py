"""Scores of predicted classes, for AVSS (Zhou et al., IJCV 2024, arXiv:2301.13190).

Each frame has an IoU and an F for each class that is predicted or in the ground truth. The score of
a class is the mean over these frames, and the final score is the mean over classes. The protocols
are explained in docs/explanation/metrics.md.

A clip has T frames of H x W pixels; there are K classes, number 0 is the background.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import fsum
from types import MappingProxyType
from typing import Self

import torch
from torch import Tensor

from avseg.metrics.binary import f_measure

#: Number of classes of AVSS, including the background.
CLASS_COUNT = 71


@dataclass(frozen=True)
class SemanticProtocol:
    """Rules by which one published code scores class maps.

    Attributes:
        title: Name to print.
        code: Repository and commit; "avseg" for our own.
        padded_to: Number of frames to which shorter clips are padded; a padding frame is
            background in prediction and ground truth. 0 for no padding.
        absent_score_zero: Whether a class that never occurs scores 0; otherwise it is omitted.
        is_pooled: Whether the pixels of all frames are counted together.
        dropped_class: Class that "without background" omits.
        sources: Name of each field that describes a rule -> place of the rule in the code.
    """

    title: str
    code: str
    padded_to: int = 0
    absent_score_zero: bool = True
    is_pooled: bool = False
    dropped_class: int = 0
    sources: Mapping[str, str] = field(default_factory=dict)


#: Protocols by name.
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
    """Accumulator of clips with class maps, independent of order and processes.

    Args:
        class_count: Number of classes, including the background.
    """

    def __init__(self, class_count: int = CLASS_COUNT) -> None:
        self.class_count = class_count
        self._sums: list[Tensor] = []  # for each clip: sums of IoU, F and number of frames, (3, K)
        self._frames: list[int] = []
        self._confusion = torch.zeros(class_count, class_count, dtype=torch.int64)

    def update(self, classes: Tensor, targets: Tensor) -> None:
        """Add one clip.

        Args:
            classes: Predicted class of each pixel, (T, H, W) integer.
            targets: Ground-truth class of each pixel, (T, H, W) integer.

        Raises:
            ValueError: If the shapes differ, or a class number is not in [0, K).
        """
        self._check(classes, targets)
        # Each pair of classes becomes one number, so that one bincount gives the confusion matrix.
        pairs = targets.flatten(1).long() * self.class_count + classes.flatten(1).long()
        count = self.class_count**2
        confusion = torch.stack([torch.bincount(frame, minlength=count).cpu() for frame in pairs])
        confusion = confusion.view(-1, *self._confusion.shape)  # (T, K true, K predicted)
        iou, f = _class_scores(confusion)
        occurs = _occurs(confusion)
        # Sums per clip, not per frame, suffice for all protocols, those with padding included.
        self._sums.append(torch.stack([iou.sum(0), f.sum(0), occurs.sum(0).double()]))
        self._frames.append(len(targets))
        self._confusion += confusion.sum(0)

    def merge(self, other: Self) -> None:
        """Add the clips of another process, in any order.

        Args:
            other: Metrics of the other process, with the same number of classes.

        Raises:
            ValueError: If the numbers of classes differ.
        """
        if other.class_count != self.class_count:
            raise ValueError(
                f"there are {self.class_count} classes here and {other.class_count} there; "
                "create both with the same number."
            )
        self._sums += other._sums
        self._frames += other._frames
        self._confusion += other._confusion

    def compute(self, names: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
        """Compute the scores of all clips added so far.

        Args:
            names: Names of protocols, see `SEMANTIC_PROTOCOLS`; None for all.

        Returns:
            "j", "f" and the same "without_background", in [0, 1], by protocol.

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
        self._check_not_empty()
        return {name: self._score(SEMANTIC_PROTOCOLS[name]) for name in names}

    def by_class(self) -> dict[int, dict[str, float]]:
        """Compute the scores of each class that occurs.

        Returns:
            By class number: "j" and "f", the means over the frames in which the class is predicted
            or in the ground truth, and the number of these "frames".

        Raises:
            ValueError: If no clip was added.
        """
        self._check_not_empty()
        iou, f, frames = self._totals(padded_to=0)
        occurring = [number for number in range(self.class_count) if frames[number]]
        return {
            number: {
                "j": float(iou[number] / frames[number]),
                "f": float(f[number] / frames[number]),
                "frames": int(frames[number]),
            }
            for number in occurring
        }

    def _check_not_empty(self) -> None:
        if not self._sums:
            raise ValueError("no clip was added; call update() for each clip first.")

    def _score(self, protocol: SemanticProtocol) -> dict[str, float]:
        if protocol.is_pooled:
            scores = torch.stack(_class_scores(self._confusion))
            occurs = _occurs(self._confusion)
            # CAVP's code omits absent classes from F, but not from IoU.
            zero_if_absent = (protocol.absent_score_zero, False)
        else:
            iou, f, frames = self._totals(protocol.padded_to)
            # `clamp` gives a class that never occurs a score of 0 instead of 0 / 0.
            scores = torch.stack([iou, f]) / frames.clamp(min=1)
            occurs = frames > 0
            zero_if_absent = (protocol.absent_score_zero, protocol.absent_score_zero)
        # Published codes with -1 intend to drop the background, but drop the last class, "woman".
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
        """Sum IoU, F and the number of frames over all frames, (3, K); exact in any order."""
        columns = torch.stack(self._sums).flatten(1).T.tolist()
        totals = torch.tensor([fsum(column) for column in columns], dtype=torch.float64)
        totals = totals.view(3, self.class_count)
        # In a padding frame the background has an IoU of 1 and an F of 1, and it occurs: all three
        # sums grow by 1.
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
                    f"{name} are {numbers.dtype} from {low} to {high}, they must be integers "
                    f"from 0 to {self.class_count - 1}; take the argmax of class logits."
                )


def _class_scores(confusion: Tensor) -> tuple[Tensor, Tensor]:
    """Compute IoU and F of each class, (..., K), from confusion matrices, (..., K, K)."""
    hits = confusion.diagonal(dim1=-2, dim2=-1)
    true, marked = confusion.sum(-1), confusion.sum(-2)
    # `clamp` avoids 0 / 0 for a class that does not occur in a frame.
    iou = hits.double() / (true + marked - hits).clamp(min=1)
    return iou, f_measure(hits, marked, true)


def _occurs(confusion: Tensor) -> Tensor:
    return (confusion.sum(-1) + confusion.sum(-2)) > 0


def _mean(values: Tensor) -> float:
    return fsum(values.tolist()) / len(values) if len(values) else 0.0
