"""How well a model does what its task asks, batch by batch; nothing but the counts is kept."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from avseg.metrics.binary import CLEAN_AREA, BinaryMetrics
from avseg.models.losses import resize_logits

#: The scores of `metrics.binary.BinaryScores` that training reports.
_MASK_SCORES = ("j", "j_sounding", "j_strict", "f", "silent_clean", "false_positive_area")


def measure_contrast(
    model: nn.Module, batches: DataLoader[Any], device: torch.device
) -> dict[str, float]:
    """Say how well a tower ranks captions.

    Args:
        model: A `ContrastivePretraining`.
        batches: Its inputs.
        device: Where the model is.

    Returns:
        `found`: share of the captions that are true of an item among as many of its highest
        scores as are true; `top1` the same for items with one true caption; `loss`.
    """
    hits, true, singles, losses = [], [], [], []
    for batch in batches:
        out = model(**to_device(batch, device))
        present = batch["present"].bool()
        ranks = out.logits.cpu().argsort(dim=1, descending=True).argsort(dim=1)
        count = present.sum(dim=1, keepdim=True)
        hits.append(((ranks < count) & present).sum(dim=1))
        true.append(count[:, 0])
        singles.append(count[:, 0] == 1)
        losses.append(float(out.loss))
    single = torch.cat(singles)
    return {
        "found": _share(torch.cat(hits), torch.cat(true)),
        "top1": _share(torch.cat(hits)[single], torch.cat(true)[single]),
        "loss": _mean(losses),
    }


def measure_classes(
    model: nn.Module, batches: DataLoader[Any], device: torch.device
) -> dict[str, float]:
    """Say how well an image encoder tells categories apart.

    Args:
        model: A `ClassPretraining`.
        batches: Its inputs.
        device: Where the model is.

    Returns:
        `accuracy`: share of the positions on objects whose category is right; `loss`.
    """
    right, losses = [], []
    for batch in batches:
        out = model(**to_device(batch, device))
        logits = out.logits.cpu()
        stride = batch["classes"].shape[-1] // logits.shape[-1]
        centres = batch["classes"][:, stride // 2 :: stride, stride // 2 :: stride]
        right.append((logits.argmax(dim=1) == centres)[centres > 0])
        losses.append(float(out.loss))
    return {"accuracy": float(torch.cat(right).float().mean()), "loss": _mean(losses)}


def measure_text_prompts(
    model: nn.Module, batches: DataLoader[Any], device: torch.device
) -> dict[str, float]:
    """Say how well captions are segmented.

    Args:
        model: A `TextPromptedPretraining`.
        batches: Its inputs.
        device: Where the model is.

    Returns:
        `iou`: mean IoU of captions that name something visible; `clean`: share of the others whose
        mask covers less than 0.1 % of the picture; `loss`.
    """
    ious, clean, losses = [], [], []
    for batch in batches:
        out = model(**to_device(batch, device))
        truth = batch["targets"].flatten(0, 1).bool()
        logits = resize_logits(out.mask_logits.flatten(0, 1).float().cpu(), truth.shape[-2:])
        marked = logits > 0
        iou = (marked & truth).sum((1, 2)) / (marked | truth).sum((1, 2)).clamp(min=1)
        shown = truth.flatten(1).any(1)
        ious += iou[shown].tolist()
        clean += (marked[~shown].float().mean((1, 2)) < CLEAN_AREA).float().tolist()
        losses.append(float(out.loss))
    return {"iou": _mean(ious), "clean": _mean(clean), "loss": _mean(losses)}


def measure_masks(
    model: nn.Module, batches: DataLoader[Any], device: torch.device
) -> dict[str, float]:
    """Score the masks of whole clips.

    Args:
        model: An `Av2tSamModel`.
        batches: Its inputs with targets.
        device: Where the model is.

    Returns:
        J, F and what they hide, see `metrics.binary.BinaryScores`; `loss`.
    """
    metrics, losses = BinaryMetrics(), []
    for batch in batches:
        out = model(**to_device(batch, device))
        losses.append(float(out.loss))
        for logits, truth in zip(out.mask_logits.float().cpu(), batch["targets"], strict=True):
            metrics.update(resize_logits(logits, truth.shape[-2:]).sigmoid(), truth)
    scores = metrics.compute()
    values = {name: getattr(scores, name) for name in _MASK_SCORES}
    # A score that the data cannot give (no silent frame) is left out rather than logged as null.
    return {"loss": _mean(losses)} | {k: v for k, v in values.items() if v is not None}


def to_device(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Move a batch.

    Args:
        batch: Tensors, or tuples of tensors, by name.
        device: Where to.

    Returns:
        The same on the device.
    """
    return {
        name: tuple(v.to(device) for v in value) if isinstance(value, tuple) else value.to(device)
        for name, value in batch.items()
    }


def _share(part: Tensor, whole: Tensor) -> float:
    return float(part.sum()) / max(float(whole.sum()), 1.0)


def _mean(values: list[float]) -> float:
    return sum(values) / max(len(values), 1)
