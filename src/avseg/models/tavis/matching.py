"""Matching of queries with the classes of a frame by the Hungarian method (Kuhn 1955).

N frames, Q queries, C names with the background first, G classes in a frame, P points, M matched
pairs, h x w size of the mask logits, H x W size of the ground truth.
"""

from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]
from torch import Tensor
from torch.nn import functional as F

#: Weights of the matching costs, as in the released code: class (by audio and by image),
#: cross-entropy and Dice. The weights of the losses are different.
_CLASS_COST, _BCE_COST, _DICE_COST = 5.0, 5.0, 5.0


@dataclass(frozen=True)
class Matches:
    """Pairs of a query and a class of its frame, M in total.

    Attributes:
        frames: Index of the frame of each pair, (M,) int64.
        queries: Index of the query of each pair, (M,) int64.
        classes: Class of each pair, (M,) int64, never the background.
    """

    frames: Tensor
    queries: Tensor
    classes: Tensor

    def __len__(self) -> int:
        return len(self.frames)

    def masks(self, labels: Tensor) -> Tensor:
        """Return the ground-truth mask of each pair.

        Args:
            labels: Class of every pixel, (N, H, W) integer.

        Returns:
            Masks, (M, H, W) bool.
        """
        return labels[self.frames] == self.classes[:, None, None]

    def class_of_each_query(self, shape: torch.Size | tuple[int, int]) -> Tensor:
        """Return the class of each query, the background for queries without a pair.

        Args:
            shape: N and Q.

        Returns:
            Classes, (N, Q) int64.
        """
        classes = torch.zeros(*shape, dtype=torch.int64, device=self.classes.device)
        classes[self.frames, self.queries] = self.classes
        return classes


@torch.no_grad()
def match(
    mask_logits: Tensor,
    audio_probs: Tensor,
    image_probs: Tensor,
    labels: Tensor,
    points: Tensor,
) -> Matches:
    """Match the queries of each frame with the classes in the frame, at the lowest total cost.

    All objects of one class form one mask. If a frame has more classes than queries, some classes
    are not matched.

    Args:
        mask_logits: Mask of each query before the sigmoid, (N, Q, h, w).
        audio_probs: Probability of each class by the audio of each query, (N, Q, C).
        image_probs: Probability of each class by the masked image of each query, (N, Q, C).
        labels: Class of every pixel, 0 for the background, (N, H, W) integer.
        points: Points at which masks are compared, x and y in [0, 1], (N, P, 2).

    Returns:
        The pairs.
    """
    sampled = _sample(mask_logits, points)  # (N, Q, P)
    class_probs = audio_probs + image_probs
    frames, queries, classes = [], [], []
    for number, frame_labels in enumerate(labels):
        present = frame_labels.unique()
        # The released code removes the first class instead, which is an object if no pixel of the
        # frame is background.
        present = present[present > 0].long()  # (G,)
        # A silent frame has no pairs, so all its queries have the background as their class.
        if not len(present):
            continue
        truth = (frame_labels == present[:, None, None]).to(sampled)  # (G, H, W)
        truth = _sample(truth.unsqueeze(0), points[number : number + 1])[0]  # (G, P)
        cost = _mask_cost(sampled[number], truth) - _CLASS_COST * class_probs[number][:, present]
        # NumPy has no bfloat16, so the costs are converted before they leave torch.
        matched, columns = linear_sum_assignment(cost.float().cpu().numpy())
        frames += [number] * len(matched)
        queries += matched.tolist()
        classes += present[torch.as_tensor(columns, device=present.device)].tolist()
    pairs = torch.tensor([frames, queries, classes], dtype=torch.int64, device=labels.device)
    return Matches(*pairs)


def _mask_cost(logits: Tensor, truth: Tensor) -> Tensor:
    """Compute the cross-entropy plus Dice cost of masks (Q, P) and ground truth (G, P), (Q, G)."""
    # The cross-entropy of a pixel is softplus(-x) for the target 1 and softplus(x) for the target
    # 0. So two matrix products give the costs of all Q x G pairs.
    missed, false = F.softplus(-logits), F.softplus(logits)
    bce = (missed @ truth.T + false @ (1 - truth).T) / logits.shape[-1]
    # Dice with 1 added to numerator and denominator, which makes two empty masks equal.
    probs = logits.sigmoid()
    total = probs.sum(dim=-1)[:, None] + truth.sum(dim=-1)
    dice = 1 - (2 * probs @ truth.T + 1) / (total + 1)
    return _BCE_COST * bce + _DICE_COST * dice


def _sample(maps: Tensor, points: Tensor) -> Tensor:
    """Sample maps (N, K, h, w) bilinearly at points (N, P, 2), (N, K, P)."""
    # `grid_sample` takes coordinates in [-1, 1].
    grid = (2 * points - 1).to(maps).unsqueeze(1)  # (N, 1, P, 2)
    return F.grid_sample(maps, grid, mode="bilinear", align_corners=False).squeeze(2)
