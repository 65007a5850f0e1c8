"""Does a model listen: the G-measures and vision bias, on numbers."""

import pytest

from avseg.metrics.robustness import global_false_positive_rate, global_score, vision_bias

NOTHING_LEFT = {"muted": 0.0, "noise": 0.0}


def test_a_perfect_mask_that_vanishes_with_its_sound_scores_one() -> None:
    assert global_score(1.0, NOTHING_LEFT) == 1.0


def test_the_joint_score_is_the_harmonic_mean_of_marking_and_of_leaving() -> None:
    # Marked: 0.8. Left: 1 - (0.3 + 0.5) / 2 = 0.6.
    joint = global_score(0.8, {"muted": 0.3, "noise": 0.5})
    assert joint == pytest.approx(2 * 0.8 * 0.6 / (0.8 + 0.6))


@pytest.mark.parametrize("score", [0.0, 0.5, 0.8, 1.0])
def test_a_deaf_model_scores_at_most_a_half(score: float) -> None:
    joint = global_score(score, {"muted": score})
    assert joint == pytest.approx(2 * score * (1 - score))
    assert joint <= 0.5


def test_marking_everything_always_scores_zero_though_the_mask_is_perfect() -> None:
    assert global_score(1.0, {"muted": 1.0}) == 0.0


def test_a_model_that_never_marks_anything_scores_zero() -> None:
    assert global_score(0.0, NOTHING_LEFT) == 0.0


def test_each_negative_sound_weighs_the_same_in_the_false_positive_rate() -> None:
    assert global_false_positive_rate({"muted": 0.0, "noise": 0.1, "off": 0.2}) == pytest.approx(
        0.1
    )


def test_vision_bias_is_the_share_of_the_score_that_remains_without_sound() -> None:
    assert vision_bias(0.8, 0.6) == pytest.approx(0.75)
    assert vision_bias(0.8, 0.0) == 0.0


def test_where_there_is_no_score_there_is_no_vision_bias() -> None:
    assert vision_bias(0.0, 0.0) is None


def test_no_negative_sound_is_an_error() -> None:
    with pytest.raises(ValueError, match="no negative sound to average over"):
        global_score(0.8, {})


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan"), 78.8])
def test_percentages_and_what_is_no_score_are_refused(score: float) -> None:
    with pytest.raises(ValueError, match=r"sound 'noise' is .*, it must be in \[0, 1\]"):
        global_false_positive_rate({"noise": score})
