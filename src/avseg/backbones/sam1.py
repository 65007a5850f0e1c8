"""SAM's image encoder and mask decoder (Kirillov et al. 2023, arXiv:2304.02643).

As for SAM 2, the modules are those of `transformers`. The loop over the encoder's blocks is ours,
because an adapter's vector has to be added to the input of each block (AV2T-SAM, arXiv:2502.16359,
eq. 1). The attention over the whole image is ours, because the attention in `transformers` takes
gigabytes.

N images, M prompts, S image side, C width of the encoder, E prompt width, P prompt tokens,
h = S / 16 with the published patches.
"""

from dataclasses import field
from functools import partial
from typing import Any

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    SamConfig,
    SamMaskDecoderConfig,
    SamModel,
    SamPromptEncoderConfig,
    SamVisionConfig,
)
from transformers.models.sam.modeling_sam import SamVisionAttention

from avseg.backbones.config import StrictConfig
from avseg.backbones.sam import (
    ImageFeatures,
    MaskPrediction,
    check_encoder_inputs,
    is_recomputed,
    run_block,
)


@strict
class PromptedSam1Config(StrictConfig):
    """Sizes of a SAM image encoder and mask decoder; the defaults are SAM ViT-H.

    The position tables have a row for each patch of `image_size`. So weights fit one image size
    only; for the published weights it is 1024.

    Args:
        image_size: Side of the square input, in pixels.
        patch_size: Side of a patch, in pixels.
        dim: Width C of the image encoder.
        num_layers: Blocks of the image encoder.
        num_heads: Attention heads of a block.
        ffn_dim: Hidden width of a block's feed-forward network.
        window_size: Side of the attention windows, in patches.
        global_blocks: Blocks that attend over the whole image.
        prompt_dim: Width E of the neck, the prompts and the mask decoder.
        decoder_layers: Two-way layers of the mask decoder.
        decoder_heads: Attention heads of the mask decoder.
        decoder_mlp_dim: Hidden width of the mask decoder's layers.
        iou_head_dim: Hidden width of the head that predicts each mask's IoU.
    """

    model_type = "avseg-prompted-sam1"

    image_size: int = 1024
    patch_size: int = 16
    dim: int = 1280
    num_layers: int = 32
    num_heads: int = 16
    ffn_dim: int = 5120
    window_size: int = 14
    global_blocks: list[int] = field(default_factory=lambda: [7, 15, 23, 31])
    prompt_dim: int = 256
    decoder_layers: int = 2
    decoder_heads: int = 8
    decoder_mlp_dim: int = 2048
    iou_head_dim: int = 256

    def validate_image_size(self) -> None:
        """Validate that patches tile the image."""
        if self.image_size % self.patch_size:
            raise ValueError(
                f"image_size must be a multiple of patch_size {self.patch_size}, "
                f"got {self.image_size}."
            )

    def validate_heads(self) -> None:
        """Validate that the heads divide the width."""
        if self.dim % self.num_heads:
            raise ValueError(
                f"dim must be a multiple of num_heads {self.num_heads}, got {self.dim}."
            )

    def validate_global_blocks(self) -> None:
        """Validate that the global blocks exist."""
        wrong = sorted(i for i in self.global_blocks if not 0 <= i < self.num_layers)
        if wrong:
            raise ValueError(
                f"global_blocks must name blocks from 0 to {self.num_layers - 1}, got {wrong}."
            )

    @property
    def embedding_stride(self) -> int:
        """Stride of the image embedding's grid, in pixels."""
        return self.patch_size

    def to_transformers(self) -> SamConfig:
        """Convert this configuration to the matching `transformers` configuration."""
        vision = SamVisionConfig(
            hidden_size=self.dim,
            output_channels=self.prompt_dim,
            num_hidden_layers=self.num_layers,
            num_attention_heads=self.num_heads,
            image_size=self.image_size,
            patch_size=self.patch_size,
            window_size=self.window_size,
            global_attn_indexes=self.global_blocks,
            # Half of the width: each frequency gives a sine and a cosine.
            num_pos_feats=self.prompt_dim // 2,
            mlp_dim=self.ffn_dim,
        )
        prompt_encoder = SamPromptEncoderConfig(
            hidden_size=self.prompt_dim, image_size=self.image_size, patch_size=self.patch_size
        )
        mask_decoder = SamMaskDecoderConfig(
            hidden_size=self.prompt_dim,
            mlp_dim=self.decoder_mlp_dim,
            num_hidden_layers=self.decoder_layers,
            num_attention_heads=self.decoder_heads,
            iou_head_hidden_dim=self.iou_head_dim,
            # The published weights were trained with 1e-5. With the default of transformers, 1e-6,
            # the mask logits change by a tenth of their range.
            layer_norm_eps=1e-5,
        )
        return SamConfig(
            vision_config=vision,
            prompt_encoder_config=prompt_encoder,
            mask_decoder_config=mask_decoder,
        )


class PromptedSam1(nn.Module):
    """SAM with a prompt vector for each encoder block, and embeddings as mask prompts.

    Args:
        config: Sizes.
    """

    def __init__(self, config: PromptedSam1Config) -> None:
        super().__init__()
        self.config = config
        self.sam1 = SamModel(config.to_transformers())
        for embedding in (
            self.sam1.shared_image_embedding,
            self.sam1.prompt_encoder.shared_embedding,
        ):
            # Random frequencies of the position encoding, which are never trained. In transformers
            # both modules share one parameter; here each module has a buffer, as in SAM 2.
            frequencies = embedding.positional_embedding.detach().clone()
            del embedding.positional_embedding
            embedding.register_buffer("positional_embedding", frequencies)
        #: Whether activations of blocks are recomputed in the backward pass instead of stored.
        self.gradient_checkpointing = False
        #: Number of recomputed blocks, from the first on; None for all. Every block has the same
        #: width and saves the same memory.
        self.recomputed_blocks: int | None = None

    @property
    def image_encoder(self) -> nn.Module:
        """The image encoder: vision transformer and neck."""
        encoder: nn.Module = self.sam1.vision_encoder
        return encoder

    @property
    def block_dims(self) -> list[int]:
        """Input width of every encoder block, C for each."""
        return [self.config.dim] * self.config.num_layers

    def encode_images(
        self, pixel_values: Tensor, block_prompts: list[Tensor] | None = None
    ) -> ImageFeatures:
        """Encode images; a prompt vector is added to each block's input at every position.

        Args:
            pixel_values: Normalised images, (N, 3, S, S).
            block_prompts: One (N, C) tensor for every block; None adds nothing.

        Returns:
            Features of the images, with one level.

        Raises:
            ValueError: If the images are of another size, or there is not one prompt for each
                block.
        """
        check_encoder_inputs(self.config.image_size, self.block_dims, pixel_values, block_prompts)
        encoder = self.sam1.vision_encoder
        hidden = encoder.patch_embed(pixel_values) + encoder.pos_embed  # (N, h, h, C)
        for i, block in enumerate(encoder.layers):
            prompt = block_prompts[i] if block_prompts else None
            # Blocks with windows need little memory, so only the global blocks are replaced.
            forward = partial(_global_block, block) if i in self.config.global_blocks else block
            hidden = run_block(forward, hidden, prompt, is_recomputed(self, i))
        # The neck overflows in float16, so it runs in the dtype of its weights.
        with torch.autocast(hidden.device.type, enabled=False):
            return ImageFeatures((encoder.neck(hidden.to(encoder.neck.conv1.weight.dtype)),))

    def decode_masks(
        self, features: ImageFeatures, sparse_prompt_embeddings: Tensor, multimask: bool = True
    ) -> MaskPrediction:
        """Decode the masks of each prompt.

        SAM first resizes its masks to the side of its input images. AV2T-SAM and EVF-SAM are
        trained and evaluated on the resized masks. One resize to the size of the video would give
        other masks.

        Args:
            features: Features of the images, with the index of each prompt's image.
            sparse_prompt_embeddings: Prompt tokens, (M, P, E).
            multimask: Whether three masks are predicted for an ambiguous prompt, or one.

        Returns:
            The masks and their predicted IoU. The masks have the side 4h; `best` resizes them to S.
        """
        embeddings = features.per_prompt(features.embeddings)
        # Without a mask prompt SAM adds this embedding at every position.
        dense = self.sam1.prompt_encoder.no_mask_embed.weight.view(1, -1, 1, 1)
        positions = self.sam1.get_image_wide_positional_embeddings()  # (1, E, h, h)
        # The decoder of transformers allows several prompts for an image, on axis 1. Here the image
        # is repeated for each prompt instead, so axis 1 has the length 1.
        masks, iou = self.sam1.mask_decoder(
            image_embeddings=embeddings,
            image_positional_embeddings=positions.expand(len(embeddings), -1, -1, -1),
            sparse_prompt_embeddings=sparse_prompt_embeddings.unsqueeze(1),
            dense_prompt_embeddings=dense.expand_as(embeddings),
            multimask_output=multimask,
        )
        return MaskPrediction(masks[:, 0], iou[:, 0], resized_to=self.config.image_size)


def _global_block(block: nn.Module, hidden: Tensor) -> Tensor:
    """Run a block with attention over the whole image, (N, h, h, C), in less memory."""
    layers: Any = block
    hidden = hidden + _attend_globally(layers.attn, layers.layer_norm1(hidden))
    out: Tensor = hidden + layers.mlp(layers.layer_norm2(hidden))
    return out


def _attend_globally(attention: SamVisionAttention, hidden: Tensor) -> Tensor:
    """Compute attention with relative positions, without a bias for every pair of positions.

    The bias of a query q and a key k is the sum of two dot products: q with the embedding of the
    row offset of k, and q with the embedding of the column offset of k. This function includes both
    in the dot product of q and k. It extends q by its dot products with all row and all column
    offsets, and k by a one-hot vector of its row and a one-hot vector of its column. In
    `transformers` and in the published code, the bias tensor takes 1.07 GB for each image with 64 x
    64 positions and 16 heads.

    Args:
        attention: Layers of the attention, with G heads of width d.
        hidden: Normalised input, (N, h, h, C).

    Returns:
        Output of the attention, (N, h, h, C).
    """
    images, side, _, width = hidden.shape
    qkv = attention.qkv(hidden).view(images, side, side, 3, attention.num_attention_heads, -1)
    query, key, value = qkv.permute(3, 0, 4, 1, 2, 5)  # (N, G, h, h, d)
    # Entry (y, k) of each table is the embedding of the offset between the positions y and k.
    rows = attention.get_rel_pos(side, side, attention.rel_pos_h)  # (h, h, d)
    columns = attention.get_rel_pos(side, side, attention.rel_pos_w)
    by_row = torch.einsum("ngyxd,ykd->ngyxk", query, rows)  # (N, G, h, h, h)
    by_column = torch.einsum("ngyxd,xkd->ngyxk", query, columns)
    one_hot = torch.eye(side, dtype=key.dtype, device=key.device)
    own_row = one_hot[:, None].expand(*key.shape[:2], side, side, side)
    own_column = one_hot[None].expand_as(own_row)
    # Only the dot product with the key is scaled, not the position terms. So the query is scaled
    # here, and the attention below has scale=1.
    long_query = torch.cat([query * attention.scale, by_row, by_column], dim=-1).flatten(2, 3)
    long_key = torch.cat([key, own_row, own_column], dim=-1).flatten(2, 3)
    # The fused kernels need values as wide as keys; the added zeros are cut off below.
    long_value = F.pad(value, (0, 2 * side)).flatten(2, 3)
    gathered = F.scaled_dot_product_attention(long_query, long_key, long_value, scale=1.0)
    gathered = gathered[..., : value.shape[-1]].transpose(1, 2)  # (N, h * h, G, d)
    out: Tensor = attention.proj(gathered.reshape(images, side, side, width))
    return out
