"""Processor of AV2T-SAM: a clip to tensors, mask logits to masks."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPImageProcessorPil

from avseg.errors import CheckpointError, ClipError
from avseg.models.av2t_sam import Av2tSamProcessor
from avseg.models.outputs import AvsegOutput
from avseg.models.processor import CLIP_STATISTICS
from avseg.types import Clip
from tests.models.factories import CONFIG

PROCESSOR = Av2tSamProcessor.from_config(CONFIG)
PUBLISHED = Av2tSamProcessor.from_config(CONFIG.replace(inputs="published"))


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


def test_a_clip_becomes_the_models_inputs() -> None:
    inputs = PROCESSOR(clip())
    assert {name: tuple(values.shape) for name, values in inputs.items()} == {
        "pixel_values_sam": (1, 2, 3, 64, 64),
        "pixel_values_beit3": (1, 2, 3, 64, 64),
        "pixel_values_clip": (1, 2, 3, 64, 64),
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


def test_audio_segments_replace_the_windows() -> None:
    segments = np.full((2, 100), 0.5, np.float32)
    assert PROCESSOR(clip(), segments)["audio_values"].tolist() == segments[None].tolist()
    with pytest.raises(
        ClipError, match=r"^noise.mp4: 3 audio segments for 2 frames; give one for each"
    ):
        PROCESSOR(clip(), np.zeros((3, 100), np.float32))


@pytest.mark.parametrize("size", [(48, 80), (90, 64), (64, 64), (64, 65)])
def test_published_frames_for_clip_equal_clips_own_preprocessing(size: tuple[int, int]) -> None:
    frames = clip(*size).frames
    pixels = PUBLISHED.prepare_frames(frames, ("clip",))["pixel_values_clip"]
    own = CLIPImageProcessorPil(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})
    torch.testing.assert_close(pixels, own(list(frames), return_tensors="pt")["pixel_values"])


def test_the_central_square_starts_at_an_even_offset_between_two() -> None:
    rows = np.arange(67, dtype=np.uint8)[None, :, None, None] * np.ones((1, 1, 64, 3), np.uint8)
    pixels = PUBLISHED.prepare_frames(rows, ("clip",))["pixel_values_clip"][0, 0, :, 0]
    first = (pixels[0] * CLIP_STATISTICS[1][0] + CLIP_STATISTICS[0][0]).item()
    assert first == pytest.approx(2, abs=1e-3)  # of 1.5


def test_published_frames_for_beit3_are_not_antialiased() -> None:
    frames = clip(128, 128).frames
    pixels = PUBLISHED.prepare_frames(frames, ("beit3",))["pixel_values_beit3"]
    # At half size each value is computed from the 4 nearest rows and columns, with a = -0.75.
    nearest = np.array([-3, 19, 19, -3]) / 32
    near = frames[0, 9:13, 19:23, 0].astype(np.float64)
    expected = (nearest @ near @ nearest - 127.5) / 127.5
    assert pixels[0, 0, 5, 10].item() == pytest.approx(expected, abs=1e-4)


def test_frames_of_the_backbones_size_are_equal_for_both_values_of_inputs() -> None:
    frames = clip(64, 64).frames
    published = PUBLISHED.prepare_frames(frames)
    for name, pixels in PROCESSOR.prepare_frames(frames).items():
        torch.testing.assert_close(pixels, published[name], atol=1e-6, rtol=0)


@pytest.mark.parametrize("side", [16, 200])
def test_frames_are_resized_as_pillow_does_to_one_grey_level(side: int) -> None:
    frames = clip(height=side, width=side).frames
    pixels = PROCESSOR.prepare_frames(frames)["pixel_values_sam"][0].permute(1, 2, 0)
    grey = pixels.numpy() * [58.395, 57.12, 57.375] + [123.675, 116.28, 103.53]
    pillow = Image.fromarray(frames[0]).resize((64, 64), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(grey, np.asarray(pillow), rtol=0, atol=1.001)


def test_each_backbone_has_its_own_range() -> None:
    white = np.full((1, 64, 64, 3), 255, np.uint8)
    highest = {
        name: values.amax().item() for name, values in PROCESSOR.prepare_frames(white).items()
    }
    assert highest == pytest.approx(
        {"pixel_values_sam": 2.64, "pixel_values_beit3": 1.0, "pixel_values_clip": 2.1459}, abs=1e-3
    )


def test_masks_have_the_size_of_each_video() -> None:
    logits = torch.full((2, 3, 4, 4), -5.0)
    logits[:, :, :2] = 5.0
    masks = PROCESSOR.post_process(AvsegOutput(mask_logits=logits), [(40, 60), (8, 8)])
    assert [mask.shape for mask in masks] == [(3, 40, 60), (3, 8, 8)]
    assert all(mask.dtype == np.bool_ for mask in masks)
    assert masks[0][:, :20].all()
    assert not masks[0][:, 20:].any()


def test_the_threshold_is_a_probability() -> None:
    outputs = AvsegOutput(mask_logits=torch.tensor([[[[0.0, 2.0]]]]))  # probabilities 0.5, 0.88
    pixels_above = {
        threshold: PROCESSOR.post_process(outputs, [(1, 2)], threshold)[0].sum()
        for threshold in (0.4, 0.6, 0.9)
    }
    assert pixels_above == {0.4: 2, 0.6: 1, 0.9: 0}
    with pytest.raises(ValueError, match=r"between 0 and 1, got 1"):
        PROCESSOR.post_process(outputs, [(1, 2)], 1)


def test_one_size_for_each_clip_is_needed() -> None:
    outputs = AvsegOutput(mask_logits=torch.zeros(2, 1, 4, 4))
    with pytest.raises(ValueError, match=r"2 clips need 2 sizes, got 1"):
        PROCESSOR.post_process(outputs, [(8, 8)])


def test_the_score_is_predicted_iou_times_presence() -> None:
    outputs = AvsegOutput(
        iou_predictions=torch.tensor([[0.8, 0.8]]),
        object_score_logits=torch.tensor([[0.0, 50.0]]),
    )
    np.testing.assert_allclose(PROCESSOR.scores(outputs), [[0.4, 0.8]])


def test_without_an_object_score_the_score_is_the_predicted_iou() -> None:
    outputs = AvsegOutput(iou_predictions=torch.tensor([[0.8, 0.3]]))
    np.testing.assert_allclose(PROCESSOR.scores(outputs), [[0.8, 0.3]])


def test_outputs_without_masks_raise_an_error() -> None:
    with pytest.raises(TypeError, match="the outputs have no mask_logits"):
        PROCESSOR.post_process(AvsegOutput(), [])


def test_a_saved_processor_loads_as_the_same(tmp_path: Path) -> None:
    PROCESSOR.save_pretrained(tmp_path)
    assert Av2tSamProcessor.from_pretrained(tmp_path) == PROCESSOR


def test_a_file_with_other_options_raises_an_error(tmp_path: Path) -> None:
    PROCESSOR.save_pretrained(tmp_path)
    path = tmp_path / "processor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"crop": True}))
    with pytest.raises(
        CheckpointError, match=r"has the options .*'crop'.*save the processor again"
    ):
        Av2tSamProcessor.from_pretrained(tmp_path)


def test_a_folder_without_a_processor_raises_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"processor_config.json does not exist; give a folder"
    ):
        Av2tSamProcessor.from_pretrained(tmp_path)
