"""AuralSAM2 for Ref-AVS: a text and the audio prompt SAM 2."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from avseg.errors import PromptError
from avseg.models.auralsam2 import AuralSam2TextConfig, AuralSam2TextModel, AuralSam2TextProcessor
from tests.models.auralsam2_factories import (
    TEXT,
    build_text,
    given,
    masks,
    text_processor,
    text_tokenizer,
)
from tests.models.tavis.test_processing import make_clip


def texts(*words: str) -> dict[str, Tensor]:
    ids, mask = text_tokenizer().encode(words, TEXT.max_text_tokens)
    return {"text_ids": ids, "text_mask": mask}


@torch.no_grad()
def test_each_text_has_masks_of_its_own() -> None:
    model = build_text()
    both = model(**given(frames=3), **texts("the dog", "guitar"))
    assert both.mask_logits.shape[:2] == (2, 3)
    assert both.iou_predictions.shape == both.object_score_logits.shape == (2, 3)
    alone = model(**given(frames=3), **texts("guitar"))
    torch.testing.assert_close(both.mask_logits[1], alone.mask_logits[0])
    assert (both.mask_logits[0] - both.mask_logits[1]).abs().max() > 1e-4


@torch.no_grad()
def test_the_audio_is_used_beside_the_text() -> None:
    model = build_text()
    inputs = given(frames=3)
    before = model(**inputs, **texts("dog")).mask_logits
    inputs["audio_values"] = inputs["audio_values"] + 1
    assert (model(**inputs, **texts("dog")).mask_logits - before).abs().max() > 1e-4


@torch.no_grad()
def test_every_window_is_a_clip_of_its_own() -> None:
    model = build_text(window_frames=2)
    inputs = given(frames=4)
    whole = model(**inputs, **texts("dog"))
    assert whole.memory is None
    half = {name: values[:, 2:] for name, values in inputs.items()}
    later = model(**half, **texts("dog"))
    torch.testing.assert_close(whole.mask_logits[:, 2:], later.mask_logits)


@torch.no_grad()
def test_the_middle_frame_of_a_window_is_decoded_first() -> None:
    model = build_text()
    calls: list[Tensor] = []
    without_memory = model.sam.without_memory
    vars(model.sam)["without_memory"] = lambda features: (
        calls.append(features.embeddings) or without_memory(features)  # type: ignore[func-returns-value]
    )
    inputs = given(frames=3)
    model(**inputs, **texts("dog"))
    levels = model.encode_images(inputs["pixel_values"])
    assert len(calls) == 1
    torch.testing.assert_close(calls[0], levels[0][:, 1])


def test_the_fuser_learns_and_the_encoders_are_frozen() -> None:
    model = build_text(dropout=0.0).train()
    loss = model(**given(frames=3), **texts("dog"), targets=masks(frames=3)).loss
    loss.backward()
    without = {n for n, p in model.named_parameters() if p.requires_grad and p.grad is None}
    assert not without
    frozen = {n.split(".")[0] for n, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {"sam", "memory", "vggish", "text_encoder"}
    assert not model.text_encoder.training
    assert model.fuser.training


def test_the_loss_is_the_mean_over_texts_of_their_own_clips() -> None:
    model = build_text(losses={"contrast_weight": 0.0})
    clips = given(clips=2, frames=2)
    both = model(**clips, **texts("dog", "cat"), targets=masks(2)).loss
    single = [
        model(
            **{name: values[i : i + 1] for name, values in clips.items()},
            **texts(word),
            targets=masks(),
            annotated=torch.ones(1, 2, dtype=torch.bool),
        ).loss
        for i, word in enumerate(("dog", "cat"))
    ]
    torch.testing.assert_close(both, sum(single) / 2)


def test_a_saved_model_is_loaded_again(tmp_path: Path) -> None:
    model = build_text()
    model.save_pretrained(tmp_path)
    loaded = AuralSam2TextModel.from_pretrained(tmp_path)
    assert all(torch.equal(loaded.state_dict()[k], v) for k, v in model.state_dict().items())


def test_the_processor_encodes_clip_and_texts() -> None:
    processor = text_processor().with_texts(["the dog", "guitar"])
    inputs = processor(make_clip(sample_rate=16000))
    assert inputs["pixel_values"].shape == (1, 2, 3, 64, 64)
    assert inputs["audio_values"].shape == (1, 2, 1, 16, 16)
    assert inputs["text_ids"].tolist() == [[0, 4, 6, 2, 1, 1, 1], [0, 8, 2, 1, 1, 1, 1]]
    assert inputs["text_mask"].sum(dim=1).tolist() == [4, 3]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "there is no text"),
        (["dog", "dog"], "give each once"),
        (["the left dog the left cat"], "has 8 tokens for RoBERTa, which takes 7"),
        (["zebra"], "no word of it is in this model's vocabulary"),
    ],
)
def test_wrong_texts_raise_an_error(words: list[str], message: str) -> None:
    with pytest.raises(PromptError, match=message):
        text_processor().with_texts(words)


def test_without_a_text_or_a_tokenizer_there_is_an_error() -> None:
    with pytest.raises(PromptError, match="there is no text; give text prompts"):
        text_processor()(make_clip(sample_rate=16000))
    without = replace(text_processor(), tokenizer=None)
    with pytest.raises(PromptError, match="has no tokenizer"):
        without.with_texts(["dog"])
    with pytest.raises(ValueError, match="has no tokenizer"):
        without.save_pretrained("nowhere")


def test_a_saved_processor_is_loaded_again(tmp_path: Path) -> None:
    text_processor().save_pretrained(tmp_path)
    loaded = AuralSam2TextProcessor.from_pretrained(tmp_path)
    assert loaded == text_processor()
    assert loaded.with_texts(["dog"]).texts == ("dog",)


def test_the_published_sizes_are_those_of_distilroberta_and_ten_frames() -> None:
    config = AuralSam2TextConfig()
    sizes = config.text_config
    assert (sizes.dim, sizes.num_layers, config.max_text_tokens) == (768, 6, 25)
    assert config.window_frames == 10
