"""How well a model does what its task asks; nothing but the counts is kept.

A measure gathers batches one by one and can be merged with another, so that several processes may
share an evaluation. Batches are merged in their order in the data, whoever measured them, so the
numbers do not depend on how many processes there were.
"""

from typing import Any, Protocol, Self

import torch
from torch import Tensor

from avseg.metrics.binary import CLEAN_AREA, BinaryMetrics
from avseg.models.outputs import resize_logits

#: The scores of `metrics.binary.BinaryScores` that training reports.
_MASK_SCORES = ("j", "j_sounding", "j_strict", "f", "silent_clean", "false_positive_area")


class Measure(Protocol):
    """What evaluation keeps of the batches it has seen."""

    def update(self, out: Any, batch: dict[str, Any]) -> None:
        """Add a batch: what the model returned, and its inputs on the CPU."""

    def merge(self, other: Self) -> None:
        """Add the batches that another measure has seen, after one's own."""

    def compute(self) -> dict[str, float]:
        """Return the measures by name."""


class Ranking:
    """How well the captions that are true of items are ranked before the others."""

    def __init__(self) -> None:
        self.hits: list[Tensor] = []
        self.true: list[Tensor] = []

    def update(self, logits: Tensor, present: Tensor) -> None:
        """Add items.

        Args:
            logits: How true each caption is of each item, (N, C).
            present: 1 where it is, (N, C).
        """
        ranks = logits.cpu().argsort(dim=1, descending=True).argsort(dim=1)
        count = present.bool().sum(dim=1, keepdim=True)
        self.hits.append(((ranks < count) & present.bool()).sum(dim=1))
        self.true.append(count[:, 0])

    def merge(self, other: Self) -> None:
        """Add the items of another ranking.

        Args:
            other: It stays as it is.
        """
        self.hits += other.hits
        self.true += other.true

    def compute(self) -> dict[str, float]:
        """Compute the measures.

        Returns:
            `found`: share of the captions that are true of an item among as many of its highest
            scores as are true; `top1` the same for items with one true caption.
        """
        hits, true = torch.cat(self.hits), torch.cat(self.true)
        single = true == 1
        return {"found": _share(hits, true), "top1": _share(hits[single], true[single])}


class ContrastMeasure:
    """How well a tower ranks captions, by the logits of a `ContrastivePretraining`."""

    def __init__(self) -> None:
        self.ranking = Ranking()
        self.losses: list[float] = []

    def update(self, out: Any, batch: dict[str, Any]) -> None:
        """Add a batch.

        Args:
            out: A `ContrastOutput`.
            batch: Its inputs, of which `present` (N, C) is needed.
        """
        self.ranking.update(out.logits, batch["present"])
        self.losses.append(float(out.loss))

    def merge(self, other: Self) -> None:
        """Add the batches of another measure.

        Args:
            other: It stays as it is.
        """
        self.ranking.merge(other.ranking)
        self.losses += other.losses

    def compute(self) -> dict[str, float]:
        """Compute the measures.

        Returns:
            Those of `Ranking`; `loss`.
        """
        return {**self.ranking.compute(), "loss": _mean(self.losses)}


class ImageBindMeasure:
    """How well a `ImageBindPretraining` ranks captions and pictures, by its logits."""

    def __init__(self) -> None:
        self.image, self.audio = Ranking(), Ranking()
        self.matched: list[Tensor] = []
        self.losses: list[float] = []

    def update(self, out: Any, batch: dict[str, Any]) -> None:
        """Add a batch.

        Args:
            out: A `ImageBindPretrainingOutput`.
            batch: Its inputs, of which `shown` and `heard`, (N, C) each, are needed.
        """
        shown, heard = batch["shown"], batch["heard"]
        self.image.update(out.image_logits, shown)
        self.audio.update(out.audio_logits, heard)
        fits = shown @ heard.T == heard.sum(dim=1)  # (N pictures, N sounds)
        is_few = (fits.sum(dim=0) >= 1) & (fits.sum(dim=0) <= 3)
        best = out.pair_logits.cpu().argmax(dim=0)
        self.matched.append(fits[best, torch.arange(len(best))][is_few].float())
        self.losses.append(float(out.loss))

    def merge(self, other: Self) -> None:
        """Add the batches of another measure.

        Args:
            other: It stays as it is.
        """
        self.image.merge(other.image)
        self.audio.merge(other.audio)
        self.matched += other.matched
        self.losses += other.losses

    def compute(self) -> dict[str, float]:
        """Compute the measures.

        Returns:
            `image_found`, `image_top1`, `audio_found` and `audio_top1`, see `Ranking`; `matched`:
            of the sounds that are true of one to three pictures of their batch, the share whose
            highest picture is one of these; `loss`.
        """
        return {
            **{f"image_{name}": value for name, value in self.image.compute().items()},
            **{f"audio_{name}": value for name, value in self.audio.compute().items()},
            "matched": _mean(torch.cat(self.matched).tolist()),
            "loss": _mean(self.losses),
        }


class ClassMeasure:
    """How well an image encoder tells categories apart, by the logits of a `ClassPretraining`."""

    def __init__(self) -> None:
        self.right: list[Tensor] = []
        self.losses: list[float] = []

    def update(self, out: Any, batch: dict[str, Any]) -> None:
        """Add a batch.

        Args:
            out: A `ClassOutput`.
            batch: Its inputs, of which `classes` (N, R, R) is needed.
        """
        logits = out.logits.cpu()
        stride = batch["classes"].shape[-1] // logits.shape[-1]
        centres = batch["classes"][:, stride // 2 :: stride, stride // 2 :: stride]
        self.right.append((logits.argmax(dim=1) == centres)[centres > 0])
        self.losses.append(float(out.loss))

    def merge(self, other: Self) -> None:
        """Add the batches of another measure.

        Args:
            other: It stays as it is.
        """
        self.right += other.right
        self.losses += other.losses

    def compute(self) -> dict[str, float]:
        """Compute the measures.

        Returns:
            `accuracy`: share of the positions on objects whose category is right; `loss`.
        """
        accuracy = float(torch.cat(self.right).float().mean())
        return {"accuracy": accuracy, "loss": _mean(self.losses)}


class TextPromptMeasure:
    """How well captions are segmented, by the masks of a `TextPromptedPretraining`."""

    def __init__(self) -> None:
        self.ious: list[float] = []
        self.clean: list[float] = []
        self.losses: list[float] = []

    def update(self, out: Any, batch: dict[str, Any]) -> None:
        """Add a batch.

        Args:
            out: A `TextPromptOutput`.
            batch: Its inputs, of which `targets` (N, P, R, R) is needed.
        """
        truth = batch["targets"].flatten(0, 1).bool()
        logits = resize_logits(out.mask_logits.flatten(0, 1).float().cpu(), truth.shape[-2:])
        marked = logits > 0
        iou = (marked & truth).sum((1, 2)) / (marked | truth).sum((1, 2)).clamp(min=1)
        shown = truth.flatten(1).any(1)
        self.ious += iou[shown].tolist()
        self.clean += (marked[~shown].float().mean((1, 2)) < CLEAN_AREA).float().tolist()
        self.losses.append(float(out.loss))

    def merge(self, other: Self) -> None:
        """Add the batches of another measure.

        Args:
            other: It stays as it is.
        """
        self.ious += other.ious
        self.clean += other.clean
        self.losses += other.losses

    def compute(self) -> dict[str, float]:
        """Compute the measures.

        Returns:
            `iou`: mean IoU of captions that name something visible; `clean`: share of the others
            whose mask covers less than 0.1 % of the picture; `loss`.
        """
        return {"iou": _mean(self.ious), "clean": _mean(self.clean), "loss": _mean(self.losses)}


class MaskMeasure:
    """How well whole clips are segmented, by a model's `AvsegOutput`."""

    def __init__(self) -> None:
        self.metrics = BinaryMetrics()
        self.losses: list[float] = []

    def update(self, out: Any, batch: dict[str, Any]) -> None:
        """Add a batch.

        Args:
            out: An `AvsegOutput`.
            batch: Its inputs, of which `targets` (B, T, H, W) is needed.
        """
        self.losses.append(float(out.loss))
        for logits, truth in zip(out.mask_logits.float().cpu(), batch["targets"], strict=True):
            self.metrics.update(resize_logits(logits, truth.shape[-2:]).sigmoid(), truth)

    def merge(self, other: Self) -> None:
        """Add the batches of another measure.

        Args:
            other: It stays as it is.
        """
        self.metrics.merge(other.metrics)
        self.losses += other.losses

    def compute(self) -> dict[str, float]:
        """Compute the measures.

        Returns:
            J, F and what they hide, see `metrics.binary.BinaryScores`; `loss`. A score that the
            data cannot give (no silent frame) is left out rather than null.
        """
        scores = self.metrics.compute()
        values = {name: getattr(scores, name) for name in _MASK_SCORES}
        known = {name: value for name, value in values.items() if value is not None}
        return {"loss": _mean(self.losses), **known}


def _share(part: Tensor, whole: Tensor) -> float:
    return float(part.sum()) / max(float(whole.sum()), 1.0)


def _mean(values: list[float]) -> float:
    return sum(values) / max(len(values), 1)
