"""ImageBind's audio front end: clips and spectrograms."""

import pytest
import torch

from avseg.backbones.imagebind import (
    ImageBindAudioConfig,
    clip_starts,
    cut_clips,
    spectrograms,
)
from avseg.backbones.spectrogram import kaldi_fbank

CONFIG = ImageBindAudioConfig()


@pytest.mark.parametrize(
    ("duration_s", "starts_s"),
    [
        (5, [0, 0.6, 1.2, 1.8, 2.4]),
        (10, [0, 1.6, 3.2, 4.8, 6.4]),
        (2, [0, 0, 0, 0, 0]),
        (1.5, [0, 0, 0, 0, 0]),
    ],
)
def test_audio_clips_start_as_in_the_published_code(
    duration_s: float, starts_s: list[float]
) -> None:
    starts = clip_starts(round(duration_s * 16000), 5, CONFIG)
    assert [start / 16000 for start in starts] == starts_s


def test_audio_clips_are_cut_at_their_starts() -> None:
    sound = torch.arange(80000.0)
    clips = cut_clips(sound, 5, CONFIG)
    assert clips.shape == (5, 32000)
    assert clips[:, 0].tolist() == [0, 9600, 19200, 28800, 38400]
    assert cut_clips(sound[:24000], 5, CONFIG).shape == (5, 24000)


def test_a_spectrogram_is_padded_with_zeros_and_normalised() -> None:
    clips = torch.randn(2, 32000)
    images = spectrograms(clips, CONFIG)
    assert images.shape == (2, 1, 128, 204)
    columns = kaldi_fbank(clips - clips.mean(dim=-1, keepdim=True), 16000, 128)
    torch.testing.assert_close(images[:, 0, :, :198] * 9.138 - 4.268, columns.transpose(1, 2))
    torch.testing.assert_close(images[..., 198:], torch.full((2, 1, 128, 6), 4.268 / 9.138))


def test_a_constant_waveform_has_no_power() -> None:
    clips = torch.randn(1, 8000)
    louder = spectrograms(clips + 0.5, CONFIG)
    torch.testing.assert_close(louder, spectrograms(clips, CONFIG), atol=1e-3, rtol=0)


def test_clips_that_are_too_long_are_rejected() -> None:
    with pytest.raises(ValueError, match="clips have 32001 samples, a clip of the model has 32000"):
        spectrograms(torch.zeros(1, 32001), CONFIG)
