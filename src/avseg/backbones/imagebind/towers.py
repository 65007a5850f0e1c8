"""ImageBind's three towers: transformers for images, spectrograms and words.

Each tower has a stem, a position table and a pre-norm transformer. The towers differ in details,
which Girdhar et al. (CVPR 2023, arXiv:2305.05665) adopted from OpenCLIP's ViT-H (image and text)
and from AST (audio).

N items, S image side, L tokens without the class token, W width, D width of the joint space.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from avseg.backbones.imagebind.configuration import (
    ImageBindAudioConfig,
    ImageBindTextConfig,
    ImageBindVisionConfig,
)
from avseg.backbones.stem import ConvStem

#: Epsilon of the norms of ImageBind; OpenCLIP has 1e-5.
_NORM_EPS = 1e-6

#: Frames of the published patch convolution; an image counts as two equal frames.
_FRAMES = 2


@dataclass(frozen=True)
class TowerFeatures:
    """Output of a tower for images or audio, before its head.

    Attributes:
        tokens: Token of each patch, (N, L, W).
        cls: Class token, (N, W).
    """

    tokens: Tensor
    cls: Tensor


class Attention(nn.Module):
    """Self-attention, optionally with one learned key and value besides those of the tokens.

    Args:
        width: Width of the tokens.
        heads: Attention heads.
        bias_kv: Whether there is a learned key and value.
    """

    def __init__(self, width: int, heads: int, bias_kv: bool) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)
        self.bias_k = nn.Parameter(torch.empty(1, 1, width)) if bias_kv else None
        self.bias_v = nn.Parameter(torch.empty(1, 1, width)) if bias_kv else None
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                nn.init.xavier_normal_(bias)

    def forward(self, tokens: Tensor, causal: bool) -> Tensor:
        """Compute self-attention of tokens (N, L, W); `causal` excludes later tokens as keys."""
        query, key, value = self.in_proj(tokens).chunk(3, dim=-1)
        if self.bias_k is not None and self.bias_v is not None:
            # One more key and value for every query, as `add_bias_kv=True` in MultiheadAttention.
            key = torch.cat([key, self.bias_k.expand(len(key), -1, -1)], dim=1)
            value = torch.cat([value, self.bias_v.expand(len(value), -1, -1)], dim=1)
        gathered = F.scaled_dot_product_attention(
            self._split(query), self._split(key), self._split(value), is_causal=causal
        )
        out: Tensor = self.out_proj(gathered.transpose(1, 2).flatten(2))
        return out

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (N, heads, L, W / heads)


class Block(nn.Module):
    """Transformer block: pre-norm attention and feed-forward network, both residual.

    Args:
        width: Width of the tokens.
        heads: Attention heads.
        bias_kv: Whether the attention has a learned key and value.
    """

    def __init__(self, width: int, heads: int, bias_kv: bool) -> None:
        super().__init__()
        self.norm_1 = nn.LayerNorm(width, eps=_NORM_EPS)
        self.attention = Attention(width, heads, bias_kv)
        self.norm_2 = nn.LayerNorm(width, eps=_NORM_EPS)
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, tokens: Tensor, causal: bool) -> Tensor:
        """Transform tokens, (N, L, W)."""
        tokens = tokens + self.attention(self.norm_1(tokens), causal)
        out: Tensor = tokens + self.fc2(F.gelu(self.fc1(self.norm_2(tokens))))
        return out


class Trunk(nn.Module):
    """Stack of transformer blocks.

    Args:
        width: Width of the tokens.
        blocks: Number of blocks.
        heads: Attention heads of a block.
        bias_kv: Whether attention has a learned key and value.
        causal: Whether attention is causal.
    """

    def __init__(
        self, width: int, blocks: int, heads: int, *, bias_kv: bool = False, causal: bool = False
    ) -> None:
        super().__init__()
        self.causal = causal
        self.blocks = nn.ModuleList(Block(width, heads, bias_kv) for _ in range(blocks))
        #: Whether activations of blocks are recomputed in the backward pass instead of stored.
        self.gradient_checkpointing = False
        self.apply(_initialise)

    def forward(self, tokens: Tensor) -> Tensor:
        """Transform tokens, (N, L, W)."""
        for block in self.blocks:
            if self.gradient_checkpointing and tokens.requires_grad:
                tokens = checkpoint(block, tokens, self.causal, use_reentrant=False)
            else:
                tokens = block(tokens, self.causal)
        return tokens


class TwoFramePatchConvolution(nn.Module):
    """Published patch convolution over two frames; an image is used as two equal frames.

    The weight is stored as published. The forward pass sums it over the two frames and applies it
    to one image: the same result at half the cost.

    Args:
        width: Output channels.
        patch_size: Side and stride, in pixels.
    """

    def __init__(self, width: int, patch_size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, 3, _FRAMES, patch_size, patch_size))
        # The default initialisation of a convolution in torch.
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Compute patch vectors (N, W, S / P, S / P) of images (N, 3, S, S)."""
        return F.conv2d(pixel_values, self.weight.sum(2), stride=self.weight.shape[-1])


class VisionTower(nn.Module):
    """Image tower.

    Args:
        config: Sizes.
    """

    def __init__(self, config: ImageBindVisionConfig) -> None:
        super().__init__()
        width, patch = config.width, config.patch_size
        self.side, self.patch_size = config.side, patch
        self.stem: nn.Module = TwoFramePatchConvolution(width, patch)
        if config.stem_channels:
            self.stem = ConvStem(config.stem_channels, width, patch)
        self.cls_token = nn.Parameter(torch.randn(1, 1, width) * width**-0.5)
        self.positions = nn.Parameter(torch.randn(1, 1 + config.side**2, width) * width**-0.5)
        self.pre_norm = nn.LayerNorm(width, eps=_NORM_EPS)
        self.trunk = Trunk(width, config.blocks, config.heads)

    def forward(self, pixel_values: Tensor) -> TowerFeatures:
        """Encode images.

        Args:
            pixel_values: Images, normalised as in training, (N, 3, S, S); any S that patches tile.

        Returns:
            Tokens of the patches, row by row, and the class token.

        Raises:
            ValueError: If an image is not square, or patches do not tile it.
        """
        high, wide = pixel_values.shape[-2:]
        if high != wide or high % self.patch_size:
            raise ValueError(
                f"images must be square with a side that is a multiple of {self.patch_size}, "
                f"got {high} x {wide}; resize them."
            )
        patches = self.stem(pixel_values).flatten(2).transpose(1, 2)
        positions = self._positions(high // self.patch_size).to(patches.dtype)
        tokens = _with_class_token(patches, self.cls_token, positions)
        return _features(self.trunk(self.pre_norm(tokens)))

    def _positions(self, side: int) -> Tensor:
        """Interpolate the position table to a grid of another side, (1, 1 + L, W)."""
        if side == self.side:
            return self.positions
        of_class, of_patches = self.positions.split([1, self.side**2], dim=1)
        grid = of_patches.unflatten(1, (self.side, self.side)).permute(0, 3, 1, 2)
        # The class token has no place in the grid, so its position embedding is not interpolated.
        resized = F.interpolate(grid, (side, side), mode="bicubic")
        return torch.cat([of_class, resized.flatten(2).transpose(1, 2)], dim=1)


class AudioTower(nn.Module):
    """Audio tower.

    Args:
        config: Sizes.
    """

    def __init__(self, config: ImageBindAudioConfig) -> None:
        super().__init__()
        width = config.width
        self.spectrogram_shape = (1, config.mel_bins, config.target_length)
        self.stem: nn.Module = nn.Conv2d(1, width, config.kernel, stride=config.stride, bias=False)
        if config.stem_channels:
            self.stem = ConvStem(config.stem_channels, width, config.kernel, in_channels=1)
        # Unlike the image tower, the audio tower has a norm after the stem and none before the
        # trunk. Only this norm has torch's default epsilon, 1e-5, as published.
        self.stem_norm = nn.LayerNorm(width)
        high, long = config.grid
        self.cls_token = nn.Parameter(torch.randn(1, 1, width) * width**-0.5)
        self.positions = nn.Parameter(torch.randn(1, 1 + high * long, width) * width**-0.5)
        self.trunk = Trunk(width, config.blocks, config.heads, bias_kv=True)

    def forward(self, spectrograms: Tensor) -> TowerFeatures:
        """Encode audio.

        Args:
            spectrograms: Spectrograms from `imagebind.audio.spectrograms`, (N, 1, M, T).

        Returns:
            Tokens of the patches, lowest frequencies first, and the class token.

        Raises:
            ValueError: If the spectrograms do not have the size of the configuration.
        """
        if spectrograms.shape[1:] != self.spectrogram_shape:
            raise ValueError(
                f"spectrograms must be (N, {', '.join(map(str, self.spectrogram_shape))}), got "
                f"{tuple(spectrograms.shape)}; compute them with imagebind.audio.spectrograms."
            )
        patches = self.stem_norm(self.stem(spectrograms).flatten(2).transpose(1, 2))
        tokens = _with_class_token(patches, self.cls_token, self.positions)
        return _features(self.trunk(tokens))


class TextTower(nn.Module):
    """Text tower, with causal attention.

    Args:
        config: Sizes.
    """

    def __init__(self, config: ImageBindTextConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocab, config.width)
        # The scales of the initialisation are those of CLIP, here and in the other towers.
        self.positions = nn.Parameter(torch.randn(1, config.context, config.width) * 0.01)
        self.trunk = Trunk(config.width, config.blocks, config.heads, causal=True)
        nn.init.normal_(self.token_embedding.weight, std=0.02)

    def forward(self, word_embeddings: Tensor) -> Tensor:
        """Encode words. Texts need no padding, since it has no effect with causal attention.

        Args:
            word_embeddings: Rows of the token table or other embeddings, without position
                embeddings, (N, n, W).

        Returns:
            States of the words, (N, n, W).

        Raises:
            ValueError: If there are more words than positions.
        """
        count, longest = word_embeddings.shape[1], self.positions.shape[1]
        if count > longest:
            raise ValueError(
                f"there are {count} words, the model takes at most {longest}; shorten them."
            )
        states: Tensor = self.trunk(word_embeddings + self.positions[:, :count])
        return states


def _with_class_token(patches: Tensor, cls_token: Tensor, positions: Tensor) -> Tensor:
    return torch.cat([cls_token.expand(len(patches), -1, -1), patches], dim=1) + positions


def _features(tokens: Tensor) -> TowerFeatures:
    return TowerFeatures(tokens=tokens[:, 1:], cls=tokens[:, 0])


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
