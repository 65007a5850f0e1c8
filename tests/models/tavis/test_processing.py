"""Processor of TAViS: clip and names to tensors, mask logits to named sources."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avseg.errors import ClipError, PromptError
from avseg.models.tavis import TavisProcessor
from avseg.models.tavis.naming import TavisOutput
from avseg.models.vocabulary import avsbench_categories
from avseg.types import Clip
from tests.models.tavis_factories import NAME_IDS, PROCESSOR, TAVIS


def make_clip(frames: int = 2, sample_rate: int = 8000) -> Clip:
    rng = np.random.default_rng(0)
    times = np.arange(frames, dtype=np.float64)
    return Clip(
        origin="clip",
        frames=rng.integers(0, 256, (frames, 30, 40, 3), np.uint8),
        frame_times=times,
        audio_times=times + 0.5,
        audio=rng.uniform(-0.5, 0.5, sample_rate * frames).astype(np.float32),
        audio_start_s=0.0,
        sample_rate=sample_rate,
    )


def test_a_clip_becomes_frames_spectrograms_and_names() -> None:
    inputs = PROCESSOR(make_clip())
    assert inputs["pixel_values"].shape == (1, 2, 3, 64, 64)
    assert inputs["pixel_values"].min() >= 0
    assert inputs["pixel_values"].max() <= 1
    assert inputs["audio_values"].shape == (1, 2, 1, 26, 36)
    assert torch.equal(inputs["name_ids"], NAME_IDS)


def test_audio_with_another_sample_rate_raises_an_error() -> None:
    with pytest.raises(ClipError, match="the model needs 8000 Hz"):
        PROCESSOR(make_clip(sample_rate=16000))


def test_audio_segments_replace_the_windows() -> None:
    segments = np.zeros((2, 4000), np.float32)
    quiet = PROCESSOR(make_clip(), segments)["audio_values"]
    assert (quiet - PROCESSOR(make_clip())["audio_values"]).abs().max() > 0
    with pytest.raises(ClipError, match="2 audio segments for 3 frames"):
        PROCESSOR(make_clip(3), segments)


def test_the_background_comes_before_the_names() -> None:
    changed = PROCESSOR.with_vocabulary(["bus", "dog"])
    assert changed.name_ids[:, 0].tolist() == [1, 4, 2]
    assert changed == PROCESSOR


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "the vocabulary is empty"),
        (["dog", "dog"], "each once"),
        (["nothing"], "'nothing' is this model's name for the background"),
        (["unicorn"], "is not in this model's vocabulary"),
    ],
)
def test_invalid_vocabularies_raise_an_error(names: list[str], message: str) -> None:
    with pytest.raises(PromptError, match=message):
        PROCESSOR.with_vocabulary(names)


def test_without_a_tokenizer_encoding_names_raises_an_error() -> None:
    bare = TavisProcessor.from_config(TAVIS)
    assert bare.vocabulary == avsbench_categories()
    with pytest.raises(PromptError, match="has no tokenizer"):
        _ = bare.name_ids


def test_a_saved_processor_is_the_same(tmp_path: Path) -> None:
    PROCESSOR.save_pretrained(tmp_path)
    loaded = TavisProcessor.from_pretrained(tmp_path)
    assert loaded == PROCESSOR
    assert loaded.vocabulary == PROCESSOR.vocabulary
    assert torch.equal(loaded.name_ids, PROCESSOR.name_ids)
    assert replace(loaded, sam_size=128) != PROCESSOR


def test_a_source_has_its_name_its_frames_and_its_scores() -> None:
    logits = torch.full((3, 16, 16), -4.0)
    logits[0, :8] = logits[1, 8:] = 4.0
    outputs = TavisOutput(
        mask_logits=torch.zeros(1, 2, 16, 16),
        frame_index=torch.tensor([0, 1, 1]),
        name_index=torch.tensor([2, 0, 1]),
        named_logits=logits,
        named_scores=torch.tensor([0.9, 0.6, 0.8]),
    )
    dog, bus = PROCESSOR.sources(outputs, (32, 32))
    assert (dog.name, bus.name) == ("dog", "bus")  # the cat marks nothing
    np.testing.assert_allclose(dog.scores, [0, 0.6])
    assert bus.masks[0, :14].all()
    assert not bus.masks[1].any()
    assert dog.masks[1, 18:].all()
