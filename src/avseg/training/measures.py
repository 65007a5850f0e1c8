"""Measures: scores of a task, accumulated over the batches of an evaluation.

A measure adds batches one by one, keeps counts only, and can be merged with another measure, so
that several processes can share an evaluation. Measures are merged in the order of the data, so the
scores do not depend on the number of processes.
"""

from typing import Any, Protocol, Self

from avseg.metrics.binary import BinaryMetrics
from avseg.models.outputs import resize_logits

#: The scores of `metrics.binary.BinaryScores` that training reports.
_MASK_SCORES = ("j", "j_sounding", "j_strict", "f", "silent_clean", "false_positive_area")


class Measure(Protocol):
    """Scores of a task over the batches that were added."""

    def update(self, out: Any, batch: dict[str, Any]) -> None:
        """Add a batch: the output of the model, and its inputs on the CPU."""

    def merge(self, other: Self) -> None:
        """Add the batches of another measure after those of this one."""

    def compute(self) -> dict[str, float]:
        """Return the scores by name."""


class MaskMeasure:
    """Scores of the masks of whole clips, from the `AvsegOutput` of a model."""

    def __init__(self) -> None:
        self.metrics = BinaryMetrics()
        self.losses: list[float] = []

    def update(self, out: Any, batch: dict[str, Any]) -> None:
        """Add a batch.

        Args:
            out: An `AvsegOutput`.
            batch: Inputs of the model, with `targets` (B, T, H, W).
        """
        self.losses.append(float(out.loss))
        for logits, targets in zip(out.mask_logits.float().cpu(), batch["targets"], strict=True):
            # Logits are resized, not masks: a coarse mask would have staircase edges.
            self.metrics.update(resize_logits(logits, targets.shape[-2:]).sigmoid(), targets)

    def merge(self, other: Self) -> None:
        """Add the batches of another measure.

        Args:
            other: The other measure; unchanged.
        """
        self.metrics.merge(other.metrics)
        self.losses += other.losses

    def compute(self) -> dict[str, float]:
        """Compute the scores.

        Returns:
            J, F and the other scores of `metrics.binary.BinaryScores` in `_MASK_SCORES`, and
            `loss`. A score that the data does not define (no silent frame) is left out.
        """
        scores = self.metrics.compute()
        values = {name: getattr(scores, name) for name in _MASK_SCORES}
        # `Trainer` logs numbers only, so an undefined score is left out instead of being None.
        known = {name: value for name, value in values.items() if value is not None}
        return {"loss": mean(self.losses), **known}


def mean(values: list[float]) -> float:
    """Return the mean of some values; 0 for an empty list."""
    return sum(values) / max(len(values), 1)
