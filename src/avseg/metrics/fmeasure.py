"""AVSBench's F: the best F-measure over 255 thresholds (Zhou et al., ECCV 2022, arXiv:2207.05042).

T frames of H x W pixels, K = 255 thresholds evenly spaced in [0, 1]. A frame is silent if its true
mask is empty.
"""

import torch
from torch import Tensor

#: AVSBench's weight of precision against recall, squared.
BETA2 = 0.3

#: AVSBench's thresholds: the largest is 1, since 32-bit floats have nothing between it and 1.
THRESHOLDS = torch.linspace(0, 1 - 1e-10, 255)


def f_measure(hits: Tensor, marked: Tensor, true: Tensor, beta2: float = BETA2) -> Tensor:
    """Weigh precision against recall: (1 + b) P R / (b P + R).

    Args:
        hits: How many marked pixels are true ones, any shape.
        marked: How many pixels are marked.
        true: How many pixels are true.
        beta2: The weight b.

    Returns:
        F in [0, 1], float64; 0 where nothing is hit.
    """
    # With P = hits / marked and R = hits / true, without the divisions that fail when nothing is
    # marked or true.
    hits, marked, true = hits.double(), marked.double(), true.double()
    return (beta2 * hits + hits) / (beta2 * true + marked).clamp(min=1e-9)


def f_curves(scores: Tensor, targets: Tensor, beta2: float = BETA2) -> Tensor:
    """Measure F of each frame under each of AVSBench's thresholds.

    A pixel is marked under each threshold up to its score.

    Args:
        scores: What is compared with the thresholds, (T, H, W) float: probabilities, or, in some
            published codes, logits.
        targets: True masks, (T, H, W) bool.
        beta2: Weight of precision against recall, squared.

    Returns:
        F in [0, 1], (T, K) float64; 0 in silent frames.
    """
    curves = torch.zeros(len(scores), len(THRESHOLDS), dtype=torch.float64)
    for curve, frame, target in zip(curves, scores.float(), targets, strict=True):
        curve[:] = _curve(frame.flatten(), target.flatten(), beta2)
    return curves


class FScore:
    """AVSBench's F: in each clip the best F-measure over thresholds, then the mean over clips.

    The clip is the unit, so the result does not depend on the batch size; it equals the released
    AVSBench script at its test batch size of one clip, and at no other. Silent frames do not
    count; a clip of silent frames only scores 0, as in AVSBench.

    Args:
        beta2: Weight of precision against recall, squared; AVSBench's is 0.3.
    """

    def __init__(self, beta2: float = BETA2) -> None:
        self.beta2 = beta2
        self.clip_scores: list[float] = []

    def update(self, mask_probs: Tensor, targets: Tensor) -> None:
        """Add one clip.

        Args:
            mask_probs: Predicted probabilities in [0, 1], (T, H, W) float.
            targets: True masks, (T, H, W) bool.

        Raises:
            ValueError: If the shapes differ, the targets are not bool, or the predictions are no
                probabilities.
        """
        check_clip(mask_probs, targets)
        sounding = targets.flatten(1).any(1)
        curves = (
            f_curves(mask_probs[sounding], targets[sounding], self.beta2)
            if sounding.any()
            else None
        )
        self.clip_scores.append(0.0 if curves is None else float(curves.mean(0).max()))

    def compute(self) -> float:
        """Average the clips added so far.

        Returns:
            F in [0, 1].

        Raises:
            ValueError: If no clip was added.
        """
        if not self.clip_scores:
            raise ValueError("no clip was added; call update() for each clip first.")
        return sum(self.clip_scores) / len(self.clip_scores)


def check_clip(mask_probs: Tensor, targets: Tensor) -> None:
    """Refuse what is not one clip of probabilities with its true masks.

    Args:
        mask_probs: Should be probabilities in [0, 1], (T, H, W) float.
        targets: Should be true masks, (T, H, W) bool.

    Raises:
        ValueError: If they are not.
    """
    if mask_probs.shape != targets.shape or targets.ndim != 3 or 0 in targets.shape:
        raise ValueError(
            f"mask_probs are {tuple(mask_probs.shape)} and targets {tuple(targets.shape)}; both "
            "must be (T, H, W) of one shape, one clip at a time."
        )
    if targets.dtype != torch.bool:
        raise ValueError(f"targets are {targets.dtype}, they must be torch.bool; use targets > 0.")
    low, high = float(mask_probs.min()), float(mask_probs.max())
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"mask_probs run from {low:.3g} to {high:.3g}, probabilities lie in [0, 1]; apply the "
            "sigmoid to logits first."
        )


def _curve(scores: Tensor, target: Tensor, beta2: float) -> Tensor:
    # One histogram of the pixels over the thresholds gives all K counts. They are evenly spaced:
    # the nearest one is a product away, and one comparison tells on which side of it a pixel is.
    thresholds = THRESHOLDS.to(scores.device)
    count = len(thresholds)
    nearest = (scores.clamp(0, 1) * (count - 1)).round_()
    is_above = scores.ge(thresholds.index_select(0, nearest.int())).float()
    reached = nearest.add_(is_above)  # (H * W,), whole numbers in [0, K]
    bins = reached.add_(target.float(), alpha=count + 1).long()
    histograms = torch.bincount(bins, minlength=2 * (count + 1)).view(2, -1)  # by true or not
    at_least = histograms[:, 1:].flip(1).cumsum(1).flip(1)  # (2, K)
    hits, marked = at_least[1], at_least.sum(0)
    return f_measure(hits, marked, histograms[1].sum(), beta2)
