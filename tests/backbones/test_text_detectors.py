"""Detectors prompted by texts: the same boxes and scores as transformers' own post-processing."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import GroundingDinoProcessor
from transformers.models.grounding_dino.image_processing_pil_grounding_dino import (
    GroundingDinoImageProcessorPil,
)
from transformers.models.owlv2.image_processing_pil_owlv2 import Owlv2ImageProcessorPil

from avseg.backbones.text_detectors import GroundingDinoDetector, Owlv2Detector
from tests.models.open_parts import (
    DINO_SEGMENTER,
    GROUNDING_DINO,
    OWLV2,
    OWLV2_SEGMENTER,
    build_tokenizer,
    random_network,
)

SIZE = (40, 80)


def build_dino() -> GroundingDinoDetector:
    detector = GroundingDinoDetector(DINO_SEGMENTER.detector_config).eval()
    detector.network.load_state_dict(
        random_network(type(detector.network), GROUNDING_DINO).state_dict()
    )
    return detector


def build_owlv2() -> Owlv2Detector:
    detector = Owlv2Detector(OWLV2_SEGMENTER.detector_config).eval()
    detector.network.load_state_dict(random_network(type(detector.network), OWLV2).state_dict())
    return detector


def texts(*names: str) -> dict[str, Tensor]:
    encoded = build_tokenizer()(list(names), padding=True, return_tensors="pt")
    return {"prompt_ids": encoded["input_ids"], "prompt_mask": encoded["attention_mask"].bool()}


def picture(side: tuple[int, int]) -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {
        "pixel_values_detector": torch.randn(1, 3, *side),
        "frame_size": torch.tensor([SIZE]),
    }


def in_pixels(boxes: Tensor) -> Tensor:
    height, width = SIZE
    return boxes * torch.tensor([width, height, width, height])


@torch.no_grad()
def test_boxes_of_grounding_dino_are_those_of_its_processor() -> None:
    detector, image, text = build_dino(), picture((48, 96)), texts("dog.")
    outputs = detector.network(
        pixel_values=image["pixel_values_detector"],
        input_ids=text["prompt_ids"],
        attention_mask=text["prompt_mask"].long(),
    )
    untyped: Any = GroundingDinoProcessor
    processor = untyped(GroundingDinoImageProcessorPil(), build_tokenizer())
    # The library takes the best of all tokens, the detector that of the text and its full stop.
    outputs.logits[..., [0, 3]] = -torch.inf
    threshold = float(outputs.logits.sigmoid().amax(-1).median())
    (expected,) = processor.post_process_grounded_object_detection(
        outputs, text["prompt_ids"], threshold=threshold, target_sizes=[SIZE]
    )
    found = detector.detect_objects(image, text, threshold, max_boxes=12)
    order = expected["scores"].argsort(descending=True)
    assert len(order) == 6
    torch.testing.assert_close(found.scores, expected["scores"][order])
    height, width = SIZE
    corners = expected["boxes"][order].clamp(min=0)
    corners = torch.minimum(corners, torch.tensor([width, height, width, height]))
    torch.testing.assert_close(in_pixels(found.boxes), corners, atol=1e-4, rtol=1e-5)


@torch.no_grad()
def test_texts_of_one_caption_have_scores_of_their_own() -> None:
    detector, image = build_dino(), picture((48, 96))
    boxes, scores = detector.score_boxes(image, texts("dog.", "church bell."))
    assert boxes.shape == (12, 4)
    assert scores.shape == (2, 12)
    swapped = detector.score_boxes(image, texts("church bell.", "dog."))[1]
    assert not torch.allclose(scores[0], scores[1])
    # The order of the texts changes little: the positions inside of a text begin at 0 for each.
    torch.testing.assert_close(
        scores.max(1).values, swapped.flip(0).max(1).values, atol=0.05, rtol=0
    )


def test_a_caption_that_is_too_long_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"the 40 texts of an image have 82 tokens.* takes 64"):
        build_dino().score_boxes(picture((48, 96)), texts(*["dog."] * 40))


@torch.no_grad()
def test_boxes_of_owlv2_are_those_of_its_processor() -> None:
    detector, image, text = build_owlv2(), picture((64, 64)), texts("a photo of a dog")
    outputs = detector.network(
        input_ids=text["prompt_ids"],
        pixel_values=image["pixel_values_detector"],
        attention_mask=text["prompt_mask"].long(),
    )
    threshold = float(outputs.logits.sigmoid().median())
    (expected,) = Owlv2ImageProcessorPil().post_process_object_detection(
        outputs, threshold=threshold, target_sizes=[SIZE]
    )
    found = detector.detect_objects(image, text, threshold, max_boxes=16)
    order = expected["scores"].argsort(descending=True)
    torch.testing.assert_close(found.scores, expected["scores"][order])
    height, width = SIZE
    corners = expected["boxes"][order].clamp(min=0)
    corners = torch.minimum(corners, torch.tensor([width, height, width, height]))
    torch.testing.assert_close(in_pixels(found.boxes), corners, atol=1e-4, rtol=1e-5)


@torch.no_grad()
def test_boxes_that_do_not_exceed_the_threshold_are_rejected() -> None:
    detector, image, both = build_dino(), picture((48, 96)), texts("dog.", "cat.")
    highest = float(detector.score_boxes(image, both)[1].max())
    found = detector.detect_objects(image, both, highest, 5)
    assert found.boxes.shape == (0, 4)
    assert found.text_index.tolist() == []


@torch.no_grad()
def test_a_text_has_at_most_max_boxes() -> None:
    found = build_owlv2().detect_objects(picture((64, 64)), texts("dog", "cat"), 0.0, 3)
    assert found.text_index.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.scores.view(2, 3).diff(dim=1).max() <= 0


@pytest.mark.parametrize("dtype", [torch.bfloat16])
@torch.no_grad()
def test_scores_are_computed_in_float32_under_autocast(dtype: torch.dtype) -> None:
    detector, image, text = build_dino(), picture((48, 96)), texts("dog.")
    plain = detector.detect_objects(image, text, 0.0, 5)
    with torch.autocast("cpu", dtype):
        cast = detector.detect_objects(image, text, 0.0, 5)
    torch.testing.assert_close(cast.scores, plain.scores)
