"""AuralFuser: exchanges features of image and audio at three levels (arXiv:2506.01015, 3.2).

The published weights need some properties of the released code that the paper does not state. The
comments name them.

T frames of a window, E prompt width, G side of the common grid, P = G * G places, V width of the
contrastive space, R rows of the audio: the frames, followed by the L tokens of a text if there is
one, W width of the text encoder.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoPositionEmbeddingSine

from avseg.models.auralsam2.configuration import NUM_LEVELS, AuralSam2Config


@dataclass(frozen=True)
class FusedLevel:
    """Fused features of one level.

    Attributes:
        image: Features of every place, (T, P, E).
        audio: Features of the audio, (R, E).
        exchange: Features of every place that the fusion added to the image, (T, P, E).
    """

    image: Tensor
    audio: Tensor
    exchange: Tensor


@dataclass(frozen=True)
class ProjectedLevel:
    """Features of one level in the space of the contrastive loss.

    Attributes:
        image: Vectors of every place, (T, P, V).
        audio: Vectors of the audio, (T, V).
    """

    image: Tensor
    audio: Tensor


class AuralFuser(nn.Module):
    """Fuses the feature pyramid of a window's frames with the audio of all of them.

    Args:
        config: Sizes.
    """

    def __init__(self, config: AuralSam2Config) -> None:
        super().__init__()
        width = config.sam_config.prompt_dim
        self.grid = config.sam_config.image_size // config.sam_config.embedding_stride
        # Each level is reduced to the grid of the coarsest one.
        self.patches = nn.ModuleList(
            nn.Conv2d(width, width, kernel_size=side, stride=side) for side in (4, 2, 1)
        )
        self.smooth = nn.ModuleList(nn.Linear(width, width) for _ in range(NUM_LEVELS - 1))
        self.image_blocks = nn.ModuleList(
            nn.Sequential(*(ImageBlock(config, self.grid) for _ in range(count)))
            for count in config.image_blocks
        )
        self.audio_blocks = nn.ModuleList(
            nn.Sequential(*(AudioBlock(config) for _ in range(config.audio_blocks)))
            for _ in range(NUM_LEVELS)
        )
        self.fusions = nn.ModuleList(TwoWayFusion(width) for _ in range(NUM_LEVELS))
        self.image_head: nn.Module = ContrastHead(width, config.contrast_dim)
        self.audio_head: nn.Module = ContrastHead(width, config.contrast_dim)
        self.positions = Sam2VideoPositionEmbeddingSine(width // 2, normalize=True)

    def forward(self, levels: Sequence[Tensor], audio: Tensor) -> list[FusedLevel]:
        """Fuse the levels from fine to coarse; each level also gets the result of the one before.

        The audio of every frame changes the features of all frames of the window, as in the
        released code.

        Args:
            levels: Features of SAM 2 from fine to coarse, (T, E, 4G, 4G), (T, E, 2G, 2G) and
                (T, E, G, G).
            audio: VGGish embeddings of left and right channel of each frame, (T, E), or these
                followed by the tokens of a text, (R, E).

        Returns:
            Fused features of each level, from fine to coarse.
        """
        position = self._image_positions(audio)  # (P, E)
        # In the released code the position code of the audio is a sine code of length 1, so it is
        # the constant 0, 1, 0, 1, ...
        audio_position = (torch.arange(audio.shape[-1], device=audio.device) % 2).to(audio)
        fused: list[FusedLevel] = []
        for i, level in enumerate(levels):
            image = self.patches[i](level).flatten(2).transpose(1, 2)  # (T, P, E)
            if fused:
                image = self.smooth[i - 1](image + fused[-1].image)
                audio = fused[-1].audio
            image, audio = image + position, audio + audio_position
            image, audio = self.image_blocks[i](image), self.audio_blocks[i](audio)
            # The position codes are added twice, before the blocks and before the fusion.
            fused.append(self.fusions[i](image + position, audio + audio_position))
        return fused

    def project(self, fused: Sequence[FusedLevel]) -> list[ProjectedLevel]:
        """Project fused features to the space of the contrastive loss.

        Args:
            fused: Output of `forward`.

        Returns:
            Unit vectors of each level: of every place, (T, P, V), and of the audio, (T, V).
        """
        return [
            ProjectedLevel(self.image_head(level.image), self.audio_head(level.audio))
            for level in fused
        ]

    def _image_positions(self, like: Tensor) -> Tensor:
        """Compute SAM 2's sine code of every place, (P, E), in float32 as in the released code."""
        shape = torch.Size((1, like.shape[-1], self.grid, self.grid))
        code: Tensor = self.positions(shape, like.device, torch.float32)
        return code[0].flatten(1).T.to(like)


class TextFuser(AuralFuser):
    """Fuses the feature pyramid with the audio of a window's frames and with a text (Ref-AVS).

    Args:
        config: Sizes.
        text_dim: Width W of the text encoder.
        text_hidden_dim: Hidden width of the projection of the text.
    """

    def __init__(self, config: AuralSam2Config, text_dim: int, text_hidden_dim: int) -> None:
        super().__init__(config)
        width = config.sam_config.prompt_dim
        self.image_head = TextContrastHead(width, config.contrast_dim)
        self.audio_head = TextContrastHead(width, config.contrast_dim)
        self.text_projection = nn.Sequential(
            nn.Linear(text_dim, text_hidden_dim), nn.GELU(), nn.Linear(text_hidden_dim, width)
        )

    def fuse_text(self, levels: Sequence[Tensor], audio: Tensor, text: Tensor) -> list[FusedLevel]:
        """Fuse the levels with the audio and the text.

        In the released code the tokens of the text, with padding, are more rows of the audio.

        Args:
            levels: As for `forward`.
            audio: VGGish embeddings of each frame, (T, E).
            text: States of the text's tokens, (L, W).

        Returns:
            Fused features of each level, from fine to coarse; `audio` has the rows of the frames
            only, (T, E).
        """
        rows = torch.cat([audio, self.text_projection(text)])
        return [
            replace(level, audio=level.audio[: len(audio)]) for level in self.forward(levels, rows)
        ]

    def project(self, fused: Sequence[FusedLevel]) -> list[ProjectedLevel]:
        """Project what the fusion added to the image, and the audio.

        Args:
            fused: Output of `fuse_text`.

        Returns:
            Vectors of each level. Those of the audio have length 1. Those of the image are
            normalised over the places of a frame, as in the released code.
        """
        return [
            ProjectedLevel(
                F.normalize(self.image_head(level.exchange), dim=1),
                F.normalize(self.audio_head(level.audio), dim=-1),
            )
            for level in fused
        ]


class ImageBlock(nn.Module):
    """Transformer block of the image: attention with fewer keys, and a depthwise convolution.

    Args:
        config: Sizes.
        grid: Side G of the grid.
    """

    def __init__(self, config: AuralSam2Config, grid: int) -> None:
        super().__init__()
        width, stride = config.sam_config.prompt_dim, config.key_stride
        hidden = config.mlp_ratio * width
        self.grid, self.heads, self.rate = grid, config.num_heads, config.dropout
        self.norm1 = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.reduce = nn.Conv2d(width, width, kernel_size=stride, stride=stride)
        self.reduce_norm = nn.LayerNorm(width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, hidden)
        self.depthwise = nn.Conv2d(hidden, hidden, kernel_size=3, padding=1, groups=hidden)
        self.fc2 = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(config.dropout)
        self.apply(_initialise)

    def forward(self, image: Tensor) -> Tensor:
        """Compute the next features of every place, (T, P, E)."""
        queries = self.norm1(image)
        # 4 x 4 neighbouring places become one key.
        keys = self.reduce_norm(self.reduce(self._as_maps(queries)).flatten(2).transpose(1, 2))
        rate = self.rate if self.training else 0.0
        gathered = _attend(self.query(queries), self.key_value(keys), self.heads, rate)
        image = image + self.dropout(self.out(gathered))
        hidden = self.depthwise(self._as_maps(self.fc1(self.norm2(image))))
        hidden = self.dropout(F.gelu(hidden.flatten(2).transpose(1, 2)))
        return image + self.dropout(self.fc2(hidden))

    def _as_maps(self, rows: Tensor) -> Tensor:
        """Reshape (T, P, C) to (T, C, G, G)."""
        return rows.transpose(1, 2).unflatten(-1, (self.grid, self.grid))


class AudioBlock(nn.Module):
    """Transformer block of the audio: attention over its rows, the frames of the window.

    Args:
        config: Sizes.
    """

    def __init__(self, config: AuralSam2Config) -> None:
        super().__init__()
        width = config.sam_config.prompt_dim
        hidden = config.mlp_ratio * width
        self.heads, self.rate = config.num_heads, config.dropout
        self.norm1 = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(config.dropout)
        self.apply(_initialise)

    def forward(self, audio: Tensor) -> Tensor:
        """Compute the next features of the audio, (R, E)."""
        normed = self.norm1(audio).unsqueeze(0)
        rate = self.rate if self.training else 0.0
        gathered = _attend(self.query(normed), self.key_value(normed), self.heads, rate)
        audio = audio + self.dropout(self.out(gathered[0]))
        hidden = self.dropout(F.gelu(self.fc1(self.norm2(audio))))
        return audio + self.dropout(self.fc2(hidden))


class TwoWayFusion(nn.Module):
    """Adds audio to every place, and places to the audio of every frame, without a softmax.

    The released code reshapes feature maps of (channels, places) to rows of channels without
    exchanging the two axes. So a row contains one channel at several places, and the audio of a
    frame is added to other frames too. The published weights were trained so.

    Args:
        width: E.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.align = nn.Linear(width, width)
        self.image_query, self.image_key, self.image_value = (
            nn.Linear(width, half) for _ in range(3)
        )
        self.audio_query, self.audio_key, self.audio_value = (
            nn.Linear(width, half) for _ in range(3)
        )
        self.image_out, self.audio_out = nn.Linear(half, width), nn.Linear(half, width)
        self.image_batch_norm, self.audio_batch_norm = nn.BatchNorm1d(width), nn.BatchNorm1d(width)
        self.image_norm, self.audio_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        for batch_norm in (self.image_batch_norm, self.audio_batch_norm):
            # With a gain of 0 the training starts without any exchange.
            nn.init.zeros_(batch_norm.weight)

    def forward(self, image: Tensor, audio: Tensor) -> FusedLevel:
        """Fuse features of every place, (T, P, E), and of the audio, (R, E)."""
        frames, places, _ = image.shape
        aligned = self.align(audio)
        # Rows of mixed channels and places, (T * P, E / 2).
        query, key, value = (
            layer(image).transpose(1, 2).reshape(frames * places, -1)
            for layer in (self.image_query, self.image_key, self.image_value)
        )
        scale = 1 / (frames * places)
        # (query key^T) value is computed as query (key^T value): the same, with fewer operations.
        to_image = query @ (self.audio_key(aligned).T @ self.audio_value(aligned) * scale)
        to_audio = self.audio_query(aligned) @ (key.T @ value * scale)
        # Back to (T, E / 2, P), again without exchanging the axes of frames and channels.
        to_image = to_image.T.reshape(frames, -1, places).transpose(1, 2)
        to_audio = to_audio.T.reshape(len(audio), -1)
        exchange = _over_rows(self.image_batch_norm, self.image_out(to_image))
        audio = aligned + self.audio_batch_norm(self.audio_out(to_audio))
        return FusedLevel(self.image_norm(image + exchange), self.audio_norm(audio), exchange)


class ContrastHead(nn.Module):
    """Projects features to unit vectors for the contrastive loss.

    Args:
        width: E.
        dim: V.
    """

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, dim)
        self.batch_norm = nn.BatchNorm1d(dim)
        self.fc2 = nn.Linear(dim, dim)

    def forward(self, features: Tensor) -> Tensor:
        """Project features (..., E) to unit vectors (..., V)."""
        return F.normalize(self.fc2(_over_rows(self.batch_norm, self.fc1(features))), dim=-1)


class TextContrastHead(nn.Module):
    """Projects features to the space of the contrastive loss of Ref-AVS.

    Args:
        width: E.
        dim: V.
    """

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, dim)
        self.norm = nn.LayerNorm(dim)
        self.fc2 = nn.Linear(dim, dim)

    def forward(self, features: Tensor) -> Tensor:
        """Project features (..., E) to vectors (..., V)."""
        projected: Tensor = self.fc2(self.norm(F.gelu(self.fc1(features))))
        return projected


def _over_rows(batch_norm: nn.BatchNorm1d, features: Tensor) -> Tensor:
    """Apply a batch norm to the last axis of features, with statistics over all other axes."""
    normed: Tensor = batch_norm(features.flatten(0, -2))
    return normed.unflatten(0, features.shape[:-1])


def _attend(query: Tensor, key_value: Tensor, heads: int, dropout: float) -> Tensor:
    """Compute attention of queries (B, Q, E) over keys and values (B, K, 2E); returns (B, Q, E)."""
    key, value = key_value.chunk(2, dim=-1)
    query, key, value = (
        rows.unflatten(-1, (heads, -1)).transpose(1, 2) for rows in (query, key, value)
    )
    gathered = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
    return gathered.transpose(1, 2).flatten(2)


def _initialise(module: nn.Module) -> None:
    """Initialise a layer of a block as the pyramid vision transformer does (arXiv:2106.13797)."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d):
        fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
