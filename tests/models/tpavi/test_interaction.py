"""The audio-visual attention, against the matrix of all pairs of pixels."""

import pytest
import torch
from torch import Tensor, nn

from avseg.models.tpavi.interaction import AudioVisualInteraction


@pytest.fixture
def interaction() -> AudioVisualInteraction:
    torch.manual_seed(0)
    made = AudioVisualInteraction(dim=8, audio_dim=6).eval()
    nn.init.ones_(made.batch_norm.weight)
    return made


def test_every_pixel_attends_to_every_pixel_by_the_audio_of_its_frame(
    interaction: AudioVisualInteraction,
) -> None:
    features, audio = torch.randn(2, 3, 8, 4, 5), torch.randn(2, 3, 6)
    pixels = features.permute(0, 1, 3, 4, 2).flatten(1, 3)  # (2, 60, 8)
    keys = interaction.phi(interaction.audio_proj(audio)).repeat_interleave(20, dim=1)
    attention = interaction.theta(pixels) @ keys.transpose(1, 2) / 60  # (2, 60, 60)
    update = interaction.out_proj(attention @ interaction.value(pixels))
    update = interaction.batch_norm(update.transpose(1, 2)).transpose(1, 2)
    expected = interaction.layer_norm(pixels + update).view(2, 3, 4, 5, 8).permute(0, 1, 4, 2, 3)
    torch.testing.assert_close(interaction(features, audio)[0], expected)


def test_an_untrained_interaction_only_normalises() -> None:
    features = torch.randn(1, 2, 8, 3, 3)
    mixed, _ = AudioVisualInteraction(dim=8, audio_dim=6)(features, torch.randn(1, 2, 6))
    expected: Tensor = nn.functional.layer_norm(features.movedim(2, -1), (8,)).movedim(-1, 2)
    torch.testing.assert_close(mixed, expected)


def test_the_audio_is_projected_to_the_space_of_the_pixels(
    interaction: AudioVisualInteraction,
) -> None:
    audio = torch.randn(1, 2, 6)
    _, projected = interaction(torch.randn(1, 2, 8, 3, 3), audio)
    torch.testing.assert_close(projected, interaction.audio_proj(audio))
