"""SAM with block prompts, compared with transformers' own forward pass."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avseg.backbones.sam1 import PromptedSam1, PromptedSam1Config
from tests.models.factories import SAM1, randomise


@pytest.fixture(scope="module")
def sam() -> PromptedSam1:
    torch.manual_seed(0)
    model = PromptedSam1(SAM1).eval()
    randomise(model)
    return model


@pytest.fixture
def pictures() -> Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_the_defaults_are_vit_huge() -> None:
    with torch.device("meta"):
        model = PromptedSam1(PromptedSam1Config())
    assert sum(p.numel() for p in model.image_encoder.parameters()) == 637_026_048
    assert sum(p.numel() for p in model.sam1.mask_decoder.parameters()) == 4_058_340
    assert model.block_dims == [1280] * 32


def test_a_point_prompt_gives_the_masks_of_transformers(
    sam: PromptedSam1, pictures: Tensor
) -> None:
    points, labels = torch.tensor([[[[9.0, 40.0]]], [[[50.0, 3.0]]]]), torch.ones(2, 1, 1)
    with torch.no_grad():
        theirs = sam.sam1(pictures, input_points=points, input_labels=labels)
        sparse, _ = sam.sam1.prompt_encoder(points, labels, None, None)
        ours = sam.decode_masks(sam.encode_images(pictures), sparse[:, 0])
    torch.testing.assert_close(ours.mask_logits, theirs.pred_masks[:, 0])
    torch.testing.assert_close(ours.iou_predictions, theirs.iou_scores[:, 0])
    assert ours.object_score_logits is None


def test_attention_over_the_whole_image_is_that_of_transformers(
    sam: PromptedSam1, pictures: Tensor
) -> None:
    blocks: Any = sam.sam1.vision_encoder.layers
    assert [block.window_size for block in blocks] == [3, 0, 3]
    inputs: list[Tensor] = []
    outputs: list[Tensor] = []
    hooks = [
        blocks[1].layer_norm1.register_forward_pre_hook(lambda _, args: inputs.append(args[0])),
        blocks[2].register_forward_pre_hook(lambda _, args: outputs.append(args[0])),
    ]
    sam.encode_images(pictures)
    for hook in hooks:
        hook.remove()
    torch.testing.assert_close(outputs[0], blocks[1](inputs[0]), atol=1e-6, rtol=1e-5)


def test_attention_over_the_whole_image_has_no_bias_and_can_be_fused(
    sam: PromptedSam1, pictures: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[bool, int]] = []
    attend = F.scaled_dot_product_attention

    def watched(query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
        biased = options.get("attn_mask") is not None
        calls.append((biased, len({query.shape, key.shape, value.shape})))
        return attend(query, key, value, **options)

    monkeypatch.setattr(F, "scaled_dot_product_attention", watched)
    sam.encode_images(pictures)
    assert calls == [(True, 1), (False, 1), (True, 1)]


def test_masks_have_a_quarter_of_the_patch_stride_and_are_resized_to_the_image(
    sam: PromptedSam1, pictures: Tensor
) -> None:
    prediction = sam.decode_masks(sam.encode_images(pictures), torch.randn(2, 1, 32))
    assert prediction.mask_logits.shape == (2, 3, 32, 32)
    assert prediction.best()[0].shape == (2, 64, 64)


def test_the_norms_of_the_decoder_are_those_of_the_published_model(sam: PromptedSam1) -> None:
    norms = [m for m in sam.sam1.mask_decoder.modules() if type(m) is nn.LayerNorm]
    assert len(norms) == 9
    assert {norm.eps for norm in norms} == {1e-5}


def test_position_frequencies_are_no_parameter(sam: PromptedSam1) -> None:
    assert not [name for name, _ in sam.named_parameters() if "positional" in name]
    assert len([name for name in sam.state_dict() if "positional" in name]) == 2


def test_the_neck_does_not_overflow_in_float16(sam: PromptedSam1, pictures: Tensor) -> None:
    with torch.no_grad():
        sam = deepcopy(sam)
        sam.sam1.vision_encoder.neck.conv1.weight.mul_(1e6)
        with torch.autocast("cpu", torch.float16):
            embeddings = sam.encode_images(pictures).embeddings
    assert embeddings.isfinite().all()


@pytest.mark.parametrize("block", range(3))
def test_a_block_prompt_changes_the_features_of_its_image_only(
    sam: PromptedSam1, pictures: Tensor, block: int
) -> None:
    prompts = [torch.zeros(2, dim) for dim in sam.block_dims]
    prompts[block][1] = torch.linspace(-1, 1, sam.block_dims[block])
    without, prompted = sam.encode_images(pictures), sam.encode_images(pictures, prompts)
    torch.testing.assert_close(without.embeddings[0], prompted.embeddings[0])
    assert (without.embeddings[1] - prompted.embeddings[1]).abs().max() > 1e-3


def test_a_block_prompt_is_added_after_the_positions(sam: PromptedSam1, pictures: Tensor) -> None:
    inputs: list[Tensor] = []
    hook = sam.sam1.vision_encoder.layers[0].register_forward_pre_hook(
        lambda _, args: inputs.append(args[0])
    )
    prompts = [torch.randn(2, dim) for dim in sam.block_dims]
    sam.encode_images(pictures)
    sam.encode_images(pictures, prompts)
    hook.remove()
    torch.testing.assert_close(inputs[1], inputs[0] + prompts[0][:, None, None, :])


def test_one_prompt_too_few_is_rejected(sam: PromptedSam1, pictures: Tensor) -> None:
    prompts = [torch.zeros(2, dim) for dim in sam.block_dims[:-1]]
    with pytest.raises(ValueError, match=r"3 blocks, got 2 block prompts; give one for each"):
        sam.encode_images(pictures, prompts)


def test_images_that_the_position_tables_do_not_fit_are_rejected(sam: PromptedSam1) -> None:
    with pytest.raises(ValueError, match=r"images are 64 x 72, the model is configured for 64"):
        sam.encode_images(torch.zeros(1, 3, 64, 72))


@pytest.mark.parametrize("asked", [None, 0, 2])
def test_a_limit_recomputes_only_the_first_blocks(
    asked: int | None, sam: PromptedSam1, pictures: Tensor
) -> None:
    calls: list[int] = []
    blocks: Any = sam.sam1.vision_encoder.layers
    hooks = [
        b.layer_norm1.register_forward_pre_hook(lambda *_, i=i: calls.append(i))
        for i, b in enumerate(blocks)
    ]
    sam.gradient_checkpointing, sam.recomputed_blocks = True, asked
    prompts = [torch.zeros(2, dim, requires_grad=True) for dim in sam.block_dims]
    torch.autograd.grad(sam.encode_images(pictures, prompts).embeddings.sum(), prompts)
    sam.gradient_checkpointing, sam.recomputed_blocks = False, None
    for hook in hooks:
        hook.remove()
    recomputed = range(len(blocks) if asked is None else asked)
    assert sorted(calls) == sorted([*range(len(blocks)), *recomputed])


def test_checkpointed_blocks_give_the_same_gradient(sam: PromptedSam1, pictures: Tensor) -> None:
    gradients = []
    for sam.gradient_checkpointing in (False, True):
        prompts = [torch.zeros(2, dim, requires_grad=True) for dim in sam.block_dims]
        total = sam.encode_images(pictures, prompts).embeddings.square().sum()
        gradients.append(torch.autograd.grad(total, prompts[0])[0])
    sam.gradient_checkpointing = False
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 1000}, r"image_size must be a multiple of patch_size 16, got 1000"),
        ({"num_heads": 7}, r"dim must be a multiple of num_heads 7, got 1280"),
        ({"global_blocks": [31, 32]}, r"name blocks from 0 to 31, got \[32\]"),
    ],
)
def test_impossible_sizes_are_rejected(options: dict[str, object], message: str) -> None:
    with pytest.raises(Exception, match=message):
        PromptedSam1Config(**options)  # type: ignore[arg-type]
