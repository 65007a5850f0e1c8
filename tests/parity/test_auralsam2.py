"""AuralSAM2 computes what a second implementation computes, with weights under published names.

No small case of the authors' code is recorded here. The reference below is written from the
description of the released code, with its tensor names, its in-place additions and its reshapes,
and without any code of the model. `benchmarks/parity_auralsam2.py` compares with recordings.
"""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from avseg.backbones.sam2_residuals import LayerResidual
from avseg.checkpoints.keymaps.auralsam2 import AURALSAM2
from avseg.models.auralsam2 import AuralSam2Model
from tests.models.auralsam2_factories import AURALSAM2 as CONFIG
from tests.parity.reference import make_weight

pytestmark = pytest.mark.parity

FRAMES, WIDTH, GRID, HEADS, STRIDE = 3, 64, 4, 4, 2

Weights = dict[str, Tensor]


@pytest.fixture(scope="module")
def published() -> Weights:
    """The weights under their published names."""
    expected = AURALSAM2.to_published(AuralSam2Model(CONFIG).state_dict())
    return {
        name: values if values.dim() == 0 else make_weight(name, list(values.shape), 0).double()
        for name, values in expected.items()
    }


@pytest.fixture(scope="module")
def model(published: Weights) -> AuralSam2Model:
    built = AuralSam2Model(CONFIG)
    built.load_state_dict(AURALSAM2.fit(published, built.state_dict()).tensors)
    return built.double().train(mode=False)


def levels() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(FRAMES, WIDTH, s, s, generator=generator).double() for s in (16, 8, 4)]


def audio() -> Tensor:
    return torch.randn(FRAMES, WIDTH, generator=torch.Generator().manual_seed(2)).double()


def linear(x: Tensor, weights: Weights, name: str) -> Tensor:
    weight = weights[f"aural_fuser.{name}.weight"]
    return F.linear(x, weight.reshape(len(weight), -1), weights[f"aural_fuser.{name}.bias"])


def norm(x: Tensor, weights: Weights, name: str) -> Tensor:
    name = "aural_fuser." + name
    return F.layer_norm(x, (x.shape[-1],), weights[name + ".weight"], weights[name + ".bias"])


def batch_norm(x: Tensor, weights: Weights, name: str) -> Tensor:
    name = "aural_fuser." + name
    mean, variance = weights[name + ".running_mean"], weights[name + ".running_var"]
    scaled = (x - mean) / (variance + 1e-5).sqrt()
    return scaled * weights[name + ".weight"] + weights[name + ".bias"]


def attention(query: Tensor, key_value: Tensor) -> Tensor:
    """Compute softmax attention head by head; (Q, E) and (K, 2E) to (Q, E)."""
    size, out = WIDTH // HEADS, []
    for head in range(HEADS):
        part = slice(head * size, (head + 1) * size)
        key, value = key_value[:, :WIDTH][:, part], key_value[:, WIDTH:][:, part]
        out.append((query[:, part] @ key.T / math.sqrt(size)).softmax(-1) @ value)
    return torch.cat(out, -1)


def image_block(x: Tensor, weights: Weights, name: str) -> Tensor:
    return torch.stack([image_block_of_frame(frame, weights, name) for frame in x])


def image_block_of_frame(x: Tensor, weights: Weights, name: str) -> Tensor:
    normed = norm(x, weights, f"{name}.norm1")
    keys = F.conv2d(
        normed.T.reshape(1, WIDTH, GRID, GRID),
        weights[f"aural_fuser.{name}.attn.sr.weight"],
        weights[f"aural_fuser.{name}.attn.sr.bias"],
        stride=STRIDE,
    )
    reduced = norm(keys[0].flatten(1).T, weights, f"{name}.attn.norm")
    gathered = attention(
        linear(normed, weights, f"{name}.attn.q"), linear(reduced, weights, f"{name}.attn.kv")
    )
    x = x + linear(gathered, weights, f"{name}.attn.proj")
    hidden = linear(norm(x, weights, f"{name}.norm2"), weights, f"{name}.mlp.fc1")
    kernel = weights[f"aural_fuser.{name}.mlp.dwconv.dwconv.weight"]
    maps = F.conv2d(
        hidden.T.reshape(1, -1, GRID, GRID),
        kernel,
        weights[f"aural_fuser.{name}.mlp.dwconv.dwconv.bias"],
        padding=1,
        groups=len(kernel),
    )
    return x + linear(F.gelu(maps[0].flatten(1).T), weights, f"{name}.mlp.fc2")


def audio_block(d: Tensor, weights: Weights, name: str) -> Tensor:
    normed = norm(d, weights, f"{name}.norm1")
    gathered = attention(
        linear(normed, weights, f"{name}.attn.q"), linear(normed, weights, f"{name}.attn.kv")
    )
    d = d + linear(gathered, weights, f"{name}.attn.proj")
    hidden = F.gelu(linear(norm(d, weights, f"{name}.norm2"), weights, f"{name}.mlp.fc1"))
    return d + linear(hidden, weights, f"{name}.mlp.fc2")


def fusion(x: Tensor, d: Tensor, weights: Weights, name: str) -> tuple[Tensor, Tensor]:
    """Fuse with the explicit product of all places with all frames."""
    d = linear(d, weights, f"{name}.align_channel")
    half, places = WIDTH // 2, GRID * GRID

    def rows(layer: str) -> Tensor:
        maps = linear(x, weights, f"{name}.{layer}_frame").permute(0, 2, 1)
        return maps.reshape(FRAMES, half, 1, GRID, GRID).reshape(-1, half)

    q, k, v = (linear(d, weights, f"{name}.{layer}_audio") for layer in "qkv")
    weight = rows("q") @ k.T / (FRAMES * places)
    y = (weight @ v).T.contiguous().view(FRAMES, half, places).permute(0, 2, 1)
    y = batch_norm(linear(y, weights, f"{name}.W_z.0"), weights, f"{name}.W_z.1")
    weight = q @ rows("k").T / (FRAMES * places)
    a = (weight @ rows("v")).T.contiguous().view(FRAMES, half)
    a = batch_norm(linear(a, weights, f"{name}.W_z2.0"), weights, f"{name}.W_z2.1")
    fused = norm(x + y, weights, f"{name}.norm_layer")
    return fused, norm(d + a, weights, f"{name}.norm_layer2")


def place_code() -> Tensor:
    """Compute the sine code of every place, rows first, (P, E)."""
    code = torch.zeros(GRID, GRID, WIDTH, dtype=torch.float64)
    for row in range(GRID):
        for column in range(GRID):
            for half, place in ((0, row), (WIDTH // 2, column)):
                angle = (place + 1) / (GRID + 1e-6) * 2 * math.pi
                for pair in range(WIDTH // 4):
                    turned = angle / 10000 ** (4 * pair / WIDTH)
                    code[row, column, half + 2 * pair] = math.sin(turned)
                    code[row, column, half + 2 * pair + 1] = math.cos(turned)
    return code.flatten(0, 1)


def fuse(weights: Weights, fpn: list[Tensor], d: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Fuse three levels, as section 3.2 of the paper and the released code do."""
    position = place_code()
    constant = torch.tensor([0.0, 1.0] * (WIDTH // 2), dtype=torch.float64)
    out: list[tuple[Tensor, Tensor]] = []
    for i, level in enumerate(fpn):
        weight = weights[f"aural_fuser.patch_embeds.{i}.weight"]
        bias = weights[f"aural_fuser.patch_embeds.{i}.bias"]
        x = F.conv2d(level, weight, bias, stride=weight.shape[-1]).flatten(2).permute(0, 2, 1)
        if i:
            x = linear(x + out[-1][0], weights, f"smooth_convs.{i - 1}")
        x, d = x + position, d + constant
        for k in range(CONFIG.image_blocks[i]):
            x = image_block(x, weights, f"f_blocks.{i}.{k}")
        for k in range(CONFIG.audio_blocks):
            d = audio_block(d, weights, f"a_blocks.{i}.{k}")
        x, d = fusion(x + position, d + constant, weights, f"fusion_modules.{i}")
        out.append((x, d))
    return out


def test_the_fused_features_of_all_levels_are_equal(
    model: AuralSam2Model, published: Weights
) -> None:
    expected = fuse(published, levels(), audio())
    for ours, (image, sound) in zip(model.fuser(levels(), audio()), expected, strict=True):
        # The sine code is computed in float32.
        torch.testing.assert_close(ours.image, image, atol=1e-5, rtol=0)
        torch.testing.assert_close(ours.audio, sound, atol=1e-5, rtol=0)
        assert image.abs().max() > 0.1


def test_the_projected_features_are_equal(model: AuralSam2Model, published: Weights) -> None:
    fused = model.fuser(levels(), audio())
    for ours, level in zip(model.fuser.project(fused), fused, strict=True):
        for values, features, head in (
            (ours.image, level.image, "train_proj_v1.proj"),
            (ours.audio, level.audio, "train_proj_a1.proj"),
        ):
            hidden = batch_norm(linear(features, published, f"{head}.0"), published, f"{head}.1")
            expected = linear(hidden, published, f"{head}.2")
            expected = expected / expected.norm(dim=-1, keepdim=True)
            torch.testing.assert_close(values, expected)


def test_the_gradients_are_equal(model: AuralSam2Model, published: Weights) -> None:
    names = [
        f"aural_fuser.{name}" for name in ("patch_embeds.0.weight", "f_blocks.2.1.mlp.fc1.weight")
    ]
    names += [f"aural_fuser.fusion_modules.0.{name}_audio.weight" for name in "qkv"]
    names += [f"aural_fuser.fusion_modules.1.{name}_frame.weight" for name in "qkv"]
    weights = published | {name: published[name].clone().requires_grad_() for name in names}
    total: Any = sum(
        image.sin().sum() + d.sin().sum() for image, d in fuse(weights, levels(), audio())
    )
    total.backward()
    model.zero_grad()
    total = sum(f.image.sin().sum() + f.audio.sin().sum() for f in model.fuser(levels(), audio()))
    total.backward()
    ours = AURALSAM2.to_published(
        {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    )
    for name in names:
        expected = weights[name].grad
        assert expected is not None
        assert expected.abs().max() > 1e-6
        scale = expected.abs().max().item()
        torch.testing.assert_close(ours[name], expected, atol=1e-4 * scale, rtol=0)


@torch.no_grad()
def test_the_residuals_of_the_decoder_are_added_in_place_as_the_released_code_does(
    model: AuralSam2Model,
) -> None:
    decoder: Any = model.sam.sam2.mask_decoder
    transformer = decoder.transformer
    generator = torch.Generator().manual_seed(3)
    tokens, keys, code = (
        torch.randn(FRAMES, 1, count, WIDTH, generator=generator).double() for count in (6, 16, 16)
    )
    added = [
        (
            torch.randn(FRAMES, 1, 16, WIDTH, generator=generator).double(),
            torch.randn(FRAMES, 1, 1, WIDTH, generator=generator).double(),
        )
        for _ in range(3)
    ]
    expected_keys = keys.clone()
    # One tensor with two names: the addition before the first layer changes the code too.
    queries = point_embedding = tokens.clone()
    for layer, (image, sound) in zip(transformer.layers, added[:2], strict=True):
        expected_keys = expected_keys + image
        queries[:, :, 2:6] += sound
        queries, expected_keys, _ = layer(queries, expected_keys, point_embedding, code, None)
    expected_keys = expected_keys + added[2][0]
    queries[:, :, 2:6] += added[2][1]
    gathered, _ = transformer.final_attn_token_to_image(
        query=queries + point_embedding, key=expected_keys + code, value=expected_keys
    )
    expected = transformer.layer_norm_final_attn(queries + gathered)

    def as_maps(rows: Tensor) -> Tensor:
        return rows[:, 0].transpose(1, 2).reshape(FRAMES, WIDTH, GRID, GRID)

    ours, ours_keys = transformer(
        tokens,
        as_maps(keys),
        as_maps(code),
        None,
        residuals=[LayerResidual(as_maps(image), sound[:, 0, 0]) for image, sound in added],
    )
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(ours_keys, expected_keys)
