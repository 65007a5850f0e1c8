"""Scores of single clips, what they are together, and how sure that is.

Every score of a data set is a weighted mean over its clips, so that one set of clips drawn with
replacement (the bootstrap; Efron, Annals of Statistics 7, 1979) gives intervals for all of them.

N clips, R resamples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avseg.metrics.binary import CLEAN_AREA, BinaryMetrics, BinaryScores, mask_iou, strict_mask_iou
from avseg.models.outputs import resize_logits

#: How often the clips are drawn, the share of the resampled scores that an interval holds, and the
#: seed: reports of the same clips have the same resamples, whichever the model.
RESAMPLES, LEVEL, SEED = 2000, 0.95, 0

#: Of fewer clips nothing is said of how sure a score is.
LEAST_CLIPS = 10


#: Values and weights of all clips, (N,) each.
Column = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class SoundScores:
    """What became of a clip under a sound that is not its own; None where a score does not apply.

    Attributes:
        marked_frames: Share of the frames in which 0.1 % of the pixels or more are marked.
        marked_area: Mean share of the pixels that is marked: the false-positive rate of
            AVSBench-Robust where nothing of the picture sounds.
        j_then: Mean J with what then sounds, silent frames all or nothing; None if nobody knows.
        j_own_sounding: Mean J with what the clip's own sound marks, over the frames where that is
            anything.
        f_own_sounding: F over these frames, at the threshold of the masks.
        still_marked: Of what sounds with the clip's own sound and then no longer does, the share
            that is marked.
        unmoved: Mean IoU with the masks under the clip's own sound, over the frames where these
            mark something: 1 for a model that does not listen.
    """

    marked_frames: float
    marked_area: float
    j_then: float | None
    j_own_sounding: float | None
    f_own_sounding: float | None
    still_marked: float | None
    unmoved: float | None


@dataclass(frozen=True)
class ClipScores:
    """How well one clip was segmented; None where a score does not apply.

    Attributes:
        clip_id: Name of the clip in its data set.
        categories: What sounds in the picture, as far as the data set says it.
        j: Mean J of its frames, silent ones by AVSBench's rule.
        j_sounding: Mean J of its frames that are not silent.
        j_strict: Mean J of its frames, silent ones all or nothing.
        f: F at the clip's best threshold; 0 if it is silent throughout, as in AVSBench.
        f_at_threshold: Mean F of its frames that are not silent, at the threshold of the masks.
        dataset_iou: IoU of all its frames together.
        silent_clean: Share of its silent frames with less than 0.1 % of the pixels marked.
        false_positive_area: Mean marked share of its silent frames.
        frames: How many frames are annotated.
        silent_frames: How many of them are silent.
        union_pixels: Pixels that are marked or true.
        sounds: Scores under other sounds, by the name of the sound.
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
    sounds: dict[str, SoundScores]

    @property
    def sounding_frames(self) -> int:
        """Frames in which something visible sounds."""
        return self.frames - self.silent_frames


@dataclass(frozen=True)
class Measure:
    """A score of the whole data set.

    Attributes:
        heading: Of its column.
        weight: Attribute of `ClipScores` with the weight of a clip; None if all weigh the same.
        higher_is_better: Whether more is better.
    """

    heading: str
    weight: str | None
    higher_is_better: bool = True


#: Attribute of `ClipScores` -> what it is. With these weights the mean over clips is what
#: `metrics.binary.BinaryScores` gives.
MEASURES: dict[str, Measure] = {
    "j": Measure("mIoU (J)", "frames"),
    "j_sounding": Measure("J sounding", "sounding_frames"),
    "j_strict": Measure("J strict", "frames"),
    "f": Measure("F", None),
    "f_at_threshold": Measure("F at threshold", "sounding_frames"),
    "dataset_iou": Measure("data-set IoU", "union_pixels"),
    "silent_clean": Measure("silent clean", "silent_frames"),
    "false_positive_area": Measure("marked in silence", "silent_frames", higher_is_better=False),
}


@dataclass(frozen=True)
class Interval:
    """A score and how far it may be off, had other clips been drawn.

    Attributes:
        value: Of the clips there are.
        low: Lower end of the interval; None if there are too few clips for one.
        high: Upper end, likewise.
    """

    value: float
    low: float | None = None
    high: float | None = None


def draw_clips(count: int) -> NDArray[np.float64]:
    """Draw clips with replacement.

    Args:
        count: N.

    Returns:
        How often each clip was drawn, (R, N).
    """
    rng = np.random.default_rng(SEED)
    return rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(np.float64)


def mean_with_interval(
    values: NDArray[np.float64], weights: NDArray[np.float64], drawn: NDArray[np.float64]
) -> Interval | None:
    """Average a score over clips, and say between what it lies in 95 % of the resamples.

    Args:
        values: Of each clip, (N,).
        weights: Of each clip, (N,); a clip with the weight 0 has no such score.
        drawn: From `draw_clips`, (R, N).

    Returns:
        The weighted mean with its interval; None if all weights are 0.
    """
    if not weights.any():
        return None
    mean = float((values * weights).sum() / weights.sum())
    if np.count_nonzero(weights) < LEAST_CLIPS:
        return Interval(mean)
    return Interval(mean, *_ends(resampled_means(values, weights, drawn)))


def difference_with_interval(
    one: Column, other: Column, drawn: NDArray[np.float64]
) -> Interval | None:
    """Subtract the means of two models over the same clips.

    Both are averaged over the same draws before the difference is taken (the paired bootstrap), so
    that clips that are hard for both do not count against either.

    Args:
        one: Of the one model.
        other: Of the other, which is subtracted.
        drawn: From `draw_clips`, (R, N).

    Returns:
        The difference with its interval; None if either has no such score.
    """
    means = [mean_with_interval(*each, drawn) for each in (one, other)]
    if means[0] is None or means[1] is None:
        return None
    difference = means[0].value - means[1].value
    if any(mean is None or mean.low is None for mean in means):
        return Interval(difference)
    resampled = resampled_means(*one, drawn) - resampled_means(*other, drawn)
    return Interval(difference, *_ends(resampled))


def resampled_means(
    values: NDArray[np.float64], weights: NDArray[np.float64], drawn: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Average a score over each resample.

    Args:
        values: Of each clip, (N,).
        weights: Of each clip, (N,).
        drawn: From `draw_clips`, (R, N).

    Returns:
        Weighted means, (R,); not a number where no clip with a weight was drawn.
    """
    total = drawn @ weights
    means = np.full(len(drawn), np.nan)
    np.divide(drawn @ (values * weights), total, out=means, where=total > 0)
    return means


def columns(clips: Sequence[ClipScores]) -> dict[str, Column]:
    """Collect the scores of all clips under their own sounds.

    Args:
        clips: The clips.

    Returns:
        Values and weights by key of `MEASURES`; 0 and 0 where a clip has no such score.
    """
    return {
        name: _with_weights(
            [getattr(clip, name) for clip in clips],
            [1 if of.weight is None else getattr(clip, of.weight) for clip in clips],
        )
        for name, of in MEASURES.items()
    }


def sound_columns(clips: Sequence[ClipScores], sound: str) -> dict[str, Column]:
    """Collect the scores of all clips under a sound.

    Args:
        clips: The clips.
        sound: Its name.

    Returns:
        Values and weights by attribute of `SoundScores`; 0 and 0 where a clip has no such score.
    """
    there = [clip.sounds.get(sound) for clip in clips]
    return {
        each.name: _with_weights(
            [None if scores is None else getattr(scores, each.name) for scores in there],
            [1] * len(clips),
        )
        for each in fields(SoundScores)
    }


def score_with_intervals(clips: Sequence[ClipScores]) -> dict[str, Interval]:
    """Average all scores over clips.

    Args:
        clips: The clips, at least one.

    Returns:
        By key of `MEASURES`; those that apply to no clip are left out.
    """
    drawn = draw_clips(len(clips))
    return _averages(columns(clips), drawn)


def score_sounds(clips: Sequence[ClipScores]) -> dict[str, dict[str, Interval]]:
    """Average the scores under other sounds over the clips that have them.

    Args:
        clips: The clips, at least one.

    Returns:
        By sound, then by attribute of `SoundScores`; what applies to no clip is left out.
    """
    drawn = draw_clips(len(clips))
    names = dict.fromkeys(name for clip in clips for name in clip.sounds)
    return {name: _averages(sound_columns(clips, name), drawn) for name in names}


def by_category(clips: Sequence[ClipScores]) -> dict[str, tuple[ClipScores, ...]]:
    """Sort clips by what sounds in them; a clip with several categories counts in each.

    Args:
        clips: The clips.

    Returns:
        Clips of each category, the categories in alphabetical order.
    """
    categories = sorted({name for clip in clips for name in clip.categories})
    return {name: tuple(clip for clip in clips if name in clip.categories) for name in categories}


def _ends(resampled: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.nanquantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _with_weights(scores: Sequence[float | None], weights: Sequence[float]) -> Column:
    there = np.array([score is not None for score in scores])
    return np.array([score or 0.0 for score in scores]), np.where(there, weights, 0.0)


def _averages(given: Mapping[str, Column], drawn: NDArray[np.float64]) -> dict[str, Interval]:
    intervals = {name: mean_with_interval(*each, drawn) for name, each in given.items()}
    return {name: interval for name, interval in intervals.items() if interval is not None}


def score_clip(
    clip_id: str, categories: Sequence[str], probs: Tensor, truth: Tensor, threshold: float
) -> ClipScores:
    """Score a clip under its own sound.

    Args:
        clip_id: Name of the clip.
        categories: What sounds in the picture, as far as that is known.
        probs: Predicted probabilities, (T, H, W).
        truth: True masks, (T, H, W) bool.
        threshold: Probability above which a pixel is marked.

    Returns:
        The scores, those under other sounds still missing.
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
        union_pixels=int(((probs > threshold) | truth).sum()),
        sounds={},
    )


def score_sound(
    own: Tensor, probs: Tensor, own_truth: Tensor, truth: NDArray[np.bool_] | None, threshold: float
) -> SoundScores:
    """Score a clip under a sound that is not its own.

    Args:
        own: Probabilities under its own sound, (T, H, W).
        probs: Probabilities under the other sound, (T, H, W).
        own_truth: What its own sound marks, (T, H, W) bool.
        truth: What the other sound marks, (T, H, W) bool; None if nobody knows.
        threshold: Probability above which a pixel is marked.

    Returns:
        The scores.
    """
    own_masks, masks = own > threshold, probs > threshold
    area = masks.flatten(1).double().mean(1)
    against_own = _score(probs, own_truth, threshold)
    then = None if truth is None else torch.from_numpy(truth)
    no_longer = None if then is None else own_truth & ~then
    return SoundScores(
        marked_frames=float((area >= CLEAN_AREA).double().mean()),
        marked_area=float(area.mean()),
        j_then=None if then is None else float(strict_mask_iou(masks, then).mean()),
        j_own_sounding=against_own.j_sounding,
        f_own_sounding=against_own.f_at_threshold,
        still_marked=None if no_longer is None else _mean_share(masks, no_longer),
        unmoved=_mean_overlap(own_masks, masks),
    )


def class_map(class_logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Choose the class of each pixel.

    Args:
        class_logits: Of K classes, number 0 the background, (T, K, h, w).
        size: H and W.

    Returns:
        Class numbers, (T, H, W) int64.
    """
    # A frame at a time: the logits of all classes at the frames' own size are large.
    frames = [resize_logits(frame, size).argmax(0) for frame in class_logits]
    return torch.stack(frames)


def _score(probs: Tensor, truth: Tensor, threshold: float) -> BinaryScores:
    metrics = BinaryMetrics(threshold)
    metrics.update(probs, truth)
    return metrics.compute()


def _mean_share(masks: Tensor, of: Tensor) -> float | None:
    """Average the marked share of some pixels over the frames that have any."""
    there = of.flatten(1).any(1)
    if not there.any():
        return None
    shares = (masks & of).flatten(1).sum(1)[there] / of.flatten(1).sum(1)[there]
    return float(shares.mean())


def _mean_overlap(own: Tensor, other: Tensor) -> float | None:
    """Average the IoU of two masks over the frames where the first marks something."""
    marks = own.flatten(1).any(1)
    return float(mask_iou(other[marks], own[marks]).mean()) if marks.any() else None
