"""Processor of AuralSAM2: clip to frames and spectrograms."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avseg.backbones.vggish import log_mel
from avseg.errors import ClipError
from avseg.models.auralsam2 import AuralSam2Config, AuralSam2Processor
from tests.models.auralsam2_factories import AURAL_PROCESSOR, VGGISH
from tests.models.tavis.test_processing import make_clip


def test_a_clip_becomes_frames_and_one_spectrogram_for_each() -> None:
    clip = make_clip(sample_rate=16000)
    inputs = AURAL_PROCESSOR(clip)
    assert inputs["pixel_values"].shape == (1, 2, 3, 64, 64)
    assert inputs["audio_values"].shape == (1, 2, 1, 16, 16)
    windows = torch.from_numpy(clip.audio_windows(VGGISH.window_s))
    torch.testing.assert_close(inputs["audio_values"][0, :, 0], log_mel(windows, VGGISH))


def test_a_stereo_clip_gets_a_spectrogram_of_left_and_of_right() -> None:
    clip = make_clip(sample_rate=16000)
    stereo = replace(clip, channels=np.stack([clip.audio, clip.audio[::-1]]))
    values = AURAL_PROCESSOR(stereo)["audio_values"]
    assert values.shape == (1, 2, 2, 16, 16)
    right = torch.from_numpy(replace(clip, audio=clip.audio[::-1]).audio_windows(VGGISH.window_s))
    torch.testing.assert_close(values[0, :, 0], AURAL_PROCESSOR(clip)["audio_values"][0, :, 0])
    torch.testing.assert_close(values[0, :, 1], log_mel(right, VGGISH))


def test_left_and_right_get_a_spectrogram_each() -> None:
    windows = torch.rand(3, 2, VGGISH.window_samples)
    prepared = AURAL_PROCESSOR.prepare_audio(windows)
    assert prepared.shape == (3, 2, 16, 16)
    torch.testing.assert_close(prepared[1, 1], log_mel(windows[1, 1:], VGGISH)[0])


def test_frames_are_stretched_with_bicubic_interpolation_and_normalised() -> None:
    grey = np.full((1, 30, 40, 3), 128, np.uint8)
    pixels = AURAL_PROCESSOR.prepare_frames(grey)
    expected = (128 / 255 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor(
        [0.229, 0.224, 0.225]
    )
    torch.testing.assert_close(pixels[0, :, 10, 10], expected, atol=1e-5, rtol=0)


def test_audio_with_another_sample_rate_raises_an_error() -> None:
    with pytest.raises(ClipError, match="the model needs 16000 Hz"):
        AURAL_PROCESSOR(make_clip(sample_rate=8000))


def test_a_saved_processor_is_loaded_again(tmp_path: Path) -> None:
    AURAL_PROCESSOR.save_pretrained(tmp_path)
    assert AuralSam2Processor.from_pretrained(tmp_path) == AURAL_PROCESSOR


def test_the_published_audio_window_is_975_ms() -> None:
    assert AuralSam2Processor.from_config(AuralSam2Config()).window_s == 0.975
