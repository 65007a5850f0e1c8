"""From masks and what they are like to names: for each source, and for each pixel.

B clips, T frames, N = B * T, Q queries, C names with the background first, P sources, h x w size of
the mask logits, S = 4h side of the frames.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from avseg.models.outputs import NamedOutput

#: Score of the background where nothing is marked: below any score of a class.
_LEAST = 1e-6


@dataclass
class TavisOutput(NamedOutput):
    """Masks of the sounding objects, of all together, and what they are called.

    A source is a name that a query of a frame has got; queries of one frame with one name are one
    source. There are P. `name_index` counts without the background.

    Args:
        mask_logits: Mask of all that sounds, by the prompt of the whole sound, (B, T, h, w).
        iou_predictions: The decoder's estimate of its IoU, (B, T) in [0, 1].
        named_scores: Probability of each source's name, (P,) in [0, 1].
        query_logits: Mask of each query within that of all, before the sigmoid, (B, T, Q, h, w).
        class_probs: Probability of each name for each query: the mean of what its sound and what
            its mask are like, (B, T, Q, C).
        sem_fusion: How pixels get their class, see `TavisConfig.sem_fusion`.
        min_score: See `TavisConfig.min_score`.
    """

    query_logits: Tensor | None = None
    class_probs: Tensor | None = None
    sem_fusion: Literal["max", "soft"] | None = None
    min_score: float | None = None

    @property
    def class_logits(self) -> Tensor | None:
        """Score of each name for every pixel, the background's first, (B, T, C, S, S).

        Computed when asked for, as it is large; None while the model trains.
        """
        queries, probs, all_that_sounds = self.query_logits, self.class_probs, self.mask_logits
        if queries is None or probs is None or all_that_sounds is None or self.sem_fusion is None:
            return None
        return fuse_classes(queries, probs, all_that_sounds, self.sem_fusion, self.min_score or 0.0)


@dataclass(frozen=True)
class Sources:
    """What sounds in N frames, by name: fields as in `NamedOutput`."""

    frame_index: Tensor
    name_index: Tensor
    named_logits: Tensor
    named_scores: Tensor


def name_sources(query_logits: Tensor, class_probs: Tensor, min_score: float) -> Sources:
    """Give queries their likeliest names; those that are background, or mark nothing, are none.

    Args:
        query_logits: Mask of each query before the sigmoid, (N, Q, h, w).
        class_probs: Probability of each name for each query, (N, Q, C).
        min_score: Probability that a name must be above.

    Returns:
        The sources, frame after frame.
    """
    scores, classes = class_probs.max(dim=-1)  # (N, Q)
    marks = query_logits.flatten(2).amax(dim=-1) > 0
    frames, queries = (marks & (classes > 0) & (scores > min_score)).nonzero(as_tuple=True)
    number = class_probs.shape[-1]
    keys, group = (frames * number + classes[frames, queries]).unique(return_inverse=True)
    return Sources(
        frame_index=keys // number,
        name_index=keys % number - 1,
        named_logits=_largest(query_logits[frames, queries], group, len(keys)),
        named_scores=_largest(scores[frames, queries], group, len(keys)),
    )


def fuse_classes(
    query_logits: Tensor,
    class_probs: Tensor,
    binary_logits: Tensor,
    rule: Literal["max", "soft"],
    min_score: float = 0.0,
) -> Tensor:
    """Score each class at every pixel.

    The published text does not say how; both rules are ours. With "max" a query that is no
    background competes, where it marks, with its score times the probability of its mask, if its
    score is above the least. With
    "soft" the products of all queries and classes are added up, as MaskFormer does
    (arXiv:2107.06278), and the mask of all that sounds says where the background is.

    Args:
        query_logits: Mask of each query before the sigmoid, (..., Q, h, w).
        class_probs: Probability of each name for each query, (..., Q, C).
        binary_logits: Mask of all that sounds, before the sigmoid, (..., h, w).
        rule: "max" or "soft".
        min_score: Probability that a name must be above; for "max" alone.

    Returns:
        Scores, (..., C, 4h, 4w). At the frames' own size: there the scores jump at the masks'
        edges, and resizing them would move the edges.
    """
    lead = query_logits.shape[:-3]
    probs = _enlarge(query_logits.flatten(0, -4)).sigmoid()  # (N, Q, S, S)
    class_probs = class_probs.flatten(0, -3)  # (N, Q, C)
    if rule == "soft":
        sounds = _enlarge(binary_logits.flatten(0, -3).unsqueeze(1)) > 0
        scores = torch.einsum("nqc,nqhw->nchw", class_probs, probs)
        background = torch.where(sounds, 0.0, scores.shape[1] * torch.ones_like(scores[:, :1]))
    else:
        best, classes = class_probs.max(dim=-1)  # (N, Q)
        marked = (probs > 0.5) & (best > min_score)[..., None, None]
        products = torch.where(marked, probs * best[..., None, None], 0.0)
        index = classes[..., None, None].expand_as(products)
        scores = products.new_zeros(len(products), class_probs.shape[-1], *products.shape[2:])
        scores = scores.scatter_reduce(1, index, products, "amax")
        background = torch.full_like(scores[:, :1], _LEAST)
    return torch.cat([background, scores[:, 1:]], dim=1).unflatten(0, lead)


def _enlarge(logits: Tensor) -> Tensor:
    return F.interpolate(logits, scale_factor=4.0, mode="bilinear")


def _largest(values: Tensor, group: Tensor, count: int) -> Tensor:
    """Take the largest values of each group, (R, ...) to (count, ...)."""
    index = group.view(-1, *[1] * (values.dim() - 1)).expand_as(values)
    least = values.new_full((count, *values.shape[1:]), torch.finfo(values.dtype).min)
    return least.scatter_reduce(0, index, values, "amax")
