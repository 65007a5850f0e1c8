"""Tests of the packaged models on the demo video, one frame per second."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import avseg
from avseg.checkpoints import PACKAGED_MODELS
from avseg.types import Clip, Segmentation

DEMO = Path(__file__).parents[2] / "examples" / "demo.mp4"


def segment(name: str) -> tuple[Clip, Segmentation]:
    segmenter = avseg.load_segmenter(name, device="cpu")
    rate = segmenter.processor.sample_rate
    clip = avseg.read_clip(DEMO, frames_per_second=1, sample_rate=rate)
    return clip, segmenter.segment_clip(clip)


@pytest.mark.parametrize("name", list(PACKAGED_MODELS))
def test_sounding_objects_are_marked_and_silent_frames_are_empty(name: str) -> None:
    clip, segmentation = segment(name)
    is_loud = np.abs(clip.audio_windows(1.0)).max(axis=1) > 0.01  # (T,)
    is_marked = np.array([mask.any() for mask in segmentation.masks])
    assert is_loud.any()
    assert is_marked[is_loud].mean() >= 0.5
    assert not is_marked[~is_loud].any()


@pytest.mark.parametrize("name", list(PACKAGED_MODELS))
def test_pictures_have_256_pixels_and_mask_logits_a_quarter(name: str) -> None:
    segmenter = avseg.load_segmenter(name, device="cpu")
    config: Any = segmenter.model.config
    assert config.sam_config.image_size == 256
    clip = avseg.read_clip(DEMO, frames_per_second=0.2, sample_rate=segmenter.processor.sample_rate)
    inputs = segmenter.processor(clip)
    with torch.inference_mode():
        outputs = segmenter.model(**inputs)
    assert outputs.mask_logits.shape[-2:] == (64, 64)


def test_tavis_names_the_sounding_objects() -> None:
    _, segmentation = segment("tavis-small")
    assert {"frog", "boat"} <= {source.name for source in segmentation.sources or ()}
