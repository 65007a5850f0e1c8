"""BEiT-3: names, positions, padding, and the shortcut to the class token."""

import pytest
import torch

from avseg.backbones.beit3 import Beit3Config, Beit3Model
from tests.models.factories import BEIT3, randomise


@pytest.fixture(scope="module")
def model() -> Beit3Model:
    torch.manual_seed(0)
    beit3 = Beit3Model(BEIT3).eval()
    randomise(beit3)
    return beit3


@pytest.fixture
def image_tokens(model: Beit3Model) -> torch.Tensor:
    pictures = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    return model.embed_images(pictures).detach()


def test_the_defaults_are_beit3_large_without_its_mask_token() -> None:
    with torch.device("meta"):
        model = Beit3Model(Beit3Config())
    assert sum(p.numel() for p in model.parameters()) == 672_702_464 - 1024


def test_modules_carry_the_published_names() -> None:
    names = set(Beit3Model(BEIT3).state_dict())
    layer = "encoder.layers.1."
    published = {
        "text_embed.weight",
        "vision_embed.cls_token",
        *(
            f"{prefix}.{way}.{kind}"
            for prefix in (
                *(layer + f"self_attn.{p}_proj" for p in ("q", "k", "v", "out")),
                layer + "self_attn.inner_attn_ln",
                layer + "self_attn_layer_norm",
                layer + "final_layer_norm",
                "encoder.layer_norm",
            )
            for way in "AB"
            for kind in ("weight", "bias")
        ),
        *(
            f"{layer}ffn.{way}.{part}.{kind}"
            for way in "AB"
            for part in ("fc1", "fc2", "ffn_layernorm")
            for kind in ("weight", "bias")
        ),
        "encoder.embed_positions.A.weight",
        "encoder.embed_positions.B.weight",
    }
    found = {n for n in names if not n.startswith(("vision_embed.proj.", "encoder.layers.0."))}
    assert found == published


def test_cls_only_gives_the_class_token_of_the_full_model(
    model: Beit3Model, image_tokens: torch.Tensor
) -> None:
    text = torch.randn(2, 3, 32)
    full, cls = model(image_tokens, text), model(image_tokens, text, cls_only=True)
    assert cls.shape == (2, 1, 32)
    torch.testing.assert_close(cls, full[:, :1])


def test_padding_has_no_effect(model: Beit3Model, image_tokens: torch.Tensor) -> None:
    text = model.embed_text(torch.tensor([[4, 5, 6], [7, 8, 9]]))
    padded = torch.cat([text, model.embed_text(torch.full((2, 2), 3))], dim=1)
    mask = torch.tensor([[False] * 3 + [True] * 2] * 2)
    ours = model(image_tokens, padded, mask)[:, : image_tokens.shape[1] + 3]
    torch.testing.assert_close(ours, model(image_tokens, text))


def test_the_class_token_reads_the_text(model: Beit3Model, image_tokens: torch.Tensor) -> None:
    one, other = (model.embed_text(torch.tensor([[word]] * 2)) for word in (4, 5))
    difference = model(image_tokens, one, cls_only=True) - model(image_tokens, other, cls_only=True)
    assert difference.abs().max() > 1e-3


def test_positions_of_image_and_text_both_start_at_row_two(model: Beit3Model) -> None:
    tables = model.encoder.embed_positions
    text = torch.randn(1, 3, 32)
    model(model.embed_images(torch.randn(1, 3, 64, 64)), text).sum().backward()
    rows = {
        kind: tables[kind].weight.grad.abs().sum(1).nonzero().flatten().tolist()  # type: ignore[union-attr, operator]
        for kind in "AB"
    }
    model.zero_grad()
    assert rows == {"A": list(range(2, 2 + 17)), "B": [2, 3, 4]}


def test_image_and_text_tokens_have_separate_layers(
    model: Beit3Model, image_tokens: torch.Tensor
) -> None:
    text = torch.randn(2, 3, 32)
    model(image_tokens, text)[:, 17:].sum().backward()
    last = model.encoder.layers[-1]
    assert last.ffn.B.fc1.weight.grad is not None  # type: ignore[union-attr]
    assert not last.ffn.A.fc1.weight.grad.any()  # type: ignore[union-attr, operator]
    model.zero_grad()


def test_checkpointed_layers_give_the_same_gradient(
    model: Beit3Model, image_tokens: torch.Tensor
) -> None:
    gradients = []
    for model.encoder.gradient_checkpointing in (False, True):
        text = torch.ones(2, 3, 32, requires_grad=True)
        model(image_tokens, text, cls_only=True).square().sum().backward()
        gradients.append(text.grad)
    model.encoder.gradient_checkpointing = False
    torch.testing.assert_close(*gradients)


def test_a_text_longer_than_the_position_table_is_rejected(
    model: Beit3Model, image_tokens: torch.Tensor
) -> None:
    with pytest.raises(
        ValueError, match=r"the text has 9 tokens, the model takes at most 8; shorten it"
    ):
        model(image_tokens, torch.zeros(2, 9, 32))


def test_a_size_that_patches_do_not_tile_is_rejected() -> None:
    with pytest.raises(Exception, match=r"multiple of patch_size 16, got 100"):
        Beit3Config(image_size=100)


def test_a_width_that_heads_do_not_divide_is_rejected() -> None:
    with pytest.raises(Exception, match=r"multiple of num_heads 16, got 1000"):
        Beit3Config(dim=1000)
