"""ImageBind's towers, beyond the recorded numbers of the authors' code."""

import pytest
import torch

from avseg.backbones.imagebind.configuration import (
    ImageBindAudioConfig,
    ImageBindTextConfig,
    ImageBindVisionConfig,
)
from avseg.backbones.imagebind.towers import AudioTower, TextTower, VisionTower

VISION = ImageBindVisionConfig(image_size=56, width=8, blocks=2, heads=2)
AUDIO = ImageBindAudioConfig(mel_bins=36, target_length=46, width=8, blocks=2, heads=2)
TEXT = ImageBindTextConfig(vocab=9, context=5, width=8, blocks=2, heads=2)


@pytest.mark.parametrize("stem_channels", [[], [4]])
def test_any_square_image_that_patches_tile_is_encoded(stem_channels: list[int]) -> None:
    tower = VisionTower(VISION.replace(stem_channels=stem_channels))
    assert tower(torch.randn(2, 3, 56, 56)).tokens.shape == (2, 16, 8)
    smaller = tower(torch.randn(2, 3, 28, 28))
    assert smaller.tokens.shape == (2, 4, 8)
    assert smaller.cls.shape == (2, 8)


@pytest.mark.parametrize("shape", [(56, 28), (50, 50)])
def test_images_of_another_shape_are_rejected(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"multiple of 14, got {shape[0]} x {shape[1]}; resize"):
        VisionTower(VISION)(torch.zeros(1, 3, *shape))


def test_positions_of_a_smaller_image_are_interpolated() -> None:
    tower = VisionTower(VISION)
    with torch.no_grad():
        tower.positions[0, 1:] = torch.arange(4.0).repeat_interleave(4)[:, None]  # by row
    rows = tower._positions(2)[0, 1:, 0].reshape(2, 2)
    assert rows[0, 0] == rows[0, 1]
    assert 0 < rows[0, 0] < 1.5 < rows[1, 0] < 3


@pytest.mark.parametrize("stem_channels", [[], [4, 4, 4, 4]])
def test_a_spectrogram_becomes_the_tokens_of_its_grid(stem_channels: list[int]) -> None:
    config = AUDIO.replace(stem_channels=stem_channels)
    high, long = config.grid
    features = AudioTower(config)(torch.randn(2, 1, 36, 46))
    assert features.tokens.shape == (2, high * long, 8)


def test_a_spectrogram_of_another_size_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"must be \(N, 1, 36, 46\), got \(2, 1, 36, 45\)"):
        AudioTower(AUDIO)(torch.zeros(2, 1, 36, 45))


def test_words_see_those_before_them_only() -> None:
    tower = TextTower(TEXT)
    words = torch.randn(1, 4, 8)
    changed = words.clone()
    changed[:, 3] += 1
    torch.testing.assert_close(tower(words)[:, :3], tower(changed)[:, :3])
    torch.testing.assert_close(tower(words)[:, :3], tower(words[:, :3]))


def test_more_words_than_positions_are_rejected() -> None:
    with pytest.raises(ValueError, match="there are 6 words, the model takes at most 5"):
        TextTower(TEXT)(torch.zeros(1, 6, 8))


def test_recomputing_blocks_changes_no_gradient() -> None:
    tower = AudioTower(AUDIO).double()
    sounds = torch.randn(1, 1, 36, 46, dtype=torch.float64)
    gradients = []
    for recompute in (False, True):
        tower.trunk.gradient_checkpointing = recompute
        tower.zero_grad()
        tower(sounds).cls.square().sum().backward()
        gradients.append([p.grad.clone() for p in tower.parameters() if p.grad is not None])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
