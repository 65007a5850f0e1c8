"""One clip's scores, by small drawings."""

import numpy as np
import pytest
import torch
from torch import Tensor

from avseg.evaluation.scoring import class_map, score_clip, score_sound


def draw(*rows: str) -> Tensor:
    """One frame, (1, H, W) bool; # is marked."""
    return torch.tensor([[[pixel == "#" for pixel in row] for row in rows]])


OWN_TRUTH = draw("##..", "##..")
THEN_TRUTH = draw("...#", "...#")


def test_a_clip_has_the_scores_of_its_frames() -> None:
    scores = score_clip("clip", ["dog"], draw("###.", "#...").float(), OWN_TRUTH, 0.5)
    assert scores.j == scores.j_sounding == scores.dataset_iou == pytest.approx(3 / 5)
    assert scores.union_pixels == 5
    assert (scores.frames, scores.silent_frames, scores.silent_clean) == (1, 0, None)
    assert scores.categories == ("dog",)


def test_who_follows_the_sound_leaves_what_no_longer_sounds() -> None:
    scores = score_sound(OWN_TRUTH.float(), THEN_TRUTH.float(), OWN_TRUTH, THEN_TRUTH.numpy(), 0.5)
    assert scores.j_then == 1.0
    assert scores.still_marked == 0.0
    assert scores.unmoved == 0.0
    assert scores.j_own_sounding == 0.0
    assert scores.marked_area == 0.25


def test_who_does_not_listen_marks_what_no_longer_sounds() -> None:
    own = OWN_TRUTH.float()
    scores = score_sound(own, own, OWN_TRUTH, THEN_TRUTH.numpy(), 0.5)
    assert (scores.j_then, scores.still_marked, scores.unmoved) == (0.0, 1.0, 1.0)
    assert scores.j_own_sounding == scores.f_own_sounding == 1.0


def test_half_of_what_no_longer_sounds_may_be_left() -> None:
    half = draw("##..", "....").float()
    scores = score_sound(OWN_TRUTH.float(), half, OWN_TRUTH, np.zeros((1, 2, 4), bool), 0.5)
    assert scores.still_marked == 0.5
    assert scores.unmoved == 0.5
    assert scores.j_then == 0.0


def test_what_goes_on_sounding_is_not_held_against_the_model() -> None:
    both = OWN_TRUTH | THEN_TRUTH
    scores = score_sound(both.float(), OWN_TRUTH.float(), both, OWN_TRUTH.numpy(), 0.5)
    assert (scores.j_then, scores.still_marked) == (1.0, 0.0)


def test_where_nobody_knows_what_then_sounds_nothing_is_said_of_it() -> None:
    own = OWN_TRUTH.float()
    scores = score_sound(own, own, OWN_TRUTH, None, 0.5)
    assert scores.j_then is scores.still_marked is None
    assert scores.unmoved == 1.0


def test_who_marked_nothing_before_cannot_be_unmoved() -> None:
    nothing = torch.zeros(1, 2, 4)
    scores = score_sound(nothing, nothing, OWN_TRUTH, None, 0.5)
    assert scores.unmoved is None


def test_each_pixel_has_the_class_with_the_largest_logit() -> None:
    logits = torch.tensor([[[[0.0, 1.0]], [[2.0, 0.0]], [[1.0, 3.0]]]])  # (1, 3, 1, 2)
    assert class_map(logits, (1, 2)).tolist() == [[[1, 2]]]
    assert class_map(logits, (4, 8)).shape == (1, 4, 8)
