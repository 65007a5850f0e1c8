"""The output container."""

import torch

from avseg.models.outputs import AvsegOutput


def test_what_was_not_computed_is_left_out() -> None:
    outputs = AvsegOutput(mask_logits=torch.zeros(1, 2, 4, 4))
    assert list(outputs) == ["mask_logits"]
    assert outputs.loss is None
