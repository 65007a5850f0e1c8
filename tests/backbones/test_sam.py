"""Image features and mask predictions of SAM 1 and SAM 2."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from avseg.backbones.evf_sam import build_sam
from avseg.backbones.sam import ImageFeatures, MaskPrediction, PromptedSam
from avseg.backbones.sam1 import PromptedSam1
from avseg.backbones.sam2 import PromptedSam2
from tests.models.factories import SAM1, SAM2, randomise


@pytest.fixture(scope="module", params=[SAM1, SAM2], ids=["sam1", "sam2"])
def sam(request: pytest.FixtureRequest) -> PromptedSam:
    torch.manual_seed(0)
    model = build_sam(request.param)
    assert isinstance(model, PromptedSam1 | PromptedSam2)
    randomise(model.eval())
    return model


def test_the_best_mask_is_that_of_the_highest_predicted_iou() -> None:
    logits = torch.arange(6.0).view(2, 3, 1, 1)
    prediction = MaskPrediction(logits, torch.tensor([[0.1, 0.9, 0.2], [0.5, 0.3, 0.4]]))
    masks, ious = prediction.best()
    assert masks.flatten().tolist() == [1.0, 3.0]
    assert ious.tolist() == pytest.approx([0.9, 0.5])


def test_the_best_mask_is_resized_if_its_model_resizes_masks() -> None:
    logits, ious = torch.randn(2, 3, 4, 4), torch.tensor([[0.0, 1.0, 0.0]] * 2)
    masks, _ = MaskPrediction(logits, ious, resized_to=16).best()
    torch.testing.assert_close(
        masks, F.interpolate(logits[:, 1:2], (16, 16), mode="bilinear", align_corners=False)[:, 0]
    )


def test_features_are_assigned_to_prompts_without_copies() -> None:
    level = torch.arange(3.0).view(3, 1, 1, 1)
    repeated = ImageFeatures((level,)).repeat(torch.tensor([2, 0, 2])).repeat(torch.tensor([1, 2]))
    assert repeated.levels[0] is level
    assert repeated.per_prompt(level).flatten().tolist() == [0.0, 2.0]


def test_attention_is_torchs_own(sam: PromptedSam, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    attend = F.scaled_dot_product_attention

    def counted(*args: Any, **options: Any) -> Tensor:
        calls.append(1)
        return attend(*args, **options)

    monkeypatch.setattr(F, "scaled_dot_product_attention", counted)
    features = sam.encode_images(torch.randn(1, 3, 64, 64))
    assert len(calls) == len(sam.block_dims)
    sam.decode_masks(features, torch.randn(1, 1, 32))
    assert len(calls) == len(sam.block_dims) + 7  # three in each of two layers, and the last


def test_an_image_is_decoded_for_several_prompts_as_for_each(sam: PromptedSam) -> None:
    features = sam.encode_images(torch.randn(2, 3, 64, 64))
    prompts, index = torch.randn(3, 1, 32), torch.tensor([1, 0, 1])
    together = sam.decode_masks(features.repeat(index), prompts)
    for i, image in enumerate(index):
        alone = sam.decode_masks(features.repeat(image[None]), prompts[i : i + 1])
        torch.testing.assert_close(together.mask_logits[i], alone.mask_logits[0], atol=1e-5, rtol=0)


@pytest.mark.slow
def test_the_image_encoder_compiles_as_one_graph(sam: PromptedSam) -> None:
    pictures = torch.randn(2, 3, 64, 64)
    prompts = [torch.randn(2, dim, requires_grad=True) for dim in sam.block_dims]
    compiled = torch.compile(sam.encode_images, fullgraph=True, backend="aot_eager")

    def gradient(features: ImageFeatures) -> Tensor:
        (of_first,) = torch.autograd.grad(features.embeddings.square().mean(), prompts[:1])
        return of_first

    ours, theirs = compiled(pictures, prompts), sam.encode_images(pictures, prompts)
    torch.testing.assert_close(ours.embeddings, theirs.embeddings, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(gradient(ours), gradient(theirs), atol=1e-5, rtol=1e-4)
