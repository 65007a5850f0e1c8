"""Processor of the cascade: clip and vocabulary to tensors, mask logits to named sources."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avseg.errors import CheckpointError, ClipError, PromptError
from avseg.models.cascade import CascadeProcessor
from avseg.models.outputs import NamedOutput
from avseg.models.vocabulary import avsbench_names
from avseg.types import Clip
from tests.models.factories import CASCADE, CLAP_WORDS, WORDS

PROCESSOR = CascadeProcessor.from_config(CASCADE, CLAP_WORDS, WORDS).with_vocabulary(
    ["dog", "cat", "bus"]
)


def clip(sample_rate: int = 8000) -> Clip:
    """Draw two frames of noise, with two seconds of noise as audio."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (2, 40, 80, 3), dtype=np.uint8)
    times = np.array([0.0, 1.0])
    sound = rng.uniform(-1, 1, 2 * sample_rate).astype(np.float32)
    return Clip("noise.mp4", frames, times, times + 0.5, sound, 0.0, sample_rate)


def test_frames_audio_and_names_become_tensors() -> None:
    inputs = PROCESSOR(clip())
    assert (
        inputs["pixel_values_sam"].shape == inputs["pixel_values_beit3"].shape == (1, 2, 3, 64, 64)
    )
    assert inputs["audio_values"].shape == (1, 2, 2000)
    assert inputs["sound_ids"].tolist() == [[2, 5], [3, 5], [4, 5]]
    assert inputs["prompt_ids"].tolist() == [[2], [3], [4]]
    assert inputs["prompt_mask"].all()


def test_a_frame_that_keeps_its_proportions_is_padded() -> None:
    assert "frame_size" not in PROCESSOR(clip())
    config = CASCADE.replace(segmenter_config={"keep_proportions": True})
    inputs = CascadeProcessor.from_config(config, CLAP_WORDS, WORDS).with_vocabulary(["dog"])(
        clip()
    )
    assert inputs["frame_size"].tolist() == [[[32, 64]] * 2]
    images = inputs["pixel_values_sam"]
    assert images.shape == (1, 2, 3, 64, 64)
    assert images[..., :32, :].all()
    assert not images[..., 32:, :].any()


def test_names_are_encoded_once_for_all_clips() -> None:
    first, second = PROCESSOR(clip()), PROCESSOR(clip())
    assert second["sound_ids"] is first["sound_ids"]
    other = PROCESSOR.with_vocabulary(["bus"])(clip())
    assert other["sound_ids"].tolist() == [[4, 5]]


def test_a_name_is_inserted_into_both_prompts() -> None:
    prompted = replace(PROCESSOR, sound_prompt="nothing {name}", picture_prompt="a {name} and dog")
    inputs = prompted.with_vocabulary(["cat"])(clip())
    assert inputs["sound_ids"].tolist() == [[1, 3, 5]]
    assert inputs["prompt_ids"].tolist() == [[3, 2]]


def test_the_default_vocabulary_is_that_of_avsbench() -> None:
    assert CascadeProcessor.from_config(CASCADE).vocabulary == avsbench_names()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "the vocabulary is empty"),
        (["dog", "dog"], "the vocabulary is dog, dog; .* each once"),
        (["zebra"], "zebra"),
        (["dog", "dog cat bus dog"], "'dog cat bus dog' has 5 tokens for CLAP, .* 4; shorten it"),
    ],
)
def test_invalid_names_raise_an_error(names: list[str], message: str) -> None:
    with pytest.raises(PromptError, match=message):
        PROCESSOR.with_vocabulary(names)


def test_audio_with_another_sample_rate_raises_an_error() -> None:
    with pytest.raises(ClipError, match="16000 Hz, the model needs 8000 Hz"):
        PROCESSOR(clip(16000))


def named_output() -> NamedOutput:
    """Build outputs with a bus above and a dog below in frame 0, and the dog above in frame 1."""
    logits = torch.full((3, 4, 4), -5.0)
    logits[0, :2] = logits[1, 2:] = logits[2, :2] = 5.0
    return NamedOutput(
        mask_logits=torch.stack([logits[:2].amax(0), logits[2]])[None],
        iou_predictions=torch.tensor([[0.75, 0.25]]),
        frame_index=torch.tensor([0, 0, 1]),
        name_index=torch.tensor([2, 0, 0]),
        named_logits=logits,
        named_scores=torch.tensor([0.75, 0.5, 0.25]),
    )


def test_each_prompted_name_becomes_a_source() -> None:
    dog, bus = PROCESSOR.sources(named_output(), (8, 6))
    assert (dog.name, bus.name) == ("dog", "bus")
    assert dog.masks.any(axis=2).tolist() == [[False] * 4 + [True] * 4, [True] * 4 + [False] * 4]
    assert bus.masks.any(axis=2).tolist() == [[True] * 4 + [False] * 4, [False] * 8]
    assert (dog.scores.tolist(), bus.scores.tolist()) == ([0.5, 0.25], [0.75, 0.0])


def test_the_common_mask_is_the_union_of_the_named_masks() -> None:
    output = named_output()
    (masks,) = PROCESSOR.post_process(output, [(8, 6)])
    union = np.logical_or.reduce([s.masks for s in PROCESSOR.sources(output, (8, 6))])
    np.testing.assert_array_equal(masks, union)
    assert PROCESSOR.scores(output).tolist() == [[0.75, 0.25]]


def test_each_clip_needs_its_size() -> None:
    with pytest.raises(ValueError, match="1 clips need 1 sizes, got 2"):
        PROCESSOR.post_process(named_output(), [(8, 6), (8, 6)])


def test_a_processor_is_saved_with_its_tokenizers_and_names(tmp_path: Path) -> None:
    PROCESSOR.save_pretrained(tmp_path)
    loaded = CascadeProcessor.from_pretrained(tmp_path)
    assert loaded == PROCESSOR
    assert loaded.vocabulary == ("dog", "cat", "bus")
    torch.testing.assert_close(loaded(clip()), PROCESSOR(clip()))


@pytest.mark.parametrize(
    ("missing", "error"),
    [
        ("clap_tokenizer.json", CheckpointError),
        ("words.txt", CheckpointError),
        ("vocabulary.txt", PromptError),
        ("processor_config.json", CheckpointError),
    ],
)
def test_a_missing_file_raises_an_error_with_its_name(
    missing: str, error: type[Exception], tmp_path: Path
) -> None:
    PROCESSOR.save_pretrained(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(error, match=missing):
        CascadeProcessor.from_pretrained(tmp_path)


def test_without_tokenizers_encoding_and_saving_raise_an_error(tmp_path: Path) -> None:
    bare = CascadeProcessor.from_config(CASCADE)
    for use in (lambda: bare(clip()), lambda: bare.save_pretrained(tmp_path)):
        with pytest.raises(PromptError, match="has no tokenizer"):
            use()


def test_a_name_too_long_for_evf_sam_raises_an_error() -> None:
    picture: Any = PROCESSOR.picture
    short = replace(PROCESSOR, picture=replace(picture, max_tokens=1))
    with pytest.raises(PromptError, match="'cat dog' has 2 tokens for EVF-SAM, which takes 1"):
        short.with_vocabulary(["bus", "cat dog"])


def test_options_of_an_unknown_part_raise_an_error(tmp_path: Path) -> None:
    PROCESSOR.save_pretrained(tmp_path)
    path = tmp_path / "processor_config.json"
    path.write_text(path.read_text().replace("avseg-clap-namer", "avseg-ear"))
    with pytest.raises(CheckpointError, match="which no part of a cascade has"):
        CascadeProcessor.from_pretrained(tmp_path)
