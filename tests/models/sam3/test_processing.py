"""Processor of SAM 3: clip and texts to tensors, mask logits to masks.

`image_processor.npz` has two frames and the outputs of `Sam3ImageProcessor` for them (transformers
5.24.0, torch 2.11.0, torchvision 0.26.0) for a square of 56 pixels.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from avseg.backbones.hub_tokenizer import HubTokenizer
from avseg.errors import PromptError
from avseg.models.picture_inputs import PICTURE_TOKENIZER, Sam3Inputs
from avseg.models.sam3 import Sam3TextConfig, Sam3TextProcessor
from avseg.types import Clip
from tests.models.open_parts import SAM3_SEGMENTER, build_tokenizer

RECORDED = np.load(Path(__file__).with_name("image_processor.npz"))
PROCESSOR = Sam3TextProcessor.from_config(
    Sam3TextConfig(segmenter_config=SAM3_SEGMENTER),
    HubTokenizer(build_tokenizer(), PICTURE_TOKENIZER),
)


def clip() -> Clip:
    """Draw two frames of noise without audio."""
    frames = np.random.default_rng(0).integers(0, 256, (2, 40, 80, 3), dtype=np.uint8)
    times = np.array([0.0, 1.0])
    return Clip("noise.mp4", frames, times, times + 0.5, np.zeros(0, np.float32), 0.0, 16000)


@pytest.mark.parametrize("frame", ["larger", "smaller"])
def test_images_are_those_of_the_image_processor(frame: str) -> None:
    given = Sam3Inputs(56, 16).prepare_frames(RECORDED[frame])["pixel_values_sam3"]
    expected = torch.from_numpy(RECORDED[f"{frame}_values"])
    torch.testing.assert_close(given, expected, atol=2e-5, rtol=0)  # 1e-5 of the range


def test_frames_are_prepared_once_and_texts_for_each_of_them() -> None:
    inputs = PROCESSOR.with_texts(["church bell", "dog"])(clip())
    assert inputs["pixel_values_sam3"].shape == (2, 3, 56, 56)
    assert inputs["prompt_mask"].tolist() == [[True] * 4] * 2 + [[True] * 3 + [False]] * 2
    assert inputs["image_index"].tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "there is no text"),
        ([" "], "is empty"),
        (["dog", "dog"], "give each once"),
        (["dog " * 20], "has 22 tokens for SAM 3, which takes 16"),
        (["xyz"], "has no token that SAM 3 knows"),
    ],
)
def test_texts_that_cannot_be_encoded_are_refused(texts: list[str], message: str) -> None:
    with pytest.raises(PromptError, match=message):
        PROCESSOR.with_texts(texts)


def test_a_processor_without_texts_or_tokenizer_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="give text prompts"):
        PROCESSOR(clip())
    bare = Sam3TextProcessor.from_config(Sam3TextConfig(segmenter_config=SAM3_SEGMENTER))
    with pytest.raises(PromptError, match="no tokenizer"):
        bare.with_texts(["dog"])
    with pytest.raises(ValueError, match="no tokenizer"):
        bare.save_pretrained(tmp_path)


def test_a_saved_processor_loads_as_the_same(tmp_path: Path) -> None:
    PROCESSOR.save_pretrained(tmp_path)
    loaded = Sam3TextProcessor.from_pretrained(tmp_path)
    assert loaded == PROCESSOR
    before, after = (each.with_texts(["dog"])(clip()) for each in (PROCESSOR, loaded))
    assert torch.equal(before["prompt_ids"], after["prompt_ids"])
