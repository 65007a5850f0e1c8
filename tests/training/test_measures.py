"""Measures of training: their scores for known outputs."""

from typing import Any

import torch
from torch import Tensor

from avseg.models.outputs import AvsegOutput
from avseg.training.measures import MaskMeasure, Measure


def measured(measure: Measure, out: object, **batch: Tensor) -> dict[str, float]:
    """Return the scores of one batch."""
    measure.update(out, batch)
    return measure.compute()


def test_masks_are_scored_at_the_size_of_the_ground_truth() -> None:
    targets = torch.zeros(1, 2, 4, 4, dtype=torch.bool)
    targets[0, 0] = True
    logits = torch.tensor([9.0, -9.0]).view(1, 2, 1, 1)
    out = AvsegOutput(loss=torch.tensor(0.25), mask_logits=logits)
    measures = measured(MaskMeasure(), out, targets=targets)
    assert (measures["loss"], measures["j"], measures["silent_clean"]) == (0.25, 1.0, 1.0)


def test_a_score_that_the_data_does_not_define_is_left_out() -> None:
    targets = torch.ones(1, 1, 4, 4, dtype=torch.bool)
    logits = torch.full((1, 1, 4, 4), 9.0)
    out = AvsegOutput(loss=torch.tensor(0.0), mask_logits=logits)
    assert "silent_clean" not in measured(MaskMeasure(), out, targets=targets)


def random_batches(count: int) -> list[tuple[Any, dict[str, Tensor]]]:
    """Return batches of two clips of three frames."""
    torch.manual_seed(0)
    return [
        (
            AvsegOutput(loss=torch.rand(()), mask_logits=torch.randn(2, 3, 4, 4)),
            {"targets": torch.rand(2, 3, 4, 4) > 0.6},
        )
        for _ in range(count)
    ]


def test_merged_mask_measures_equal_one_measure_of_all_batches() -> None:
    whole, parts = MaskMeasure(), [MaskMeasure(), MaskMeasure()]
    for i, (out, batch) in enumerate(random_batches(4)):
        whole.update(out, batch)
        parts[i // 2].update(out, batch)
    parts[0].merge(parts[1])
    assert parts[0].compute() == whole.compute()
