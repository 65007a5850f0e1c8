"""Naming of the query masks: named masks of each frame, and a class for every pixel.

B clips, T frames, N = B * T, Q queries, C names with the background first, P named masks, h x w
size of the mask logits, S = 4h side of the frames.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from avseg.models.outputs import NamedOutput

#: Score of the background at every pixel with the rule "max". Any class in a mask has a higher
#: score.
_BACKGROUND_SCORE = 1e-6


@dataclass
class TavisOutput(NamedOutput):
    """One mask of all sounding objects and a mask for each name in each frame.

    There are P named masks, one for each frame and each name of its queries. Queries of a frame
    with the same name share one named mask. `name_index` is an index of the vocabulary, which does
    not contain the background.

    Args:
        mask_logits: Mask of all sounding objects, from the prompt of the whole audio, (B, T, h, w).
        iou_predictions: Predicted IoU of this mask, (B, T) in [0, 1].
        named_scores: Score of the name of each named mask, (P,) in [0, 1].
        query_logits: Mask of each query inside the mask of all sounding objects, before the
            sigmoid, (B, T, Q, h, w).
        class_probs: Score of each name for each query, from `score_names`, (B, T, Q, C).
        sem_fusion: Rule for the class of a pixel, see `TavisConfig.sem_fusion`.
        min_score: Score that a name must exceed, see `TavisThresholds.min_score`.
    """

    query_logits: Tensor | None = None
    class_probs: Tensor | None = None
    sem_fusion: Literal["max", "soft"] | None = None
    min_score: float | None = None

    @property
    def class_logits(self) -> Tensor | None:
        """Score of each name for every pixel, the background first, (B, T, C, S, S).

        Computed at each access, because it is large; None in training mode.
        """
        queries, probs, common = self.query_logits, self.class_probs, self.mask_logits
        if queries is None or probs is None or common is None or self.sem_fusion is None:
            return None
        return fuse_classes(queries, probs, common, self.sem_fusion, self.min_score or 0.0)


@dataclass(frozen=True)
class NamedMasks:
    """Named masks of N frames; fields as in `NamedOutput`."""

    frame_index: Tensor
    name_index: Tensor
    named_logits: Tensor
    named_scores: Tensor


def score_names(
    audio_logits: Tensor,
    image_logits: Tensor,
    similarities: Tensor,
    rule: Literal["mean", "geometric"],
    candidates: int = 0,
) -> Tensor:
    """Compute the score of each name for each query, by its audio and its masked image.

    Args:
        audio_logits: Similarity of the audio of each query with each name, (N, Q, C).
        image_logits: Similarity of the masked image of each query with each name, (N, Q, C).
        similarities: Cosines of the whole audio of each frame with the names, without the
            background, (N, C - 1).
        rule: See `TavisConfig.name_score`.
        candidates: See `TavisThresholds.candidates`.

    Returns:
        Scores in [0, 1], (N, Q, C); 0 for names that are no candidates.
    """
    by_audio, by_image = audio_logits.softmax(-1), image_logits.softmax(-1)
    scores = (by_audio + by_image) / 2 if rule == "mean" else (by_audio * by_image).sqrt()
    if 0 < candidates < similarities.shape[-1]:
        nearest = similarities.topk(candidates).indices  # (N, candidates)
        is_candidate = torch.zeros_like(similarities, dtype=torch.bool).scatter(1, nearest, True)
        # The background, which comes first, is always a candidate.
        is_candidate = F.pad(is_candidate, (1, 0), value=True)
        scores = scores.masked_fill(~is_candidate.unsqueeze(1), 0.0)
    return scores


def name_masks(query_logits: Tensor, class_probs: Tensor, min_score: float) -> NamedMasks:
    """Name each query, and merge the masks of a frame with the same name.

    The name of a query is the one with the highest score. Queries that are background, and queries
    with an empty mask, are omitted.

    Args:
        query_logits: Mask of each query before the sigmoid, (N, Q, h, w).
        class_probs: Score of each name for each query, (N, Q, C).
        min_score: Score that a name must exceed.

    Returns:
        The named masks, ordered by frame.
    """
    scores, classes = class_probs.max(dim=-1)  # (N, Q)
    has_mask = query_logits.flatten(2).amax(dim=-1) > 0
    frames, queries = (has_mask & (classes > 0) & (scores > min_score)).nonzero(as_tuple=True)
    number = class_probs.shape[-1]
    # A key is the frame and the class in one integer. Masks with equal keys are merged, and the
    # sorted keys of `unique` are ordered by frame.
    keys, group = (frames * number + classes[frames, queries]).unique(return_inverse=True)
    return NamedMasks(
        frame_index=keys // number,
        # Class 0 is the background, which is not in the vocabulary.
        name_index=keys % number - 1,
        named_logits=_maximum_by_group(query_logits[frames, queries], group, len(keys)),
        named_scores=_maximum_by_group(scores[frames, queries], group, len(keys)),
    )


def fuse_classes(
    query_logits: Tensor,
    class_probs: Tensor,
    binary_logits: Tensor,
    rule: Literal["max", "soft"],
    min_score: float = 0.0,
) -> Tensor:
    """Compute the score of each class at every pixel.

    The paper does not define this step; both rules are ours.

    "max": each query has one class, its most probable one, with the probability p. Inside the mask
    of the query, the score of this class is p times the mask probability. Queries with p of at most
    `min_score` are ignored. If several queries have one class, the largest score is used.

    "soft": the score of a class is the sum, over all queries, of the class probability times the
    mask probability, as in MaskFormer (arXiv:2107.06278). Pixels outside of the mask of all
    sounding objects are background.

    Args:
        query_logits: Mask of each query before the sigmoid, (..., Q, h, w).
        class_probs: Probability of each name for each query, (..., Q, C).
        binary_logits: Mask of all sounding objects, before the sigmoid, (..., h, w).
        rule: "max" or "soft".
        min_score: Probability that a name must exceed; for "max" only.

    Returns:
        Scores, (..., C, 4h, 4w), at the size of the frames: the scores jump at the edges of the
        masks, so resizing them later would move the edges.
    """
    lead = query_logits.shape[:-3]
    probs = _enlarge(query_logits.flatten(0, -4)).sigmoid()  # (N, Q, S, S)
    class_probs = class_probs.flatten(0, -3)  # (N, Q, C)
    if rule == "soft":
        is_foreground = _enlarge(binary_logits.flatten(0, -3).unsqueeze(1)) > 0
        scores = torch.einsum("nqc,nqhw->nchw", class_probs, probs)
        # A sum is at most the number of queries. With more names than queries the score C of the
        # background is therefore the highest outside of the mask.
        background = torch.where(
            is_foreground, 0.0, scores.shape[1] * torch.ones_like(scores[:, :1])
        )
    else:
        best, classes = class_probs.max(dim=-1)  # (N, Q)
        is_scored = (probs > 0.5) & (best > min_score)[..., None, None]
        products = torch.where(is_scored, probs * best[..., None, None], 0.0)
        # Move the product of each query to the map of its class, and use the maximum if several
        # queries have one class.
        index = classes[..., None, None].expand_as(products)
        scores = products.new_zeros(len(products), class_probs.shape[-1], *products.shape[2:])
        scores = scores.scatter_reduce(1, index, products, "amax")
        background = torch.full_like(scores[:, :1], _BACKGROUND_SCORE)
    return torch.cat([background, scores[:, 1:]], dim=1).unflatten(0, lead)


def _enlarge(logits: Tensor) -> Tensor:
    """Resize mask logits to the size of the frames."""
    return F.interpolate(logits, scale_factor=4.0, mode="bilinear")


def _maximum_by_group(values: Tensor, group: Tensor, count: int) -> Tensor:
    """Compute the elementwise maximum of each group of values, (R, ...) to (count, ...)."""
    index = group.view(-1, *[1] * (values.dim() - 1)).expand_as(values)
    # The start value does not change a maximum, since it is the smallest number of the dtype.
    least = values.new_full((count, *values.shape[1:]), torch.finfo(values.dtype).min)
    return least.scatter_reduce(0, index, values, "amax")
