"""EVF-SAM computes what its authors' code computes, on the same weights, images and texts.

Recorded at a tiny size in float64; `reference.py` says how.
"""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from avseg.backbones.sam import MaskPrediction
from avseg.models.evf_sam import EvfSamModel
from tests.parity.reference import EvfSamCase

pytestmark = pytest.mark.parity

#: float64 leaves room for nothing but another order of summation.
TOLERANCE = 1e-9


@pytest.fixture(params=[1, 2])
def case(request: pytest.FixtureRequest) -> EvfSamCase:
    """A recorded case."""
    return EvfSamCase(request.param)


def close(ours: Tensor, recorded: np.ndarray) -> None:
    """Require equality up to rounding."""
    torch.testing.assert_close(ours, torch.from_numpy(recorded), atol=TOLERANCE, rtol=0)


@torch.no_grad()
def ask(model: EvfSamModel, inputs: dict[str, Tensor]) -> tuple[Tensor, Tensor, MaskPrediction]:
    """Return the masks at the recorded size, the prompts, and the decoder's prediction."""
    kept: list[tuple[Tensor, MaskPrediction]] = []
    decode = model.segmenter.sam.decode_masks

    def keep(*args: Any, **options: Any) -> MaskPrediction:
        kept.append((args[1], decode(*args, **options)))
        return kept[-1][1]

    model.segmenter.sam.decode_masks = keep  # type: ignore[method-assign]
    logits = model(**inputs).mask_logits
    ((prompts, prediction),) = kept
    return F.interpolate(logits[:, None], (24, 24), mode="bilinear")[:, 0], prompts, prediction


def test_the_key_map_has_every_published_name(case: EvfSamCase) -> None:
    converted = case.table.to_ours(case.published)
    back = case.table.to_published(converted.tensors) | converted.unused
    assert back.keys() == case.shapes.keys()
    assert all(torch.equal(back[name], values) for name, values in case.published.items())


def test_masks_of_texts_of_different_lengths_equal_the_authors(case: EvfSamCase) -> None:
    recorded = case.recorded
    # Its training code takes the single mask of SAM 1, and the best of three of SAM 2.
    masks, prompts, prediction = ask(case.model(multimask=case.sam == 2), case.inputs())
    close(prompts, recorded["text_prompt"])
    close(prediction.mask_logits, recorded["low_res_masks"])
    close(prediction.iou_predictions, recorded["iou"])
    if case.sam == 2:
        assert prediction.object_score_logits is not None
        close(prediction.object_score_logits, recorded["object_score"])
    close(masks, recorded["pred_masks"])


def test_the_other_number_of_masks_equals_the_authors_too(case: EvfSamCase) -> None:
    recorded = case.recorded
    one = {name: values[:1] for name, values in case.inputs().items()}
    masks, _, prediction = ask(case.model(multimask=case.sam == 1), one)
    close(prediction.mask_logits, recorded["other_low_res_masks"])
    close(prediction.iou_predictions, recorded["other_iou"])
    close(masks, recorded["other_pred_masks"])
