"""What scores say of a model's listening: AVSBench-Robust's G-measures, and vision bias.

AVSBench-Robust (Li et al., 2025, arXiv:2502.00358) gives each clip, beside its own sound, negative
ones: silence, noise, and something off the screen. It keeps the true masks, so under a negative
sound a low score is good, and adds the false-positive rate, the share of the frame that is marked.
Its G-mIoU, G-F and G-FPR put the conditions together, but neither the released code nor its README
says how. THE FORMULAS OF THE G-MEASURES HERE ARE OURS; do not print them beside the paper's.

All scores are plain numbers in [0, 1]. Take them over frames in which something sounds: a silent
frame is scored for being left clean, which is no sign of marking under a negative sound.
"""

from collections.abc import Mapping
from math import fsum


def global_score(positive: float, negatives: Mapping[str, float]) -> float:
    """Join what a model marks under the true sound with what it leaves under negative ones.

    G-mIoU if the scores are J, G-F if they are F: the harmonic mean of the score under the true
    sound and of one minus the mean score under the negative ones. 1 needs a perfect mask that
    vanishes with its sound; a model that ignores the sound has 2 p (1 - p), at most 0.5.

    Args:
        positive: Score under the true sound.
        negatives: Score against the same true masks under each negative sound, by its name.

    Returns:
        The joint score in [0, 1].

    Raises:
        ValueError: If there is no negative sound, or a score is out of its range.
    """
    _check({"true": positive, **negatives})
    silence = 1 - _mean(negatives)
    return 2 * positive * silence / (positive + silence) if positive + silence else 0.0


def global_false_positive_rate(rates: Mapping[str, float]) -> float:
    """Average the share of the frames that is marked under negative sounds, G-FPR.

    Args:
        rates: Mean marked share of a frame under each negative sound, by its name.

    Returns:
        The mean over the negative sounds in [0, 1]; lower is better.

    Raises:
        ValueError: If there is no negative sound, or a rate is out of its range.
    """
    _check(rates)
    return _mean(rates)


def vision_bias(positive: float, negative: float) -> float | None:
    """Say how much of a score remains without the sound.

    Args:
        positive: Score under the true sound.
        negative: Score against the same true masks without it.

    Returns:
        Their ratio: 0 if nothing is marked without the sound, 1 if the sound makes no difference;
        None if there is no score to lose.

    Raises:
        ValueError: If a score is out of its range.
    """
    _check({"true": positive, "negative": negative})
    return negative / positive if positive else None


def _mean(values: Mapping[str, float]) -> float:
    if not values:
        raise ValueError("there is no negative sound to average over; give at least one.")
    return fsum(values.values()) / len(values)


def _check(scores: Mapping[str, float]) -> None:
    for name, score in scores.items():
        if not 0 <= score <= 1:
            raise ValueError(f"the score under sound {name!r} is {score}, it must be in [0, 1].")
