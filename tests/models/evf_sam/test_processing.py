"""Processor of EVF-SAM: clip and texts to tensors, mask logits to masks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avseg.backbones.tokenizing import WordTokenizer
from avseg.errors import CheckpointError, PromptError
from avseg.models.evf_sam import EvfSamProcessor
from avseg.models.outputs import AvsegOutput
from avseg.types import Clip
from tests.models.factories import EVF_CONFIG, WORDS

PROCESSOR = EvfSamProcessor.from_config(EVF_CONFIG, WORDS)
PADDING = replace(PROCESSOR, keep_proportions=True)


def clip(height: int = 40, width: int = 80) -> Clip:
    """Draw two frames of noise without audio."""
    frames = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    times = np.array([0.0, 1.0])
    return Clip("noise.mp4", frames, times, times + 0.5, np.zeros(0, np.float32), 0.0, 16000)


def test_frames_are_prepared_once_and_texts_for_each_of_them() -> None:
    inputs = PROCESSOR.with_texts(["dog and bus", "cat", "bus"])(clip())
    assert inputs["pixel_values_sam"].shape == (2, 3, 64, 64)
    assert inputs["pixel_values_beit3"].shape == (2, 3, 64, 64)
    assert inputs["input_ids"].tolist() == [[2, 4], [2, 4], [3, 0], [3, 0], [4, 0], [4, 0]]
    assert inputs["attention_mask"].tolist() == [[True, True]] * 2 + [[True, False]] * 4
    assert inputs["image_index"].tolist() == [0, 1, 0, 1, 0, 1]


def test_each_network_has_its_own_range() -> None:
    white = replace(clip(64, 64), frames=np.full((2, 64, 64, 3), 255, np.uint8))
    inputs = PROCESSOR.with_texts(["dog"])(white)
    assert inputs["pixel_values_sam"].amax().item() == pytest.approx(2.64)
    assert inputs["pixel_values_beit3"].amin().item() == pytest.approx(1.0)


@pytest.mark.parametrize(("height", "width"), [(40, 80), (80, 40)])
def test_proportions_are_kept_by_padding(height: int, width: int) -> None:
    noise = clip(height, width)
    kept = PADDING.with_texts(["dog"])(noise)["pixel_values_sam"]
    frame = kept[..., : 64 * height // 80, : 64 * width // 80]
    assert kept.count_nonzero() == frame.count_nonzero()
    squeezed = PROCESSOR.with_texts(["dog"])(noise)["pixel_values_sam"]
    assert squeezed[..., -1, -1].count_nonzero() > 0


def test_the_padding_is_cropped_from_the_masks() -> None:
    logits = torch.full((1, 3, 16, 16), -5.0)
    logits[..., 4:8, :] = 5.0  # the lower half of a frame that fills the upper half of the square
    logits[..., 8:, :] = 5.0
    masks = PADDING.post_process(AvsegOutput(mask_logits=logits[0]), [(40, 80)])[0]
    assert masks.shape == (3, 40, 80)
    assert masks[:, 22:].all()
    assert not masks[:, :18].any()


def test_each_text_has_its_own_masks() -> None:
    logits = torch.tensor([-5.0, 5.0, 5.0, 5.0]).view(4, 1, 1).expand(4, 4, 4)
    masks = PROCESSOR.post_process(AvsegOutput(mask_logits=logits), [(8, 12)] * 2)
    assert [mask.shape for mask in masks] == [(2, 8, 12)] * 2
    assert [mask.all(axis=(1, 2)).tolist() for mask in masks] == [[False, True], [True, True]]


def test_different_numbers_of_prompts_per_text_raise_an_error() -> None:
    outputs = AvsegOutput(mask_logits=torch.zeros(3, 4, 4))
    with pytest.raises(ValueError, match="3 prompts are not 2 texts for the same number of frames"):
        PROCESSOR.post_process(outputs, [(8, 8)] * 2)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], "there is no text; give at least one text prompt"),
        (["dog", " "], "text ' ' is empty"),
        (["dog", "dog"], "the texts are dog, dog; give each once"),
        (["a zebra"], r"unknown words \(zebra\); the words of this model are nothing, dog, cat"),
        (["dog cat bus dog"], "'dog cat bus dog' has 4 tokens for EVF-SAM, which takes 3; sho"),
    ],
)
def test_invalid_texts_raise_an_error(texts: list[str], message: str) -> None:
    with pytest.raises(PromptError, match=message):
        PROCESSOR.with_texts(texts)


def test_a_processor_without_texts_raises_an_error_with_the_next_step() -> None:
    with pytest.raises(PromptError, match=r"give text prompts with with_texts"):
        PROCESSOR(clip())


def test_a_saved_processor_loads_as_the_same_with_its_words(tmp_path: Path) -> None:
    PROCESSOR.with_texts(["dog"]).save_pretrained(tmp_path)
    loaded = EvfSamProcessor.from_pretrained(tmp_path)
    assert loaded == PROCESSOR
    assert loaded.tokenizer == WORDS
    assert loaded.texts == ()


def test_without_a_tokenizer_encoding_and_saving_raise_an_error(tmp_path: Path) -> None:
    wordless = EvfSamProcessor.from_config(EVF_CONFIG)
    with pytest.raises(PromptError, match="no tokenizer"):
        wordless.with_texts(["dog"])
    with pytest.raises(ValueError, match=r"no tokenizer; make it with from_config"):
        wordless.save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_without_the_tokenizer_raises_an_error(tmp_path: Path) -> None:
    PROCESSOR.save_pretrained(tmp_path)
    (tmp_path / "words.txt").unlink()
    with pytest.raises(CheckpointError, match="has no tokenizer"):
        EvfSamProcessor.from_pretrained(tmp_path)


def test_a_tokenizer_with_more_tokens_than_the_model_raises_an_error() -> None:
    many = WordTokenizer(tuple(f"w{number}" for number in range(21)))
    with pytest.raises(ValueError, match="has 21 tokens, the model 20"):
        EvfSamProcessor.from_config(EVF_CONFIG, many)
