"""Scores of single clips, their means over a data set, and the confidence intervals of the means.

Every score of a data set is a weighted mean over its clips. Clips are drawn with replacement (the
bootstrap; Efron, Annals of Statistics 7, 1979); the same draws give the intervals of all scores.

N is the number of clips, R the number of resamples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avseg.metrics.binary import CLEAN_AREA, BinaryMetrics, BinaryScores, mask_iou, strict_mask_iou
from avseg.models.outputs import resize_logits

#: Number of bootstrap resamples, share of the resampled scores that an interval contains, and seed.
#: The seed is fixed, so that reports of different models on the same clips use the same resamples.
RESAMPLES, LEVEL, SEED = 2000, 0.95, 0

#: With fewer clips no interval is computed: resamples of so few clips understate the uncertainty.
LEAST_CLIPS = 10

#: One score of all clips and the weight of each clip, (N,) each.
WeightedValues = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class ConditionScores:
    """Scores of a clip with replaced audio, under one condition; None if a score does not apply.

    The names are also keys of report.json and columns of clips.csv.

    Attributes:
        marked_frames: Share of the frames in which 0.1 % of the pixels or more are marked.
        marked_area: Mean share of the pixels that is marked: the false-positive rate of
            AVSBench-Robust if no visible object sounds.
        j_condition: Mean strict J with the ground truth for the new audio; None if it is unknown.
        j_own_sounding: Mean J with the ground truth for the original audio, over the frames in
            which that ground truth is not empty.
        f_own_sounding: Mean F over these frames, at the threshold of the masks.
        silenced_marked: Marked share of the pixels of objects that sounded with the original audio
            and are silent with the new audio.
        iou_with_original: Mean IoU with the masks predicted for the original audio, over the frames
            in which those masks are not empty; 1 for a model that does not use the audio.
    """

    marked_frames: float
    marked_area: float
    j_condition: float | None
    j_own_sounding: float | None
    f_own_sounding: float | None
    silenced_marked: float | None
    iou_with_original: float | None


@dataclass(frozen=True)
class ClipScores:
    """Scores of one clip; None if a score does not apply.

    The names are also keys of report.json and columns of clips.csv.

    Attributes:
        clip_id: Name of the clip in its data set.
        categories: Visible sounding categories, if the data set lists them.
        j: Mean J of its frames; silent frames are scored by AVSBench's rule.
        j_sounding: Mean J of its frames that are not silent.
        j_strict: Mean J of its frames; a silent frame scores 1 if no pixel is marked, else 0.
        f: F at the clip's best threshold; 0 if all frames are silent, as in AVSBench.
        f_at_threshold: Mean F of its frames that are not silent, at the threshold of the masks.
        dataset_iou: IoU over the pixels of all its frames.
        silent_clean: Share of its silent frames with less than 0.1 % of the pixels marked.
        false_positive_area: Mean marked share of its silent frames.
        frames: Number of annotated frames.
        silent_frames: Number of silent frames among them.
        union_pixels: Number of pixels in the union of predicted masks and ground truth.
        conditions: Scores with replaced audio, by the name of the condition.
    """

    clip_id: str
    categories: tuple[str, ...]
    j: float
    j_sounding: float | None
    j_strict: float
    f: float
    f_at_threshold: float | None
    dataset_iou: float | None
    silent_clean: float | None
    false_positive_area: float | None
    frames: int
    silent_frames: int
    union_pixels: int
    conditions: dict[str, ConditionScores]

    @property
    def sounding_frames(self) -> int:
        """Number of frames in which a visible object sounds."""
        return self.frames - self.silent_frames


@dataclass(frozen=True)
class ScoreColumn:
    """A score of the whole data set, one column of the tables.

    Attributes:
        heading: Heading of the column.
        weight: Attribute of `ClipScores` that weighs a clip in the mean; None for equal weights.
        higher_is_better: Whether a higher value is better.
    """

    heading: str
    weight: str | None
    higher_is_better: bool = True


#: Attribute of `ClipScores` -> its column. With these weights the mean over clips equals the score
#: of `metrics.binary.BinaryScores` over all frames together.
SCORE_COLUMNS: dict[str, ScoreColumn] = {
    "j": ScoreColumn("mIoU (J)", "frames"),
    "j_sounding": ScoreColumn("J sounding", "sounding_frames"),
    "j_strict": ScoreColumn("J strict", "frames"),
    "f": ScoreColumn("F", None),
    "f_at_threshold": ScoreColumn("F at threshold", "sounding_frames"),
    "dataset_iou": ScoreColumn("data-set IoU", "union_pixels"),
    "silent_clean": ScoreColumn("silent clean", "silent_frames"),
    "false_positive_area": ScoreColumn(
        "marked in silence", "silent_frames", higher_is_better=False
    ),
}


@dataclass(frozen=True)
class Interval:
    """A mean score and its bootstrap confidence interval over clips.

    Attributes:
        value: Mean over the clips of the data set.
        low: Lower end of the interval; None if there are too few clips for an interval.
        high: Upper end; None if there are too few clips for an interval.
    """

    value: float
    low: float | None = None
    high: float | None = None


def draw_clips(count: int) -> NDArray[np.float64]:
    """Draw the bootstrap resamples: N clips with replacement, R times.

    Args:
        count: N.

    Returns:
        Number of times that each clip was drawn in each resample, (R, N).
    """
    # Counts instead of indices: a resampled mean is then one matrix product.
    rng = np.random.default_rng(SEED)
    # Drawing N times from N clips with replacement is one multinomial draw.
    return rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(np.float64)


def mean_with_interval(
    values: NDArray[np.float64], weights: NDArray[np.float64], drawn: NDArray[np.float64]
) -> Interval | None:
    """Compute the weighted mean of a score over clips with its bootstrap interval.

    Args:
        values: Score of each clip, (N,).
        weights: Weight of each clip, (N,); 0 for a clip to which the score does not apply.
        drawn: Resamples from `draw_clips`, (R, N).

    Returns:
        The weighted mean with its interval; None if all weights are 0.
    """
    if not weights.any():
        return None
    mean = float((values * weights).sum() / weights.sum())
    # Clips of weight 0 add nothing to a resample, so only the other clips count here.
    if np.count_nonzero(weights) < LEAST_CLIPS:
        return Interval(mean)
    return Interval(mean, *_ends(resampled_means(values, weights, drawn)))


def difference_with_interval(
    values: WeightedValues, reference: WeightedValues, drawn: NDArray[np.float64]
) -> Interval | None:
    """Compute the difference between the means of two models over the same clips.

    Both means are computed over the same resamples, and then subtracted (the paired bootstrap). A
    clip that is difficult for both models then does not widen the interval.

    Args:
        values: Score of the model.
        reference: Score of the reference model, which is subtracted.
        drawn: Resamples from `draw_clips`, (R, N).

    Returns:
        The difference with its interval; None if the score does not apply to one of them.
    """
    means = [mean_with_interval(*each, drawn) for each in (values, reference)]
    if means[0] is None or means[1] is None:
        return None
    difference = means[0].value - means[1].value
    if any(mean is None or mean.low is None for mean in means):
        return Interval(difference)
    resampled = resampled_means(*values, drawn) - resampled_means(*reference, drawn)
    return Interval(difference, *_ends(resampled))


def resampled_means(
    values: NDArray[np.float64], weights: NDArray[np.float64], drawn: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Compute the weighted mean of a score over each resample.

    Args:
        values: Score of each clip, (N,).
        weights: Weight of each clip, (N,).
        drawn: Resamples from `draw_clips`, (R, N).

    Returns:
        Weighted means, (R,); NaN for a resample without a clip of positive weight.
    """
    # A weighted mean is a ratio of sums, so both sums are resampled with the same draws.
    total = drawn @ weights
    means = np.full(len(drawn), np.nan)
    np.divide(drawn @ (values * weights), total, out=means, where=total > 0)
    return means


def clip_values(clips: Sequence[ClipScores]) -> dict[str, WeightedValues]:
    """Collect the scores of all clips with their original audio.

    Args:
        clips: The clips.

    Returns:
        Values and weights by key of `SCORE_COLUMNS`; both 0 for a clip to which a score does not
        apply.
    """
    return {
        name: _with_weights(
            [getattr(clip, name) for clip in clips],
            [1 if column.weight is None else getattr(clip, column.weight) for clip in clips],
        )
        for name, column in SCORE_COLUMNS.items()
    }


def condition_values(clips: Sequence[ClipScores], condition: str) -> dict[str, WeightedValues]:
    """Collect the scores of all clips under one condition.

    Args:
        clips: The clips.
        condition: Name of the condition.

    Returns:
        Values and weights by attribute of `ConditionScores`; both 0 for a clip to which a score
        does not apply.
    """
    scores = [clip.conditions.get(condition) for clip in clips]
    return {
        each.name: _with_weights(
            [None if of_clip is None else getattr(of_clip, each.name) for of_clip in scores],
            [1] * len(clips),
        )
        for each in fields(ConditionScores)
    }


def score_with_intervals(clips: Sequence[ClipScores]) -> dict[str, Interval]:
    """Average the scores with the original audio over clips.

    Args:
        clips: The clips, at least one.

    Returns:
        Means by key of `SCORE_COLUMNS`; scores that apply to no clip are omitted.
    """
    drawn = draw_clips(len(clips))
    return _averages(clip_values(clips), drawn)


def score_conditions(clips: Sequence[ClipScores]) -> dict[str, dict[str, Interval]]:
    """Average the scores under each condition over the clips that have it.

    Args:
        clips: The clips, at least one.

    Returns:
        Means by condition, then by attribute of `ConditionScores`; scores that apply to no clip are
        omitted.
    """
    drawn = draw_clips(len(clips))
    names = dict.fromkeys(name for clip in clips for name in clip.conditions)
    return {name: _averages(condition_values(clips, name), drawn) for name in names}


def by_category(clips: Sequence[ClipScores]) -> dict[str, tuple[ClipScores, ...]]:
    """Group clips by sounding category; a clip with several categories is in each group.

    Args:
        clips: The clips.

    Returns:
        Clips of each category, the categories in alphabetical order.
    """
    categories = sorted({name for clip in clips for name in clip.categories})
    return {name: tuple(clip for clip in clips if name in clip.categories) for name in categories}


def _ends(resampled: NDArray[np.float64]) -> tuple[float, float]:
    # The percentile interval. Resamples in which all weights are 0 are NaN, and are ignored.
    low, high = np.nanquantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _with_weights(scores: Sequence[float | None], weights: Sequence[float]) -> WeightedValues:
    applies = np.array([score is not None for score in scores])
    # None becomes 0; its weight is 0 too, so it does not enter the mean.
    return np.array([score or 0.0 for score in scores]), np.where(applies, weights, 0.0)


def _averages(
    given: Mapping[str, WeightedValues], drawn: NDArray[np.float64]
) -> dict[str, Interval]:
    intervals = {name: mean_with_interval(*each, drawn) for name, each in given.items()}
    return {name: interval for name, interval in intervals.items() if interval is not None}


def score_clip(
    clip_id: str, categories: Sequence[str], probs: Tensor, truth: Tensor, threshold: float
) -> ClipScores:
    """Score a clip with its original audio.

    Args:
        clip_id: Name of the clip.
        categories: Visible sounding categories, if they are known.
        probs: Predicted probabilities, (T, H, W).
        truth: Ground truth, (T, H, W) bool.
        threshold: Probability above which a pixel is marked.

    Returns:
        The scores, without those under conditions.
    """
    scores = _score(probs, truth, threshold)
    return ClipScores(
        clip_id=clip_id,
        categories=tuple(categories),
        j=scores.j,
        j_sounding=scores.j_sounding,
        j_strict=scores.j_strict,
        f=scores.f,
        f_at_threshold=scores.f_at_threshold,
        dataset_iou=scores.dataset_iou,
        silent_clean=scores.silent_clean,
        false_positive_area=scores.false_positive_area,
        frames=scores.frame_count,
        silent_frames=scores.silent_count,
        # Weight of `dataset_iou`: the IoU of all frames is the mean of clip IoUs weighted by
        # unions.
        union_pixels=int(((probs > threshold) | truth).sum()),
        conditions={},
    )


def score_condition(
    own: Tensor, probs: Tensor, own_truth: Tensor, truth: NDArray[np.bool_] | None, threshold: float
) -> ConditionScores:
    """Score a clip with replaced audio.

    Args:
        own: Probabilities predicted for the original audio, (T, H, W).
        probs: Probabilities predicted for the new audio, (T, H, W).
        own_truth: Ground truth for the original audio, (T, H, W) bool.
        truth: Ground truth for the new audio, (T, H, W) bool; None if it is unknown.
        threshold: Probability above which a pixel is marked.

    Returns:
        The scores.
    """
    own_masks, masks = own > threshold, probs > threshold
    area = masks.flatten(1).double().mean(1)
    # AVSBench-Robust keeps the original ground truth under replaced audio, so that a lower score is
    # better.
    against_own = _score(probs, own_truth, threshold)
    new_truth = None if truth is None else torch.from_numpy(truth)
    # Only objects that no longer sound: marking objects that still sound is right.
    silenced = None if new_truth is None else own_truth & ~new_truth
    return ConditionScores(
        marked_frames=float((area >= CLEAN_AREA).double().mean()),
        marked_area=float(area.mean()),
        j_condition=None if new_truth is None else float(strict_mask_iou(masks, new_truth).mean()),
        j_own_sounding=against_own.j_sounding,
        f_own_sounding=against_own.f_at_threshold,
        silenced_marked=None if silenced is None else _mean_marked_share(masks, silenced),
        iou_with_original=_mean_overlap(own_masks, masks),
    )


def class_map(class_logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Compute the class map: the class with the largest logit at each pixel.

    Args:
        class_logits: Logits of K classes, number 0 the background, (T, K, h, w).
        size: H and W.

    Returns:
        Class numbers, (T, H, W) int64.
    """
    # One frame at a time: logits of 71 classes at full size need much memory.
    frames = [resize_logits(frame, size).argmax(0) for frame in class_logits]
    return torch.stack(frames)


def _score(probs: Tensor, truth: Tensor, threshold: float) -> BinaryScores:
    metrics = BinaryMetrics(threshold)
    metrics.update(probs, truth)
    return metrics.compute()


def _mean_marked_share(masks: Tensor, pixels: Tensor) -> float | None:
    """Average the marked share of the given pixels over the frames that have any."""
    present = pixels.flatten(1).any(1)
    if not present.any():
        return None
    shares = (masks & pixels).flatten(1).sum(1)[present] / pixels.flatten(1).sum(1)[present]
    return float(shares.mean())


def _mean_overlap(own: Tensor, other: Tensor) -> float | None:
    """Average the IoU of two masks over the frames in which the first is not empty."""
    marked = own.flatten(1).any(1)
    return float(mask_iou(other[marked], own[marked]).mean()) if marked.any() else None
