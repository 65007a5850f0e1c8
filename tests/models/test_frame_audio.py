"""Processor of SAMA and TPAVI: a clip to tensors, mask logits to masks."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from avseg.errors import CheckpointError, ClipError
from avseg.models.frame_audio import FrameAudioProcessor
from avseg.models.outputs import AvsegOutput
from avseg.types import Clip
from tests.models.factories import SAMA, TPAVI

PROCESSOR = FrameAudioProcessor.from_config(SAMA)


def clip(height: int = 48, width: int = 80, sample_rate: int = 8000) -> Clip:
    """Draw two frames of noise with three seconds of noise."""
    rng = np.random.default_rng(0)
    return Clip(
        origin="noise.mp4",
        frames=rng.integers(0, 256, (2, height, width, 3), dtype=np.uint8),
        frame_times=np.array([0.0, 1.0]),
        audio_times=np.array([0.5, 1.5]),
        audio=rng.uniform(-1, 1, 3 * sample_rate).astype(np.float32),
        audio_start_s=-0.5,
        sample_rate=sample_rate,
    )


@pytest.mark.parametrize("config", [SAMA, TPAVI], ids=["sama", "tpavi"])
def test_a_clip_becomes_the_models_inputs(config: object) -> None:
    inputs = FrameAudioProcessor.from_config(config)(clip())  # type: ignore[arg-type]
    assert {name: tuple(values.shape) for name, values in inputs.items()} == {
        "pixel_values": (1, 2, 3, 64, 64),
        "audio_values": (1, 2, 2000),
    }


def test_the_audio_window_is_centred_on_the_time_of_the_frame() -> None:
    noise = clip()
    begin = round((0.5 - 0.125 + 0.5) * 8000)
    window = PROCESSOR(noise)["audio_values"][0, 0].numpy()
    np.testing.assert_array_equal(window, noise.audio[begin : begin + 2000])


def test_audio_with_another_sample_rate_raises_an_error() -> None:
    with pytest.raises(
        ClipError,
        match=r"^noise.mp4: the audio is at 16000 Hz, the model needs 8000 Hz; read",
    ):
        PROCESSOR(clip(sample_rate=16000))


@pytest.mark.parametrize("side", [16, 200])
def test_frames_are_resized_as_pillow_does_to_one_grey_level(side: int) -> None:
    frames = clip(side, side).frames
    pixels = PROCESSOR.prepare_frames(frames)[0].permute(1, 2, 0)
    grey = pixels.numpy() * [58.395, 57.12, 57.375] + [123.675, 116.28, 103.53]
    pillow = Image.fromarray(frames[0]).resize((64, 64), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(grey, np.asarray(pillow), rtol=0, atol=1.001)


def test_masks_have_the_size_of_each_video() -> None:
    logits = torch.full((2, 3, 4, 4), -5.0)
    logits[:, :, :2] = 5.0
    masks = PROCESSOR.post_process(AvsegOutput(mask_logits=logits), [(40, 60), (8, 8)])
    assert [mask.shape for mask in masks] == [(3, 40, 60), (3, 8, 8)]
    assert masks[0][:, :20].all()
    assert not masks[0][:, 20:].any()


def test_the_score_is_predicted_iou_times_presence_if_there_is_an_object_score() -> None:
    ious = torch.tensor([[0.8, 0.8]])
    np.testing.assert_allclose(PROCESSOR.scores(AvsegOutput(iou_predictions=ious)), [[0.8, 0.8]])
    presence = torch.tensor([[0.0, 50.0]])
    outputs = AvsegOutput(iou_predictions=ious, object_score_logits=presence)
    np.testing.assert_allclose(PROCESSOR.scores(outputs), [[0.4, 0.8]])


def test_a_saved_processor_loads_as_the_same(tmp_path: Path) -> None:
    PROCESSOR.save_pretrained(tmp_path)
    assert FrameAudioProcessor.from_pretrained(tmp_path) == PROCESSOR
    path = tmp_path / "processor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"crop": True}))
    with pytest.raises(
        CheckpointError, match=r"has the options .*'crop'.*save the processor again"
    ):
        FrameAudioProcessor.from_pretrained(tmp_path)
