"""The convolutional stem."""

import pytest
import torch
from torch import nn

from avseg.backbones.stem import ConvStem, ResidualBlock, patch_convolution


def test_without_channels_there_is_the_published_single_convolution() -> None:
    convolution = patch_convolution([], dim=8, patch_size=16)
    assert isinstance(convolution, nn.Conv2d)
    assert convolution.weight.shape == (8, 3, 16, 16)


@pytest.mark.parametrize("channels", [[4], [4, 6], [4, 6, 8, 10]])
def test_a_stem_computes_as_many_patches_as_the_convolution(channels: list[int]) -> None:
    pictures = torch.randn(2, 3, 32, 48)
    assert patch_convolution(channels, dim=8, patch_size=16)(pictures).shape == (2, 8, 2, 3)


def test_every_stage_but_the_first_has_a_residual_block() -> None:
    blocks = [type(stage) for stage in ConvStem([4, 6, 8], dim=8, patch_size=16).stages]
    assert blocks.count(ResidualBlock) == 2
    assert blocks[1] is not ResidualBlock


def test_stages_that_do_not_divide_the_patch_are_rejected() -> None:
    with pytest.raises(ValueError, match=r"multiple of 8 for 3 stem_channels .* got 12"):
        ConvStem([4, 6, 8], dim=8, patch_size=12)


def test_the_weight_is_that_of_the_last_convolution() -> None:
    stem = ConvStem([4], dim=8, patch_size=4)
    assert stem.weight is stem.projection.weight
