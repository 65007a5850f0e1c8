"""Measures of the pre-training tasks: ranking of captions, classification, text-prompted masks."""

from typing import Any, Self

import torch
from torch import Tensor

from avseg.metrics.binary import CLEAN_AREA
from avseg.models.outputs import resize_logits
from avseg.training.measures import mean


class Ranking:
    """Accuracy with which matching captions are ranked above the others."""

    def __init__(self) -> None:
        self.hits: list[Tensor] = []
        self.true: list[Tensor] = []

    def update(self, logits: Tensor, present: Tensor) -> None:
        """Add items.

        Args:
            logits: Score of each caption for each item, (N, C).
            present: 1 where the caption matches the item, (N, C).
        """
        # Applying argsort twice gives the rank of each caption, 0 for the highest logit.
        ranks = logits.cpu().argsort(dim=1, descending=True).argsort(dim=1)
        count = present.bool().sum(dim=1, keepdim=True)
        # The n highest logits have the ranks 0 to n - 1.
        self.hits.append(((ranks < count) & present.bool()).sum(dim=1))
        self.true.append(count[:, 0])

    def merge(self, other: Self) -> None:
        """Add the items of another ranking.

        Args:
            other: The other ranking; unchanged.
        """
        self.hits += other.hits
        self.true += other.true

    def compute(self) -> dict[str, float]:
        """Compute the scores.

        Returns:
            `found`: for an item with n matching captions, the n captions with the highest logits
            are selected; the share of all matching captions that are selected. `top1`: the same
            for items with one matching caption.
        """
        hits, true = torch.cat(self.hits), torch.cat(self.true)
        single = true == 1  # with one matching caption, `found` is the usual top-1 accuracy
        return {"found": _share(hits, true), "top1": _share(hits[single], true[single])}


class ContrastMeasure:
    """Ranking of captions by a tower, from the logits of a `ContrastivePretraining`."""

    def __init__(self) -> None:
        self.ranking = Ranking()
        self.losses: list[float] = []

    def update(self, out: Any, batch: dict[str, Any]) -> None:
        """Add a batch.

        Args:
            out: A `ContrastOutput`.
            batch: Inputs of the model, with `present` (N, C).
        """
        self.ranking.update(out.logits, batch["present"])
        self.losses.append(float(out.loss))

    def merge(self, other: Self) -> None:
        """Add the batches of another measure.

        Args:
            other: The other measure; unchanged.
        """
        self.ranking.merge(other.ranking)
        self.losses += other.losses

    def compute(self) -> dict[str, float]:
        """Compute the scores.

        Returns:
            The scores of `Ranking`, and `loss`.
        """
        return {**self.ranking.compute(), "loss": mean(self.losses)}


class ImageBindMeasure:
    """Rankings of captions and images, from the logits of an `ImageBindPretraining`."""

    def __init__(self) -> None:
        # Rankings of the same captions, for images and for audio.
        self.image, self.audio = Ranking(), Ranking()
        self.matched: list[Tensor] = []
        self.losses: list[float] = []

    def update(self, out: Any, batch: dict[str, Any]) -> None:
        """Add a batch.

        Args:
            out: An `ImageBindPretrainingOutput`.
            batch: Inputs of the model, with `shown` and `heard`, (N, C) each.
        """
        visible, audible = batch["shown"], batch["heard"]
        self.image.update(out.image_logits, visible)
        self.audio.update(out.audio_logits, audible)
        # An image matches audio if it shows every audible category.
        matches = visible @ audible.T == audible.sum(dim=1)  # (N images, N audio)
        # Audio that matches many images of the batch would often be matched by chance.
        is_specific = (matches.sum(dim=0) >= 1) & (matches.sum(dim=0) <= 3)
        best = out.pair_logits.cpu().argmax(dim=0)
        self.matched.append(matches[best, torch.arange(len(best))][is_specific].float())
        self.losses.append(float(out.loss))

    def merge(self, other: Self) -> None:
        """Add the batches of another measure.

        Args:
            other: The other measure; unchanged.
        """
        self.image.merge(other.image)
        self.audio.merge(other.audio)
        self.matched += other.matched
        self.losses += other.losses

    def compute(self) -> dict[str, float]:
        """Compute the scores.

        Returns:
            `image_found`, `image_top1`, `audio_found` and `audio_top1`, see `Ranking`; `matched`,
            over the audio clips that match one to three images of their batch: the share for which
            the image with the highest logit matches; and `loss`.
        """
        return {
            **{f"image_{name}": value for name, value in self.image.compute().items()},
            **{f"audio_{name}": value for name, value in self.audio.compute().items()},
            "matched": mean(torch.cat(self.matched).tolist()),
            "loss": mean(self.losses),
        }


class ClassMeasure:
    """Accuracy of the category at each position, from the logits of a `ClassPretraining`."""

    def __init__(self) -> None:
        self.correct: list[Tensor] = []
        self.losses: list[float] = []

    def update(self, out: Any, batch: dict[str, Any]) -> None:
        """Add a batch.

        Args:
            out: A `ClassOutput`.
            batch: Inputs of the model, with `classes` (N, R, R).
        """
        logits = out.logits.cpu()
        stride = batch["classes"].shape[-1] // logits.shape[-1]
        # The category of a position is that of the pixel at its centre.
        centres = batch["classes"][:, stride // 2 :: stride, stride // 2 :: stride]
        self.correct.append((logits.argmax(dim=1) == centres)[centres > 0])
        self.losses.append(float(out.loss))

    def merge(self, other: Self) -> None:
        """Add the batches of another measure.

        Args:
            other: The other measure; unchanged.
        """
        self.correct += other.correct
        self.losses += other.losses

    def compute(self) -> dict[str, float]:
        """Compute the scores.

        Returns:
            `accuracy`: share of the positions on objects that get the correct category; and
            `loss`.
        """
        accuracy = float(torch.cat(self.correct).float().mean())
        return {"accuracy": accuracy, "loss": mean(self.losses)}


class TextPromptMeasure:
    """Quality of the masks of captions, from a `TextPromptedPretraining`."""

    def __init__(self) -> None:
        self.ious: list[float] = []
        self.clean: list[float] = []
        self.losses: list[float] = []

    def update(self, out: Any, batch: dict[str, Any]) -> None:
        """Add a batch.

        Args:
            out: A `TextPromptOutput`.
            batch: Inputs of the model, with `targets` (N, P, R, R).
        """
        targets = batch["targets"].flatten(0, 1).bool()
        logits = resize_logits(out.mask_logits.flatten(0, 1).float().cpu(), targets.shape[-2:])
        # A logit of 0 is a probability of 0.5.
        masks = logits > 0
        # `clamp` avoids 0 / 0 for an invisible object with an empty mask; that IoU is not used.
        iou = (masks & targets).sum((1, 2)) / (masks | targets).sum((1, 2)).clamp(min=1)
        is_visible = targets.flatten(1).any(1)
        self.ious += iou[is_visible].tolist()
        # A caption of an invisible object should give an empty mask; a few pixels are allowed.
        self.clean += (masks[~is_visible].float().mean((1, 2)) < CLEAN_AREA).float().tolist()
        self.losses.append(float(out.loss))

    def merge(self, other: Self) -> None:
        """Add the batches of another measure.

        Args:
            other: The other measure; unchanged.
        """
        self.ious += other.ious
        self.clean += other.clean
        self.losses += other.losses

    def compute(self) -> dict[str, float]:
        """Compute the scores.

        Returns:
            `iou`: mean IoU of the captions that name a visible object; `clean`: share of the other
            captions whose mask covers less than 0.1 % of the image; and `loss`.
        """
        return {"iou": mean(self.ious), "clean": mean(self.clean), "loss": mean(self.losses)}


def _share(part: Tensor, whole: Tensor) -> float:
    """Return the ratio of two sums; 0 if the second sum is 0."""
    return float(part.sum()) / max(float(whole.sum()), 1.0)
