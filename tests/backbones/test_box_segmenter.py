"""Boxes of a detector become masks of SAM 2."""

from typing import Any

import pytest
import torch
from torch import Tensor

from avseg.backbones.box_segmenter import BoxSegmenter, BoxSegmenterConfig
from avseg.backbones.sam import NO_OBJECT_LOGIT
from avseg.backbones.sam2 import PromptedSam2
from avseg.backbones.text_detectors import TextBoxes
from tests.models.factories import SAM2, randomise
from tests.models.open_parts import OWLV2_SEGMENTER

BOXES = torch.tensor([[0.1, 0.2, 0.6, 0.9], [0.5, 0.0, 1.0, 0.5]])


def build() -> Any:
    torch.manual_seed(0)
    segmenter = BoxSegmenter(OWLV2_SEGMENTER)
    randomise(segmenter)
    return segmenter.eval()


def images(count: int) -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {
        "pixel_values_sam": torch.randn(count, 3, 64, 64),
        "pixel_values_detector": torch.randn(count, 3, 64, 64),
        "frame_size": torch.tensor([[40, 80]]).expand(count, 2),
    }


def texts(count: int) -> dict[str, Tensor]:
    ids = torch.tensor([[101, 200 + i, 102] for i in range(count)])
    return {"prompt_ids": ids, "prompt_mask": torch.ones_like(ids, dtype=torch.bool)}


def detecting(segmenter: Any, monkeypatch: pytest.MonkeyPatch, *found: TextBoxes) -> list[int]:
    """Replace the detector by one that returns given boxes; record the number of texts."""
    answers, asked = iter(found), []

    def detect(*arguments: Any) -> TextBoxes:
        asked.append(len(arguments[1]["prompt_ids"]))
        return next(answers)

    monkeypatch.setattr(segmenter.detector, "detect_objects", detect)
    return asked


@torch.no_grad()
def test_masks_of_boxes_are_those_of_transformers() -> None:
    torch.manual_seed(0)
    sam = PromptedSam2(SAM2)
    randomise(sam)
    sam.eval()
    pixel_values = torch.randn(1, 3, 64, 64)
    outputs: Any = sam.sam2(
        pixel_values=pixel_values, input_boxes=(BOXES * 64).unsqueeze(0), multimask_output=False
    )
    every = torch.zeros(2, dtype=torch.int64)
    prediction = sam.decode_masks(
        sam.encode_images(pixel_values).repeat(every), sam.embed_boxes(BOXES), multimask=False
    )
    torch.testing.assert_close(
        prediction.mask_logits[:, 0], outputs.pred_masks[0, :, 0], atol=1e-4, rtol=1e-4
    )
    torch.testing.assert_close(prediction.iou_predictions[:, 0], outputs.iou_scores[0, :, 0])


@torch.no_grad()
def test_the_mask_of_a_prompt_is_the_union_of_the_masks_of_its_boxes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    segmenter = build()
    scores = torch.tensor([0.9, 0.5])
    both = TextBoxes(BOXES, scores, torch.tensor([0, 0]))
    each = TextBoxes(BOXES, scores, torch.tensor([0, 1]))
    detecting(segmenter, monkeypatch, both, each)
    zero = torch.tensor([0])
    one = segmenter.segment_prompts(images(1), texts(1), zero)
    two = segmenter.segment_prompts(images(1), texts(2), torch.tensor([0, 0]))
    torch.testing.assert_close(one.mask_logits[0], two.mask_logits.amax(0))
    torch.testing.assert_close(one.scores[0], two.scores.max())
    assert (two.scores <= scores).all()


@torch.no_grad()
def test_a_prompt_without_a_box_is_empty_and_its_image_is_not_encoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    segmenter = build()
    none = TextBoxes(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    asked = detecting(segmenter, monkeypatch, none, none)
    monkeypatch.setattr(segmenter.sam, "encode_images", None)
    masks = segmenter.segment_prompts(images(2), texts(3), torch.tensor([0, 0, 1]))
    assert asked == [2, 1]
    assert masks.mask_logits.shape == (3, 16, 16)
    assert (masks.mask_logits == NO_OBJECT_LOGIT).all()
    assert masks.scores.tolist() == [0, 0, 0]


@torch.no_grad()
def test_no_prompts_give_no_masks() -> None:
    empty = {name: values[:0] for name, values in texts(1).items()}
    masks = build().segment_prompts(
        {name: values[:0] for name, values in images(1).items()},
        empty,
        torch.zeros(0, dtype=torch.int64),
    )
    assert masks.mask_logits.shape == (0, 16, 16)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_box_score": 1.0}, "min_box_score must be in"),
        ({"max_boxes": 0}, "max_boxes must be at least 1, got 0"),
        ({"detector_config": {"model_type": "eye"}}, "model_type of a detector must be .* 'eye'"),
    ],
)
def test_invalid_options_raise_an_error(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Exception, match=message):
        BoxSegmenterConfig(**changes)
