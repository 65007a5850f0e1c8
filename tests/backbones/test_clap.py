"""The CLAP audio tower."""

import pytest
import torch
from transformers.audio_utils import mel_filter_bank

from avseg.backbones.clap import ClapAudioTower, ClapAudioTowerConfig, ClapProjection
from tests.models.factories import CLAP


@pytest.fixture(scope="module")
def tower() -> ClapAudioTower:
    torch.manual_seed(0)
    return ClapAudioTower(CLAP).eval()


def test_the_defaults_are_ms_clap_2023() -> None:
    tower = ClapAudioTower(ClapAudioTowerConfig())
    published = mel_filter_bank(513, 64, 50, 14000, 32000, norm="slaney", mel_scale="slaney")
    torch.testing.assert_close(tower.mel_bank, torch.from_numpy(published).float())
    htsat = sum(p.numel() for p in tower.htsat.parameters())
    assert htsat == pytest.approx(27.5e6, rel=0.03)
    assert tower.eval()(torch.zeros(1, 44100)).shape == (1, 1024)


def test_a_second_of_stereo_end_to_end_fits_the_published_model() -> None:
    assert ClapAudioTowerConfig().max_samples >= 88200


def test_each_waveform_has_its_own_embedding(tower: ClapAudioTower) -> None:
    sounds = 0.1 * torch.randn(3, 2000)
    together = tower(sounds)
    assert together.shape == (3, 20)
    alone = torch.cat([tower(sound[None]) for sound in sounds])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_silence_is_the_same_everywhere_in_the_spectrogram(tower: ClapAudioTower) -> None:
    assert (tower.log_mel(torch.zeros(1, 2000)) == -100).all()


def test_the_spectrogram_is_computed_in_float32_under_autocast(tower: ClapAudioTower) -> None:
    sound = 0.1 * torch.randn(1, 2000)
    with torch.autocast("cpu", torch.bfloat16):
        under_autocast = tower.log_mel(sound)
    torch.testing.assert_close(under_autocast, tower.log_mel(sound))


def test_the_longest_audio_is_accepted_and_one_sample_more_is_rejected(
    tower: ClapAudioTower,
) -> None:
    longest = CLAP.max_samples
    tower(torch.zeros(1, longest))
    with pytest.raises(
        ValueError, match=rf"{longest + 1} samples, the model takes at most {longest}; cut"
    ):
        tower(torch.zeros(1, longest + 1))


def test_the_mel_bank_is_saved_with_the_weights(tower: ClapAudioTower) -> None:
    assert "mel_bank" in tower.state_dict()


def test_the_projection_adds_a_residual_layer_and_normalises() -> None:
    projection = ClapProjection(4, 6, dropout=0.5).eval()
    torch.nn.init.zeros_(projection.linear2.weight)
    features = torch.randn(2, 4)
    expected = torch.nn.functional.layer_norm(features @ projection.linear1.weight.T, (6,))
    torch.testing.assert_close(projection(features), expected)


def test_stages_without_heads_are_rejected() -> None:
    with pytest.raises(Exception, match=r"one entry for each stage, got \[2, 2\] and \[4\]"):
        ClapAudioTowerConfig(depths=[2, 2], num_heads=[4])


def test_bands_that_do_not_fold_into_the_square_are_rejected() -> None:
    with pytest.raises(Exception, match=r"spec_size must be a multiple of num_mel_bins 60, got"):
        ClapAudioTowerConfig(num_mel_bins=60)
