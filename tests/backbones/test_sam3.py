"""SAM 3 behind the interface of text-prompted segmenters."""

from typing import Any

import pytest
import torch
from torch import Tensor

from avseg.backbones.sam import NO_OBJECT_LOGIT
from avseg.backbones.sam3 import Sam3Segmenter, Sam3SegmenterConfig
from tests.models.factories import randomise
from tests.models.open_parts import SAM3_SEGMENTER

IDS = torch.tensor([[101, 200, 102, 0], [101, 201, 202, 102], [101, 203, 102, 0]])
TEXTS = {"prompt_ids": IDS, "prompt_mask": IDS > 0}


def build(min_score: float = 0.0) -> Any:
    torch.manual_seed(0)
    segmenter = Sam3Segmenter(SAM3_SEGMENTER.replace(min_score=min_score))
    randomise(segmenter)
    return segmenter.eval()


def images(count: int) -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {"pixel_values_sam3": torch.randn(count, 3, 56, 56)}


def outputs_of(segmenter: Any, pixel_values: Tensor, prompt: int) -> Any:
    """Run the network of `transformers` on one prompt."""
    mask = TEXTS["prompt_mask"][prompt : prompt + 1].long()
    ids = IDS[prompt : prompt + 1]
    return segmenter.sam3(pixel_values=pixel_values, input_ids=ids, attention_mask=mask)


@torch.no_grad()
def test_each_prompt_has_the_union_of_its_instances() -> None:
    segmenter, pixel_values = build(), images(2)
    index = torch.tensor([0, 1, 0])
    masks = segmenter.segment_prompts(pixel_values, TEXTS, index)
    assert masks.mask_logits.shape == (3, 16, 16)
    for prompt, image in enumerate(index.tolist()):
        outputs = outputs_of(segmenter, pixel_values["pixel_values_sam3"][image, None], prompt)
        scores = outputs.pred_logits.sigmoid() * outputs.presence_logits.sigmoid()
        torch.testing.assert_close(masks.scores[prompt], scores.max())
        torch.testing.assert_close(masks.mask_logits[prompt], outputs.pred_masks[0].amax(0))


@torch.no_grad()
def test_an_instance_below_the_threshold_is_not_in_the_mask() -> None:
    pixel_values = images(1)
    outputs = outputs_of(build(), pixel_values["pixel_values_sam3"], 0)
    scores = (outputs.pred_logits.sigmoid() * outputs.presence_logits.sigmoid())[0]
    threshold = scores.median().item()
    one = {name: values[:1] for name, values in TEXTS.items()}
    masks = build(threshold).segment_prompts(pixel_values, one, torch.tensor([0]))
    kept = outputs.pred_masks[0][scores > threshold]
    assert 0 < len(kept) < len(scores)
    torch.testing.assert_close(masks.mask_logits[0], kept.amax(0))


@torch.no_grad()
def test_without_an_instance_the_mask_is_empty() -> None:
    masks = build(0.999).segment_prompts(images(1), TEXTS, torch.tensor([0, 0, 0]))
    assert (masks.mask_logits == NO_OBJECT_LOGIT).all()
    assert masks.scores.tolist() == [0, 0, 0]


@torch.no_grad()
def test_an_image_is_encoded_once_and_only_if_it_has_a_prompt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    segmenter, encoded = build(), []
    encode = segmenter.sam3.get_vision_features

    def record(pixel_values: Tensor) -> Any:
        encoded.append(len(pixel_values))
        return encode(pixel_values)

    monkeypatch.setattr(segmenter.sam3, "get_vision_features", record)
    segmenter.segment_prompts(images(3), TEXTS, torch.tensor([0, 0, 2]))
    assert encoded == [1, 1]


@torch.no_grad()
def test_no_prompts_give_no_masks() -> None:
    empty = {name: values[:0] for name, values in TEXTS.items()}
    masks = build().segment_prompts(images(1), empty, torch.zeros(0, dtype=torch.int64))
    assert masks.mask_logits.shape == (0, 16, 16)


def test_the_defaults_are_the_published_sizes() -> None:
    config = Sam3SegmenterConfig()
    assert (config.image_size, config.mask_size, config.max_text_tokens) == (1008, 288, 32)


def test_a_threshold_that_nothing_exceeds_is_an_error() -> None:
    with pytest.raises(Exception, match=r"min_score must be in \[0, 1\), got 1.0"):
        Sam3SegmenterConfig(min_score=1.0)
