"""Hiera by itself, against the one inside SAM 2."""

import pytest
import torch

from avseg.backbones.hiera import Hiera, HieraConfig
from avseg.backbones.sam2 import PromptedSam2, PromptedSam2Config
from tests.models.factories import SAM2, randomise


def test_the_sizes_of_sam2_are_those_of_its_hiera_and_more() -> None:
    hiera, sam2 = HieraConfig(), PromptedSam2Config()
    assert {name: getattr(sam2, name) for name in vars(hiera) if not name.startswith("_")} == {
        name: value for name, value in vars(hiera).items() if not name.startswith("_")
    }


def test_a_size_that_the_stages_do_not_divide_is_refused() -> None:
    with pytest.raises(Exception, match=r"image_size must be a multiple of 32 .*, got 100"):
        HieraConfig(image_size=100)
    assert HieraConfig(image_size=224).image_size == 224


def test_stages_are_those_that_sam2_computes() -> None:
    torch.manual_seed(0)
    sam = PromptedSam2(SAM2).eval()
    randomise(sam)
    inside = sam.sam2.vision_encoder.backbone
    hiera = Hiera(SAM2).eval()
    hiera.hiera.load_state_dict(inside.state_dict())
    pictures = torch.randn(2, 3, 64, 64)
    stages: list[torch.Tensor] = []
    hooks = [
        inside.blocks[end].register_forward_hook(lambda *args: stages.append(args[2]))
        for end in inside.stage_ends
    ]
    sam.encode_images(pictures)
    for hook in hooks:
        hook.remove()
    ours = hiera(pictures)
    assert [tuple(stage.shape) for stage in ours] == [
        (2, 16, 16, 16),
        (2, 32, 8, 8),
        (2, 48, 4, 4),
        (2, 64, 2, 2),
    ]
    for our, their in zip(ours, stages, strict=True):
        torch.testing.assert_close(our, their.permute(0, 3, 1, 2))
