"""Matching of queries with the classes of their frame."""

import torch

from avseg.models.tavis.matching import match

POINTS = torch.rand(1, 256, 2, generator=torch.Generator().manual_seed(0))


def scene() -> tuple[torch.Tensor, torch.Tensor]:
    """Three classes, one in each third of the frame, and the masks of perfect queries."""
    labels = torch.zeros(1, 24, 24, dtype=torch.uint8)
    logits = torch.full((1, 4, 24, 24), -10.0)
    for number in range(3):
        rows = slice(8 * number, 8 * number + 8)
        labels[:, rows] = number + 2
        logits[:, number, rows] = 10.0
    return logits, labels


def test_perfect_masks_and_names_are_matched_in_order() -> None:
    logits, labels = scene()
    probs = torch.eye(6)[2:].unsqueeze(0)  # query i is surely class i + 2
    matches = match(logits, probs, probs, labels, POINTS)
    assert matches.queries.tolist() == [0, 1, 2]
    assert matches.classes.tolist() == [2, 3, 4]
    assert matches.class_of_each_query((1, 4)).tolist() == [[2, 3, 4, 0]]
    assert torch.equal(matches.masks(labels)[1], labels[0] == 3)


def test_masks_decide_where_names_do_not() -> None:
    logits, labels = scene()
    alike = torch.full((1, 4, 6), 1 / 6)
    matches = match(logits.flip(1), alike, alike, labels, POINTS)
    assert dict(zip(matches.queries.tolist(), matches.classes.tolist(), strict=True)) == {
        3: 2,
        2: 3,
        1: 4,
    }


def test_names_decide_where_masks_do_not() -> None:
    logits, labels = scene()
    probs = torch.eye(6)[[4, 3, 2, 0]].unsqueeze(0)
    matches = match(torch.zeros_like(logits), probs, probs, labels, POINTS)
    assert matches.class_of_each_query((1, 4)).tolist() == [[4, 3, 2, 0]]


def test_an_empty_frame_has_no_pairs() -> None:
    logits, labels = scene()
    probs = torch.full((1, 4, 6), 1 / 6)
    assert len(match(logits, probs, probs, torch.zeros_like(labels), POINTS)) == 0


def test_a_frame_without_background_keeps_all_its_classes() -> None:
    logits, labels = scene()
    assert labels.min() > 0
    probs = torch.full((1, 4, 6), 1 / 6)
    assert len(match(logits, probs, probs, labels, POINTS)) == 3


def test_classes_beyond_the_number_of_queries_stay_unmatched() -> None:
    logits, labels = scene()
    probs = torch.full((1, 2, 6), 1 / 6)
    matches = match(logits[:, :2], probs, probs, labels, POINTS)
    assert matches.classes.tolist() == [2, 3]
