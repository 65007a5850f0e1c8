"""Scores of clips, their means and intervals."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from avseg.evaluation.scores import (
    LEAST_CLIPS,
    RESAMPLES,
    SCORE_COLUMNS,
    by_category,
    class_map,
    draw_clips,
    mean_with_interval,
    resampled_means,
    score_clip,
    score_condition,
    score_conditions,
    score_with_intervals,
)
from avseg.metrics.binary import BinaryMetrics
from tests.evaluation.reports import LONG_REPORT, MUTED, REPORT, clip_of


def test_the_means_over_clips_are_the_scores_of_all_frames_together() -> None:
    generator = torch.Generator().manual_seed(0)
    metrics, clips = BinaryMetrics(), []
    for number, seconds in enumerate((5, 5, 10, 5, 1)):
        probs = torch.rand(seconds, 6, 7, generator=generator)
        truth = torch.rand(seconds, 6, 7, generator=generator) > 0.6
        truth[::2] = False
        if number == 4:
            probs[:] = 0
        metrics.update(probs, truth)
        clips.append(score_clip(f"clip-{number}", (), probs, truth, 0.5))
    together = metrics.compute()
    scores = score_with_intervals(clips)
    for name in SCORE_COLUMNS:
        assert scores[name].value == pytest.approx(getattr(together, name)), name


def test_a_score_that_applies_to_no_clip_is_omitted() -> None:
    assert "silent_clean" not in score_with_intervals([clip_of(0, 0.5)])
    assert "j_sounding" not in score_with_intervals([clip_of(0, 0.5, silent_frames=5)])


def test_each_resample_has_as_many_clips_as_the_data_set() -> None:
    drawn = draw_clips(7)
    assert drawn.shape == (RESAMPLES, 7)
    assert (drawn.sum(1) == 7).all()
    np.testing.assert_array_equal(drawn, draw_clips(7))


def test_the_interval_of_many_clips_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(3).normal(0.5, 0.1, 400)
    found = mean_with_interval(values, np.ones(400), draw_clips(400))
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    half_width = 1.96 * values.std() / np.sqrt(400)
    assert found.low == pytest.approx(values.mean() - half_width, abs=1e-3)
    assert found.high == pytest.approx(values.mean() + half_width, abs=1e-3)


def test_few_clips_give_no_interval() -> None:
    few, enough = (np.linspace(0, 1, LEAST_CLIPS - 1 + more) for more in (0, 1))
    short = mean_with_interval(few, np.ones(len(few)), draw_clips(len(few)))
    assert short is not None
    assert short.value == pytest.approx(0.5)
    assert short.low is short.high is None
    longer = mean_with_interval(enough, np.ones(len(enough)), draw_clips(len(enough)))
    assert longer is not None
    assert longer.low is not None


def test_clips_are_weighted_in_each_resample() -> None:
    drawn = np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 2.0]])
    means = resampled_means(np.array([0.0, 1.0]), np.array([3.0, 1.0]), drawn)
    np.testing.assert_allclose(means, [0.25, 0, 1])


def test_a_resample_without_positive_weight_has_no_mean() -> None:
    means = resampled_means(np.array([0.0, 1.0]), np.array([0.0, 1.0]), np.array([[2.0, 0.0]]))
    assert np.isnan(means).all()


def test_conditions_are_averaged_over_the_clips_that_have_them() -> None:
    first, second = REPORT.clips
    shifted = replace(MUTED, marked_area=0.3, j_condition=None)
    clips = [replace(first, conditions={"muted": MUTED, "shifted": shifted}), second]
    scores = score_conditions(clips)
    assert list(scores) == ["muted", "shifted"]
    assert scores["shifted"]["marked_area"].value == pytest.approx(0.3)
    assert "j_condition" not in scores["shifted"]


def test_a_clip_is_in_the_group_of_each_of_its_categories() -> None:
    groups = by_category(LONG_REPORT.clips)
    assert list(groups) == ["cat", "dog"]
    assert len(groups["cat"]) == 10
    assert len(groups["dog"]) == 20


def draw(*rows: str) -> Tensor:
    """Return one frame, (1, H, W) bool; # is True."""
    return torch.tensor([[[pixel == "#" for pixel in row] for row in rows]])


OWN_TRUTH = draw("##..", "##..")
NEW_TRUTH = draw("...#", "...#")


def test_a_clip_has_the_scores_of_its_frames() -> None:
    scores = score_clip("clip", ["dog"], draw("###.", "#...").float(), OWN_TRUTH, 0.5)
    assert scores.j == scores.j_sounding == scores.dataset_iou == pytest.approx(3 / 5)
    assert scores.union_pixels == 5
    assert (scores.frames, scores.silent_frames, scores.silent_clean) == (1, 0, None)
    assert scores.categories == ("dog",)


def test_a_mask_that_follows_the_audio_leaves_the_silenced_object_clean() -> None:
    scores = score_condition(
        OWN_TRUTH.float(), NEW_TRUTH.float(), OWN_TRUTH, NEW_TRUTH.numpy(), 0.5
    )
    assert scores.j_condition == 1.0
    assert scores.silenced_marked == 0.0
    assert scores.iou_with_original == 0.0
    assert scores.j_own_sounding == 0.0
    assert scores.marked_area == 0.25


def test_a_mask_that_ignores_the_audio_still_marks_the_silenced_object() -> None:
    own = OWN_TRUTH.float()
    scores = score_condition(own, own, OWN_TRUTH, NEW_TRUTH.numpy(), 0.5)
    assert (scores.j_condition, scores.silenced_marked, scores.iou_with_original) == (0.0, 1.0, 1.0)
    assert scores.j_own_sounding == scores.f_own_sounding == 1.0


def test_still_marked_is_the_marked_share_of_the_silenced_object() -> None:
    half = draw("##..", "....").float()
    scores = score_condition(OWN_TRUTH.float(), half, OWN_TRUTH, np.zeros((1, 2, 4), bool), 0.5)
    assert scores.silenced_marked == 0.5
    assert scores.iou_with_original == 0.5
    assert scores.j_condition == 0.0


def test_an_object_that_still_sounds_does_not_count_as_still_marked() -> None:
    both = OWN_TRUTH | NEW_TRUTH
    scores = score_condition(both.float(), OWN_TRUTH.float(), both, OWN_TRUTH.numpy(), 0.5)
    assert (scores.j_condition, scores.silenced_marked) == (1.0, 0.0)


def test_without_a_new_ground_truth_its_scores_are_none() -> None:
    own = OWN_TRUTH.float()
    scores = score_condition(own, own, OWN_TRUTH, None, 0.5)
    assert scores.j_condition is scores.silenced_marked is None
    assert scores.iou_with_original == 1.0


def test_without_an_original_mask_there_is_no_overlap() -> None:
    nothing = torch.zeros(1, 2, 4)
    scores = score_condition(nothing, nothing, OWN_TRUTH, None, 0.5)
    assert scores.iou_with_original is None


def test_each_pixel_has_the_class_with_the_largest_logit() -> None:
    logits = torch.tensor([[[[0.0, 1.0]], [[2.0, 0.0]], [[1.0, 3.0]]]])  # (1, 3, 1, 2)
    assert class_map(logits, (1, 2)).tolist() == [[[1, 2]]]
    assert class_map(logits, (4, 8)).shape == (1, 4, 8)
