"""SAM 2 with block prompts, compared with transformers' own forward pass."""

import pytest
import torch
from transformers.models.sam2.modeling_sam2 import Sam2MultiScaleAttention

from avseg.backbones.sam2 import Hiera, HieraConfig, PromptedSam2, PromptedSam2Config
from tests.models.factories import SAM2, randomise


@pytest.fixture(scope="module")
def sam() -> PromptedSam2:
    torch.manual_seed(0)
    model = PromptedSam2(SAM2).eval()
    randomise(model)
    return model


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_the_defaults_are_hiera_large() -> None:
    with torch.device("meta"):
        model = PromptedSam2(PromptedSam2Config())
    encoder = model.sam2.vision_encoder
    assert sum(p.numel() for p in encoder.parameters()) == pytest.approx(212.70e6, rel=1e-4)
    assert model.block_dims == [144] * 3 + [288] * 6 + [576] * 36 + [1152] * 3


def test_block_dims_are_the_widths_that_reach_each_block(sam: PromptedSam2) -> None:
    widths: list[int] = []
    blocks = sam.sam2.vision_encoder.backbone.blocks
    hooks = [
        block.register_forward_pre_hook(lambda _, args: widths.append(args[0].shape[-1]))
        for block in blocks
    ]
    sam.encode_images(torch.zeros(1, 3, 64, 64))
    for hook in hooks:
        hook.remove()
    assert widths == sam.block_dims


def test_features_without_prompts_are_those_of_transformers(
    sam: PromptedSam2, pictures: torch.Tensor
) -> None:
    ours = sam.encode_images(pictures)
    levels = sam.sam2.vision_encoder(pictures).fpn_hidden_states
    torch.testing.assert_close(ours.levels[2], levels[0])
    torch.testing.assert_close(ours.levels[1], levels[1])
    no_memory = sam.sam2.no_memory_embedding.view(1, -1, 1, 1)
    torch.testing.assert_close(ours.embeddings, levels[2] + no_memory)


def test_zero_block_prompts_change_nothing(sam: PromptedSam2, pictures: torch.Tensor) -> None:
    zeros = [torch.zeros(2, dim) for dim in sam.block_dims]
    without, with_zeros = sam.encode_images(pictures), sam.encode_images(pictures, zeros)
    assert torch.equal(without.embeddings, with_zeros.embeddings)


@pytest.mark.parametrize("block", range(5))
def test_a_block_prompt_changes_the_features_of_its_image_only(
    sam: PromptedSam2, pictures: torch.Tensor, block: int
) -> None:
    prompts = [torch.zeros(2, dim) for dim in sam.block_dims]
    prompts[block][1] = torch.linspace(-1, 1, sam.block_dims[block])
    without, prompted = sam.encode_images(pictures), sam.encode_images(pictures, prompts)
    torch.testing.assert_close(without.embeddings[0], prompted.embeddings[0])
    assert (without.embeddings[1] - prompted.embeddings[1]).abs().max() > 1e-3


def test_one_prompt_too_few_is_rejected(sam: PromptedSam2, pictures: torch.Tensor) -> None:
    prompts = [torch.zeros(2, dim) for dim in sam.block_dims[:-1]]
    with pytest.raises(ValueError, match=r"5 blocks, got 4 block prompts; give one for each"):
        sam.encode_images(pictures, prompts)


def test_attention_is_that_of_transformers(sam: PromptedSam2) -> None:
    blocks = sam.sam2.vision_encoder.backbone.blocks
    assert {bool(block.query_stride) for block in blocks} == {False, True}
    for block in blocks:
        windows = torch.randn(3, 4, 4, block.dim)
        theirs = Sam2MultiScaleAttention.forward(block.attn, windows)
        assert torch.equal(block.attn(windows), theirs)


@pytest.mark.parametrize("asked", [None, 0, 2])
def test_a_limit_recomputes_only_the_first_blocks(
    asked: int | None, sam: PromptedSam2, pictures: torch.Tensor
) -> None:
    calls: list[int] = []
    blocks = sam.sam2.vision_encoder.backbone.blocks
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


def test_checkpointed_blocks_give_the_same_gradient(
    sam: PromptedSam2, pictures: torch.Tensor
) -> None:
    gradients = []
    for sam.gradient_checkpointing in (False, True):
        prompts = [torch.zeros(2, dim, requires_grad=True) for dim in sam.block_dims]
        total = sam.encode_images(pictures, prompts).embeddings.square().sum()
        gradients.append(torch.autograd.grad(total, prompts[0])[0])
    sam.gradient_checkpointing = False
    torch.testing.assert_close(*gradients)


def test_masks_have_the_stride_of_the_patch_convolution(
    sam: PromptedSam2, pictures: torch.Tensor
) -> None:
    prediction = sam.decode_masks(sam.encode_images(pictures), torch.randn(2, 1, 32))
    assert prediction.mask_logits.shape == (2, 3, 16, 16)
    assert prediction.iou_predictions.shape == (2, 3)
    assert prediction.object_score_logits is not None
    assert prediction.object_score_logits.shape == (2, 1)


def test_the_fine_levels_are_reduced_once_for_each_image(
    sam: PromptedSam2, pictures: torch.Tensor
) -> None:
    batches: list[int] = []
    decoder = sam.sam2.mask_decoder
    hooks = [
        conv.register_forward_hook(lambda *args: batches.append(len(args[1][0])))
        for conv in (decoder.conv_s0, decoder.conv_s1)
    ]
    features = sam.encode_images(pictures)
    sam.decode_masks(features.repeat(torch.tensor([0, 1, 1, 1])), torch.randn(4, 1, 32))
    for hook in hooks:
        hook.remove()
    assert batches == [2, 2]


def test_images_of_another_size_are_rejected(sam: PromptedSam2) -> None:
    with pytest.raises(ValueError, match=r"images are 96 x 96, the model is configured for 64"):
        sam.encode_images(torch.zeros(1, 3, 96, 96))


def test_an_image_size_that_windows_do_not_tile_is_rejected() -> None:
    with pytest.raises(Exception, match=r"image_size must be a multiple of 32 .* got 240"):
        PromptedSam2Config(image_size=240)


def test_a_list_without_one_entry_for_each_stage_is_rejected() -> None:
    with pytest.raises(Exception, match=r"num_heads needs 4 entries, one for each stage, got \[1"):
        PromptedSam2Config(num_heads=[1, 2])


def test_a_stage_cannot_begin_with_a_global_block() -> None:
    with pytest.raises(Exception, match=r"must not name the first block .* got \[8\]"):
        PromptedSam2Config(global_blocks=[8, 9])


def test_the_options_of_sam2_include_those_of_hiera() -> None:
    hiera, sam2 = HieraConfig(), PromptedSam2Config()
    assert {name: getattr(sam2, name) for name in vars(hiera) if not name.startswith("_")} == {
        name: value for name, value in vars(hiera).items() if not name.startswith("_")
    }


def test_a_size_that_the_stages_do_not_divide_is_rejected() -> None:
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
