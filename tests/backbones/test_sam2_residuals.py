"""Residuals inside SAM 2's mask decoder."""

from typing import Any

import pytest
import torch
from torch import Tensor

from avseg.backbones.sam2 import PromptedSam2
from avseg.backbones.sam2_residuals import LayerResidual
from tests.models.factories import SAM2, randomise

IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def sam() -> PromptedSam2:
    torch.manual_seed(0)
    model = PromptedSam2(SAM2)
    randomise(model)
    return model.train(mode=False)


def residuals(scale: float = 1.0) -> list[LayerResidual]:
    generator = torch.Generator().manual_seed(1)
    return [
        LayerResidual(
            scale * torch.randn(2, 32, 4, 4, generator=generator),
            scale * torch.randn(2, 32, generator=generator),
        )
        for _ in range(3)
    ]


@torch.no_grad()
def decode(sam: PromptedSam2, added: list[LayerResidual] | None) -> Tensor:
    features = sam.encode_images(IMAGES)
    return sam.decode_masks(features, torch.zeros(2, 0, 32), residuals=added).mask_logits


def test_residuals_of_zero_change_nothing(sam: PromptedSam2) -> None:
    torch.testing.assert_close(decode(sam, residuals(0.0)), decode(sam, None), atol=1e-5, rtol=0)


@pytest.mark.parametrize("layer", range(3))
@pytest.mark.parametrize("part", ["image", "masks"])
def test_every_residual_changes_the_masks(sam: PromptedSam2, layer: int, part: str) -> None:
    plain, changed = residuals(0.0), residuals(0.0)
    changed[layer] = LayerResidual(**(vars(plain[layer]) | {part: vars(residuals()[layer])[part]}))
    assert (decode(sam, changed) - decode(sam, plain)).abs().max() > 1e-4


def test_the_first_residual_is_in_the_position_code_of_every_layer(sam: PromptedSam2) -> None:
    decoder: Any = sam.sam2.mask_decoder
    codes: list[Tensor] = []
    hooks = [
        layer.register_forward_pre_hook(
            lambda _, __, named: codes.append(named["query_point_embedding"]), with_kwargs=True
        )
        for layer in decoder.transformer.layers
    ]
    added = residuals()
    decode(sam, added)
    for hook in hooks:
        hook.remove()
    for code in codes:
        assert torch.equal(code[:, 0, 0], decoder.obj_score_token.weight.expand(2, -1))
        assert torch.equal(code[:, 0, 1], decoder.iou_token.weight.expand(2, -1))
        expected = decoder.mask_tokens.weight + added[0].masks[:, None]
        torch.testing.assert_close(code[:, 0, 2:], expected)
    assert len(codes) == 2


def test_the_residuals_of_prompts_are_independent(sam: PromptedSam2) -> None:
    added = residuals()
    changed = [LayerResidual(r.image.clone(), r.masks.clone()) for r in added]
    for each in changed:
        each.image[1] += 1
        each.masks[1] += 1
    before, after = decode(sam, added), decode(sam, changed)
    torch.testing.assert_close(before[0], after[0], atol=1e-5, rtol=0)
    assert (before[1] - after[1]).abs().max() > 1e-4
