"""Which query's mask is which class of a frame: the Hungarian method (Kuhn 1955).

N frames, Q queries, C names with the background first, G classes in a frame, P points, h x w size
of the mask logits, H x W size of the truth.
"""

from dataclasses import dataclass

import torch
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]
from torch import Tensor
from torch.nn import functional as F

#: Weights of the costs: of a class by sound and by picture, of cross-entropy, of Dice.
_CLASS_COST, _BCE_COST, _DICE_COST = 5.0, 5.0, 5.0


@dataclass(frozen=True)
class Matches:
    """Pairs of a query and a class of its frame, M in all.

    Attributes:
        frames: Of each pair, (M,) int64.
        queries: Of each pair, (M,) int64.
        classes: Of each pair, (M,) int64, none of them the background.
    """

    frames: Tensor
    queries: Tensor
    classes: Tensor

    def __len__(self) -> int:
        return len(self.frames)

    def masks(self, labels: Tensor) -> Tensor:
        """Draw the true mask of each pair.

        Args:
            labels: Class of every pixel, (N, H, W) integer.

        Returns:
            Masks, (M, H, W) bool.
        """
        return labels[self.frames] == self.classes[:, None, None]

    def class_of_each_query(self, shape: torch.Size | tuple[int, int]) -> Tensor:
        """Give each query its class, the background to those without a pair.

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
    sound_probs: Tensor,
    picture_probs: Tensor,
    labels: Tensor,
    points: Tensor,
) -> Matches:
    """Pair the queries of each frame with the classes in it, at the least cost.

    A class is one mask, however many objects of it there are. With more classes than queries the
    worst fitting classes stay without.

    Args:
        mask_logits: Of each query, before the sigmoid, (N, Q, h, w).
        sound_probs: Probability of each class by what each query hears, (N, Q, C).
        picture_probs: The same by what it marks.
        labels: Class of every pixel, 0 for the background, (N, H, W) integer.
        points: Where masks are compared, x and y in [0, 1], (N, P, 2).

    Returns:
        The pairs.
    """
    marked = _sample(mask_logits, points)  # (N, Q, P)
    class_probs = sound_probs + picture_probs
    frames, queries, classes = [], [], []
    for number, here in enumerate(labels):
        present = here.unique()
        present = present[present > 0].long()  # (G,)
        if not len(present):
            continue
        truth = (here == present[:, None, None]).to(marked)  # (G, H, W)
        truth = _sample(truth.unsqueeze(0), points[number : number + 1])[0]  # (G, P)
        cost = _mask_cost(marked[number], truth) - _CLASS_COST * class_probs[number][:, present]
        rows, columns = linear_sum_assignment(cost.float().cpu().numpy())
        frames += [number] * len(rows)
        queries += rows.tolist()
        classes += present[torch.as_tensor(columns, device=present.device)].tolist()
    pairs = torch.tensor([frames, queries, classes], dtype=torch.int64, device=labels.device)
    return Matches(*pairs)


def _mask_cost(logits: Tensor, truth: Tensor) -> Tensor:
    """Compare masks (Q, P) with true ones (G, P): cross-entropy and Dice, (Q, G)."""
    missed, false = F.softplus(-logits), F.softplus(logits)
    bce = (missed @ truth.T + false @ (1 - truth).T) / logits.shape[-1]
    probs = logits.sigmoid()
    total = probs.sum(dim=-1)[:, None] + truth.sum(dim=-1)
    dice = 1 - (2 * probs @ truth.T + 1) / (total + 1)
    return _BCE_COST * bce + _DICE_COST * dice


def _sample(maps: Tensor, points: Tensor) -> Tensor:
    """Read maps (N, K, h, w) at points (N, P, 2), between pixels bilinearly, (N, K, P)."""
    grid = (2 * points - 1).to(maps).unsqueeze(1)  # (N, 1, P, 2)
    return F.grid_sample(maps, grid, mode="bilinear", align_corners=False).squeeze(2)
