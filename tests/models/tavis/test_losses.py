"""Losses of TAViS in cases that can be computed by hand."""

import math

import pytest
import torch

from avseg.models.tavis.losses import (
    alignment_loss,
    binary_loss,
    pseudo_text_loss,
    separate_loss,
    soft_iou_loss,
    total_loss,
)
from avseg.models.tavis.matching import Matches
from tests.models.tavis_factories import TAVIS


def test_the_iou_loss_counts_shared_probability() -> None:
    truth = torch.tensor([[[1, 1], [0, 0]]])
    logits = torch.zeros(1, 2, 2)  # half everywhere: shared 1, together 2 + 2 - 1
    assert soft_iou_loss(logits, truth).item() == pytest.approx(2 / 3, abs=1e-5)
    assert soft_iou_loss(logits, torch.zeros_like(truth)).item() == 1.0


def test_the_background_has_a_tenth_of_the_weight() -> None:
    logits = torch.zeros(1, 2, 4)
    logits[0, 1, 0] = math.log(3)  # the second query: class 0 has half of the probability
    classes = torch.tensor([[1, 0]])
    expected = (math.log(4) + 0.1 * math.log(2)) / 1.1
    assert alignment_loss(logits, classes, 0.1).item() == pytest.approx(expected)


def test_pseudo_text_is_compared_with_the_text_of_its_class() -> None:
    states = torch.tensor([[0.0, 0.0], [1.0, 3.0]])
    pseudo = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
    assert pseudo_text_loss(pseudo, states, torch.tensor([[1, 0]])).item() == 1.0


def test_only_matched_masks_have_the_separate_loss() -> None:
    labels = torch.zeros(1, 4, 4, dtype=torch.int64)
    labels[:, :2] = 3
    logits = torch.where(labels == 3, 20.0, -20.0).unsqueeze(1).repeat(1, 2, 1, 1)
    logits[:, 0] = 0.0
    good = Matches(torch.tensor([0]), torch.tensor([1]), torch.tensor([3]))
    bad = Matches(torch.tensor([0]), torch.tensor([0]), torch.tensor([3]))
    assert separate_loss(logits, labels, good).item() == pytest.approx(0.0, abs=1e-5)
    assert separate_loss(logits, labels, bad).item() == pytest.approx(math.log(2) + 2 / 3, abs=1e-4)


def test_all_classes_together_are_the_binary_truth() -> None:
    labels = torch.zeros(1, 4, 4, dtype=torch.int64)
    labels[:, 0], labels[:, 1] = 1, 2
    logits = torch.where(labels > 0, 20.0, -20.0)
    assert binary_loss(logits, labels).item() == pytest.approx(0.0, abs=1e-5)


def test_losses_are_added_with_their_weights() -> None:
    one = torch.tensor(1.0)
    parts = {"binary": one, "a2t": one, "i2t": one, "separate": one, "a2pt": one}
    assert total_loss(parts, 2, TAVIS.losses).item() == pytest.approx(1 + 0.25 + 0.25 + 1 + 0.3)
    plain = TAVIS.losses.replace(divide_by_pairs=False, separate_weight=0.0)
    assert total_loss(parts, 2, plain).item() == pytest.approx(1 + 0.5 + 0.5 + 0.3)
    assert total_loss({"binary": one}, 0, TAVIS.losses).item() == 1.0
