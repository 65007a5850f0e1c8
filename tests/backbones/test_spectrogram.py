"""Spectrograms, compared with the definition in numpy."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from avseg.backbones.spectrogram import decibels, kaldi_fbank, mel_bank, power_spectrogram


def test_a_column_is_the_power_of_the_windowed_audio_around_it() -> None:
    sound = torch.randn(1, 400, generator=torch.Generator().manual_seed(0))
    power = power_spectrogram(sound, n_fft=64, hop=40)
    assert power.shape == (1, 11, 33)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(64) / 64)
    around = sound[0, 5 * 40 - 32 : 5 * 40 + 32].double().numpy() * window
    np.testing.assert_allclose(power[0, 5].numpy(), np.abs(np.fft.rfft(around)) ** 2, rtol=1e-3)


def test_a_tone_is_loudest_at_its_frequency() -> None:
    tone = torch.sin(2 * math.pi * 1000 * torch.arange(8000) / 8000)[None]
    power = power_spectrogram(tone, n_fft=256, hop=64)
    assert power.mean(1).argmax() == 1000 * 256 // 8000


def test_every_mel_band_has_weights_inside_the_edges_only() -> None:
    bank = mel_bank(n_fft=1024, num_mel_bins=64, sample_rate=32000, fmin=50, fmax=14000)
    assert bank.shape == (513, 64)
    assert (bank.sum(0) > 0).all()
    frequencies = torch.arange(513) * 32000 / 1024
    assert not bank[(frequencies < 50) | (frequencies > 14000)].any()


def test_mel_bands_weigh_by_their_width() -> None:
    bank = mel_bank(n_fft=4096, num_mel_bins=8, sample_rate=16000, fmin=0, fmax=8000)
    areas = bank.sum(0) * 16000 / 4096
    torch.testing.assert_close(areas, torch.ones(8), atol=1e-3, rtol=0)


def test_decibels_stop_at_minus_100() -> None:
    assert decibels(torch.tensor([1.0, 0.01, 0.0])).tolist() == pytest.approx([0, -20, -100])


def test_kaldis_columns_are_torchaudios() -> None:
    """Compare with numbers of `torchaudio.compliance.kaldi.fbank` 2.11.0.

    They were recorded with a Hann window, 128 bands and no dither, for a rising and a high tone
    plus a constant, which is subtracted from each window.
    """
    with np.load(Path(__file__).parent / "kaldi_fbank.npz") as file:
        recorded = torch.from_numpy(file["columns"])
    time = torch.arange(1680, dtype=torch.float64) / 16000
    sound = 0.5 * torch.sin(2 * math.pi * (300 + 9000 * time) * time)
    sound = sound + 0.01 * torch.sin(2 * math.pi * 7000 * time) + 0.1
    columns = kaldi_fbank((sound - sound.mean())[None], 16000, 128)
    assert columns.shape == (1, 9, 128)
    torch.testing.assert_close(columns[0], recorded, atol=1e-6, rtol=0)


def test_kaldi_has_a_column_for_each_complete_window_and_a_floor() -> None:
    columns = kaldi_fbank(torch.zeros(2, 719), 16000, 40)
    assert columns.shape == (2, 2, 40)
    assert columns.flatten().tolist() == pytest.approx([math.log(2**-23)] * 160)


def test_audio_shorter_than_a_window_is_rejected() -> None:
    with pytest.raises(ValueError, match="the audio has 399 samples, a window has 400"):
        kaldi_fbank(torch.zeros(1, 399), 16000, 40)
