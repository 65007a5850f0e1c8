"""SAM 2's memory over the frames of a video (Ravi et al. 2024, arXiv:2408.00714, section 4).

The modules are those of `transformers`. The memory bank is ours, because here every frame has a
prompt and a batch has many videos. The size of the bank does not depend on the length of the video.
It has one memory map and one object pointer per prompt for the first frame and for each of the last
frames.

M prompts (each a tracked object), E prompt width, C = 64 width of the memory, h side of
the image embedding's grid, S image side.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Sam2VideoConfig
from transformers.models.sam2_video.modeling_sam2_video import (
    Sam2VideoFeedForward,
    Sam2VideoMemoryAttention,
    Sam2VideoMemoryEncoder,
    Sam2VideoPositionEmbeddingSine,
    Sam2VideoPreTrainedModel,
)

from avseg.backbones.config import StrictConfig
from avseg.backbones.sam import MaskPrediction
from avseg.backbones.sam2 import PromptedSam2Config

#: Width C of the memory, a constant in `transformers`.
MEMORY_DIM = 64

#: Scale and bias of mask probabilities before the memory encoder, as in the configuration of SAM 2.
#: They map [0, 1] to [-10, 10].
_MASK_SCALE, _MASK_BIAS = 20.0, -10.0


@strict
class Sam2MemoryConfig(StrictConfig):
    """Sizes of SAM 2's memory; the defaults are SAM 2.0's, for any image encoder.

    Args:
        frames: Number of memory maps: of the first frame, and of the last `frames - 1`.
        pointers: Number of object pointers: of the first frame, and of the last `pointers - 1`.
        layers: Layers of the memory attention.
        ffn_dim: Hidden width of these layers.
        dropout: Dropout rate in these layers.
        presence_cut: Threshold on the object score, before the sigmoid. Above it the pointer of the
            object is stored, otherwise the pointer of "no object". It is 0 in SAM 2.
        binary_masks: Whether masks are binarised before they are stored, as SAM 2 does with the
            masks of prompted frames. Then the memory has no gradient for them.
    """

    model_type = "avseg-sam2-memory"

    frames: int = 7
    pointers: int = 16
    layers: int = 4
    ffn_dim: int = 2048
    dropout: float = 0.1
    presence_cut: float = 0.0
    binary_masks: bool = False

    def validate_bank(self) -> None:
        """Validate that the memory holds at least the first frame and the previous one."""
        for option in ("frames", "pointers"):
            value = getattr(self, option)
            if value < 2:
                raise ValueError(
                    f"{option} must be at least 2 (the first frame and the last), got {value}."
                )

    def to_transformers(self, sam: PromptedSam2Config) -> Sam2VideoConfig:
        """Convert this configuration to the matching `transformers` configuration.

        Args:
            sam: Sizes of the encoder and decoder around the memory.

        Returns:
            The configuration.
        """
        side = sam.image_size // sam.embedding_stride
        return Sam2VideoConfig(
            memory_attention_hidden_size=sam.prompt_dim,
            memory_attention_num_layers=self.layers,
            memory_attention_feed_forward_hidden_size=self.ffn_dim,
            memory_attention_dropout=self.dropout,
            memory_attention_rope_dropout=self.dropout,
            # transformers takes the grid of the rotary positions from the configuration.
            memory_attention_rope_feat_sizes=[side, side],
            memory_encoder_hidden_size=sam.prompt_dim,
            memory_encoder_output_channels=MEMORY_DIM,
            mask_downsampler_embed_dim=sam.prompt_dim,
            mask_downsampler_total_stride=sam.embedding_stride,
            memory_fuser_embed_dim=sam.prompt_dim,
            memory_fuser_intermediate_dim=4 * sam.prompt_dim,
        )


@dataclass(frozen=True)
class MemoryBank:
    """Memory maps and object pointers of earlier frames.

    Args:
        first_map: Memory map of the first frame, (M, C, h, h).
        first_pointer: Object pointer of the first frame, (M, E).
        maps: Memory maps of the last frames after it, the latest last, (M, C, h, h) each.
        pointers: Object pointers of the last frames after it, the latest last, (M, E) each.
    """

    first_map: Tensor
    first_pointer: Tensor
    maps: tuple[Tensor, ...] = ()
    pointers: tuple[Tensor, ...] = ()


class FrameMemory(Sam2VideoPreTrainedModel):
    """Memory encoder and memory attention: conditions a frame on the masks of earlier frames.

    Args:
        config: Sizes of the memory.
        sam: Sizes of the encoder and decoder around it.

    Attributes:
        time_embeddings: Time embedding of memory maps. Row `lag - 1` belongs to the frame `lag`
            frames before; the last row belongs to the first frame.
    """

    def __init__(self, config: Sam2MemoryConfig, sam: PromptedSam2Config) -> None:
        super().__init__(config.to_transformers(sam))
        dim = sam.prompt_dim
        if dim % MEMORY_DIM:
            raise ValueError(
                f"SAM 2's memory needs a prompt_dim that is a multiple of {MEMORY_DIM}, got {dim}."
            )
        self.sizes = config
        self.image_size = sam.image_size
        self.attention = Sam2VideoMemoryAttention(self.config)
        self.encoder = Sam2VideoMemoryEncoder(self.config)
        # Half of the width is for the rows and half for the columns.
        self.positions = Sam2VideoPositionEmbeddingSine(dim // 2, normalize=True)
        self.time_embeddings = nn.Parameter(torch.empty(config.frames, 1, 1, MEMORY_DIM))
        self.no_object_pointer = nn.Parameter(torch.empty(1, dim))
        self.pointer_projection = Sam2VideoFeedForward(dim, dim, dim, 3)
        # The initialisation of SAM 2.
        for parameter in (self.time_embeddings, self.no_object_pointer):
            nn.init.trunc_normal_(parameter, std=0.02)

    def condition(self, embeddings: Tensor, bank: MemoryBank) -> Tensor:
        """Condition a frame's image embedding on the memory bank.

        Args:
            embeddings: Image embedding of the frame for each prompt, (M, E, h, h).
            bank: Memory of the frames before.

        Returns:
            The conditioned image embedding, (M, E, h, h).
        """
        # The first frame has the last time embedding. The latest map is one frame before, so it has
        # row 0.
        rows = [len(self.time_embeddings) - 1, *range(len(bank.maps) - 1, -1, -1)]
        return self.attend(
            embeddings,
            [bank.first_map, *bank.maps],
            rows,
            [bank.first_pointer, *bank.pointers],
        )

    def attend(
        self,
        embeddings: Tensor,
        maps: Sequence[Tensor],
        rows: Sequence[int],
        pointers: Sequence[Tensor],
    ) -> Tensor:
        """Condition a frame's image embedding on chosen memory maps and object pointers.

        Args:
            embeddings: Image embedding of the frame for each prompt, (M, E, h, h).
            maps: Memory maps, at least one, (M, C, h, h) each.
            rows: Row of `time_embeddings` for each map.
            pointers: Object pointers, (M, E) each; there may be none.

        Returns:
            The conditioned image embedding, (M, E, h, h).
        """
        grid = embeddings.shape[-2:]
        positions = _as_tokens(self._positions(self.encoder.position_encoding, maps[0]))
        tokens = [*map(_as_tokens, maps)]
        token_positions = [positions + self.time_embeddings[row] for row in rows]
        # An object pointer has E values and becomes E / C memory tokens. They have no time
        # position, as in SAM 2.0.
        parts = [part for pointer in pointers for part in pointer.split(MEMORY_DIM, dim=-1)]
        if parts:
            tokens.append(torch.stack(parts))  # (tokens, M, C)
            token_positions.append(torch.zeros_like(tokens[-1]))
        conditioned: Tensor = self.attention(
            current_vision_features=_as_tokens(embeddings),
            current_vision_position_embeddings=_as_tokens(
                self._positions(self.positions, embeddings)
            ),
            memory=torch.cat(tokens),
            # transformers misspells the name of this argument.
            memory_posision_embeddings=torch.cat(token_positions),
            num_object_pointer_tokens=len(parts),
        )  # (1, M, h * h, E); transformers adds the first axis
        return conditioned[0].transpose(1, 2).unflatten(-1, grid)

    def append_frame(
        self, bank: MemoryBank | None, embeddings: Tensor, prediction: MaskPrediction
    ) -> MemoryBank:
        """Append a frame to the memory bank, and drop the oldest beyond its capacity.

        Args:
            bank: Memory of the frames before; None for the first frame.
            embeddings: Image embedding of the frame for each prompt, before it was conditioned on
                the memory, (M, E, h, h).
            prediction: SAM 2's prediction for each prompt; its best mask is stored, and the token
                of that mask.

        Returns:
            The bank with the frame.
        """
        new_map, pointer = self.encode_frame(embeddings, prediction)
        if bank is None:
            return MemoryBank(new_map, pointer)
        # The first frame stays in the bank for the whole video, as the prompted frame in SAM 2
        # does.
        maps = (*bank.maps, new_map)[-(self.sizes.frames - 1) :]
        pointers = (*bank.pointers, pointer)[-(self.sizes.pointers - 1) :]
        return MemoryBank(bank.first_map, bank.first_pointer, maps, pointers)

    def encode_frame(self, embeddings: Tensor, prediction: MaskPrediction) -> tuple[Tensor, Tensor]:
        """Compute the memory map and the object pointer of a frame.

        Args:
            embeddings: As for `append_frame`.
            prediction: As for `append_frame`.

        Returns:
            Memory map (M, C, h, h) and object pointer (M, E).
        """
        mask_logits, _ = prediction.best()  # (M, m, m)
        mask_tokens, scores = prediction.best_tokens(), prediction.object_score_logits
        side = (self.image_size, self.image_size)
        # The memory encoder of SAM 2 takes masks at the resolution of the input images.
        logits = F.interpolate(mask_logits.unsqueeze(1), side, mode="bilinear")
        masks = (logits > 0).to(logits) if self.sizes.binary_masks else logits.sigmoid()
        new_map, _ = self.encoder(embeddings, masks * _MASK_SCALE + _MASK_BIAS)
        # A pointer of "no object" replaces the pointer of an object that is not visible.
        is_present = torch.ones_like(mask_tokens[:, :1])
        if scores is not None:
            is_present = (scores > self.sizes.presence_cut).to(mask_tokens)  # (M, 1)
        pointer = self.pointer_projection(mask_tokens)
        return new_map, is_present * pointer + (1 - is_present) * self.no_object_pointer

    @staticmethod
    def _positions(encoding: Sam2VideoPositionEmbeddingSine, like: Tensor) -> Tensor:
        positions: Tensor = encoding(like.shape, like.device, like.dtype)
        return positions


def _as_tokens(maps: Tensor) -> Tensor:
    """Reshape maps (M, C, h, h) to the layout of `transformers`, (h * h, M, C)."""
    return maps.flatten(2).permute(2, 0, 1)
