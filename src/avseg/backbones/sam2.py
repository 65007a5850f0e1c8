"""SAM 2's image encoder and mask decoder (Ravi et al. 2024, arXiv:2408.00714).

The modules are those of `transformers`. The loop over the encoder's blocks is ours, because an
adapter's vector has to be added to the input of each block (AV2T-SAM, arXiv:2502.16359, eq. 1).

N images, M prompts, S image side, C_i input width of block i, E prompt width, P prompt tokens,
h = S / 16 with the published stride of 4.
"""

from collections.abc import Sequence
from dataclasses import field

from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Sam2Config, Sam2Model
from transformers.models.sam2.configuration_sam2 import (
    Sam2HieraDetConfig,
    Sam2MaskDecoderConfig,
    Sam2PromptEncoderConfig,
    Sam2VisionConfig,
)
from transformers.models.sam2.modeling_sam2 import Sam2HieraDetModel, Sam2MultiScaleAttention

from avseg.backbones.config import StrictConfig
from avseg.backbones.sam import (
    ImageFeatures,
    MaskPrediction,
    check_encoder_inputs,
    is_recomputed,
    run_block,
)
from avseg.backbones.sam2_residuals import LayerResidual, use_residuals


@strict
class HieraConfig(StrictConfig):
    """Sizes of SAM 2's Hiera image encoder; the defaults are Hiera-L.

    Args:
        image_size: Side of the square input, in pixels.
        patch_kernel: Side of the patch convolution's kernel, in pixels.
        patch_stride: Stride of the patch convolution.
        blocks_per_stage: Blocks of each of the four stages.
        embed_dims: Width of each stage.
        num_heads: Attention heads of each stage.
        window_sizes: Side of the attention windows of each stage, in tokens.
        global_blocks: Blocks that attend over the whole image.
    """

    model_type = "avseg-hiera"

    image_size: int = 1024
    patch_kernel: int = 7
    patch_stride: int = 4
    blocks_per_stage: list[int] = field(default_factory=lambda: [2, 6, 36, 4])
    embed_dims: list[int] = field(default_factory=lambda: [144, 288, 576, 1152])
    num_heads: list[int] = field(default_factory=lambda: [2, 4, 8, 16])
    window_sizes: list[int] = field(default_factory=lambda: [8, 4, 16, 8])
    global_blocks: list[int] = field(default_factory=lambda: [23, 33, 43])

    def validate_image_size(self) -> None:
        """Validate that the stages and the first stage's windows divide the image."""
        # The three later stages halve the grid of patches, by 8 in total. Also, the windows of the
        # first stage must tile the whole grid.
        unit = self.patch_stride * max(8, self.window_sizes[0])
        if self.image_size % unit:
            raise ValueError(
                f"image_size must be a multiple of {unit} (stride {self.patch_stride}, three "
                f"halvings, windows of {self.window_sizes[0]}), got {self.image_size}."
            )

    def validate_stages(self) -> None:
        """Validate that each list has one entry for each of the four stages."""
        for name in ("blocks_per_stage", "embed_dims", "num_heads", "window_sizes"):
            values = getattr(self, name)
            if len(values) != 4:
                raise ValueError(f"{name} needs 4 entries, one for each stage, got {values}.")

    def validate_global_blocks(self) -> None:
        """Validate that the first block of a later stage is not global; it pools inside windows."""
        firsts = [sum(self.blocks_per_stage[:stage]) for stage in (1, 2, 3)]
        wrong = sorted(set(firsts) & set(self.global_blocks))
        if wrong:
            raise ValueError(
                f"global_blocks must not name the first block of a stage ({firsts}), got {wrong}."
            )

    def to_hiera(self) -> Sam2HieraDetConfig:
        """Convert this configuration to the matching `transformers` configuration."""
        return Sam2HieraDetConfig(
            hidden_size=self.embed_dims[0],
            num_attention_heads=self.num_heads[0],
            image_size=[self.image_size, self.image_size],
            patch_kernel_size=[self.patch_kernel, self.patch_kernel],
            patch_stride=[self.patch_stride, self.patch_stride],
            patch_padding=[self.patch_kernel // 2, self.patch_kernel // 2],
            blocks_per_stage=self.blocks_per_stage,
            embed_dim_per_stage=self.embed_dims,
            num_attention_heads_per_stage=self.num_heads,
            window_size_per_stage=self.window_sizes,
            global_attention_blocks=self.global_blocks,
        )


class Hiera(nn.Module):
    """Hiera alone: computes a feature pyramid of images.

    Args:
        config: Sizes.
    """

    def __init__(self, config: HieraConfig) -> None:
        super().__init__()
        self.hiera = Sam2HieraDetModel(config.to_hiera())
        use_lean_attention(self.hiera)

    def forward(self, pixel_values: Tensor) -> list[Tensor]:
        """Encode images.

        Args:
            pixel_values: Normalised images, (N, 3, S, S).

        Returns:
            Output of each stage, from fine to coarse, (N, C_i, h_i, h_i).
        """
        stages = self.hiera(pixel_values).intermediate_hidden_states
        return [stage.permute(0, 3, 1, 2) for stage in stages]


def use_lean_attention(hiera: Sam2HieraDetModel) -> None:
    """Replace the attention of each block by one that skips an unused matrix product.

    `transformers` also computes, at each position, a softmax over the dot products of queries and
    keys of all heads. It does not use the result.

    Args:
        hiera: The encoder; it is changed in place.
    """
    for block in hiera.blocks:
        # Only the class of the module is replaced, so the weights and their names do not change.
        block.attn.__class__ = _LeanAttention


class _LeanAttention(Sam2MultiScaleAttention):
    """Hiera's attention without the unused matrix product; see `use_lean_attention`."""

    def forward(self, hidden_states: Tensor, **_: object) -> Tensor:
        """Compute attention in each of N images or windows, (N, h, w, C_i).

        A query stride halves h and w of the output.
        """
        count, height, width = hidden_states.shape[:3]
        qkv = self.qkv(hidden_states).view(count, height * width, 3, self.num_attention_heads, -1)
        query, key, value = qkv.unbind(2)  # (N, h * w, heads, C_i / heads)
        if self.query_stride:
            # In Hiera the first block of a stage halves the resolution by pooling its queries.
            grid = query.reshape(count, height, width, -1).permute(0, 3, 1, 2)
            grid = F.max_pool2d(grid, kernel_size=self.query_stride, stride=self.query_stride)
            height, width = grid.shape[2:]
            query = grid.permute(0, 2, 3, 1).reshape(count, height * width, *query.shape[2:])
        query, key, value = (tensor.transpose(1, 2) for tensor in (query, key, value))
        gathered = F.scaled_dot_product_attention(query, key, value, scale=self.scale)
        gathered = gathered.transpose(1, 2).reshape(count, height, width, -1)
        out: Tensor = self.proj(gathered)
        return out


#: Feature levels of the neck with a top-down path, counted from the finest level 0. The two finest
#: levels have only the lateral convolution, as in SAM 2.
_TOP_DOWN_LEVELS = (2, 3)


@strict
class PromptedSam2Config(HieraConfig):
    """Sizes of a SAM 2 image encoder and mask decoder; the defaults are SAM 2.0 Hiera-L.

    The options of Hiera are those of `HieraConfig`. Mask logits have the stride of its patches.

    Args:
        prompt_dim: Width E of the neck, the prompts and the mask decoder.
        decoder_layers: Two-way layers of the mask decoder.
        decoder_heads: Attention heads of the mask decoder.
        decoder_mlp_dim: Hidden width of the mask decoder's layers.
        iou_head_dim: Hidden width of the head that predicts each mask's IoU.
    """

    model_type = "avseg-prompted-sam2"

    prompt_dim: int = 256
    decoder_layers: int = 2
    decoder_heads: int = 8
    decoder_mlp_dim: int = 2048
    iou_head_dim: int = 256

    @property
    def embedding_stride(self) -> int:
        """Stride of the image embedding's grid, in pixels."""
        return 4 * self.patch_stride

    def to_transformers(self) -> Sam2Config:
        """Convert this configuration to the matching `transformers` configuration."""
        side = self.image_size // self.patch_stride
        vision = Sam2VisionConfig(
            backbone_config=self.to_hiera(),
            # SAM 2 lists the channels of the neck from coarse to fine.
            backbone_channel_list=self.embed_dims[::-1],
            backbone_feature_sizes=[[side // 2**i] * 2 for i in range(3)],
            fpn_hidden_size=self.prompt_dim,
            fpn_top_down_levels=list(_TOP_DOWN_LEVELS),
        )
        prompt_encoder = Sam2PromptEncoderConfig(
            hidden_size=self.prompt_dim,
            image_size=self.image_size,
            patch_size=self.embedding_stride,
        )
        mask_decoder = Sam2MaskDecoderConfig(
            hidden_size=self.prompt_dim,
            mlp_dim=self.decoder_mlp_dim,
            num_hidden_layers=self.decoder_layers,
            num_attention_heads=self.decoder_heads,
            iou_head_hidden_dim=self.iou_head_dim,
        )
        return Sam2Config(
            vision_config=vision,
            prompt_encoder_config=prompt_encoder,
            mask_decoder_config=mask_decoder,
        )


class PromptedSam2(nn.Module):
    """SAM 2 with a prompt vector for each encoder block, and embeddings as mask prompts.

    Args:
        config: Sizes.
    """

    def __init__(self, config: PromptedSam2Config) -> None:
        super().__init__()
        self.config = config
        self.sam2 = Sam2Model(config.to_transformers())
        use_lean_attention(self.sam2.vision_encoder.backbone)
        use_residuals(self.sam2.mask_decoder)
        #: Whether activations of blocks are recomputed in the backward pass instead of stored.
        self.gradient_checkpointing = False
        #: Number of recomputed blocks, from the first on; None for all. The first ones, at the
        #: finest resolution, save most memory.
        self.recomputed_blocks: int | None = None

    @property
    def image_encoder(self) -> nn.Module:
        """The image encoder: Hiera and the neck."""
        encoder: nn.Module = self.sam2.vision_encoder
        return encoder

    @property
    def block_dims(self) -> list[int]:
        """Input width C_i of every encoder block."""
        # The first block of a stage still has the input width of the stage before.
        dims: list[int] = []
        width = self.config.embed_dims[0]
        for blocks, dim in zip(self.config.blocks_per_stage, self.config.embed_dims, strict=True):
            dims += [width] + [dim] * (blocks - 1)
            width = dim
        return dims

    def encode_images(
        self, pixel_values: Tensor, block_prompts: list[Tensor] | None = None
    ) -> ImageFeatures:
        """Encode images; a prompt vector is added to each block's input at every position.

        Args:
            pixel_values: Normalised images, (N, 3, S, S).
            block_prompts: One (N, C_i) tensor for every block i; None adds nothing.

        Returns:
            Features of the images as single frames, without memory.

        Raises:
            ValueError: If the images are of another size, or there is not one prompt for each
                block.
        """
        return self.without_memory(self.encode_frames(pixel_values, block_prompts))

    def without_memory(self, features: ImageFeatures) -> ImageFeatures:
        """Add SAM 2's embedding of "no memory" to the features of frames.

        Args:
            features: Features of the frames, from `encode_frames`.

        Returns:
            Features for decoding each frame by itself.
        """
        # For a frame without memory SAM 2 skips the memory attention and adds this embedding.
        top, *fine = features.levels
        return ImageFeatures(
            (top + self.sam2.no_memory_embedding.view(1, -1, 1, 1), *fine), features.image_index
        )

    def encode_frames(
        self, pixel_values: Tensor, block_prompts: list[Tensor] | None = None
    ) -> ImageFeatures:
        """Encode frames of a video, before memory or the embedding of "no memory" is added.

        Args:
            pixel_values: Normalised images, (N, 3, S, S).
            block_prompts: One (N, C_i) tensor for every block i; None adds nothing.

        Returns:
            Features of the images.

        Raises:
            ValueError: If the images are of another size, or there is not one prompt for each
                block.
        """
        check_encoder_inputs(self.config.image_size, self.block_dims, pixel_values, block_prompts)
        backbone = self.sam2.vision_encoder.backbone
        hidden = backbone.patch_embed(pixel_values)  # (N, S / 4, S / 4, C_0)
        # The position embedding is interpolated to the size of the grid, so any image size is
        # possible. The method is private, but transformers has no public loop with block prompts.
        hidden = hidden + backbone._get_pos_embed(hidden.shape[1:3])
        stages = []
        for i, block in enumerate(backbone.blocks):
            prompt = block_prompts[i] if block_prompts else None
            hidden = run_block(block, hidden, prompt, is_recomputed(self, i))
            if i in backbone.stage_ends:
                stages.append(hidden)
        stride4, stride8, top = self._neck(stages)
        return ImageFeatures((top, stride8, stride4))

    def decode_masks(
        self,
        features: ImageFeatures,
        sparse_prompt_embeddings: Tensor,
        multimask: bool = True,
        dense_prompt_embeddings: Tensor | None = None,
        residuals: Sequence[LayerResidual] | None = None,
    ) -> MaskPrediction:
        """Decode the masks of each prompt.

        Args:
            features: Features of the images, with the index of each prompt's image.
            sparse_prompt_embeddings: Prompt tokens, (M, P, E).
            multimask: Whether three masks are predicted for an ambiguous prompt, or a single one.
                If the single mask is unstable, SAM 2 returns the best of three instead, except in
                training.
            dense_prompt_embeddings: Vector added at every position of the image embedding, (M, E);
                None adds SAM's embedding of "no mask".
            residuals: Residual before each layer of the decoder and before its last attention;
                None adds nothing.

        Returns:
            The masks, of side 4h, and their predicted quality.
        """
        decoder = self.sam2.mask_decoder
        _, stride8, stride4 = features.levels
        embeddings = features.prompt_embeddings
        dense = dense_prompt_embeddings
        if dense is None:
            dense = self.sam2.prompt_encoder.no_mask_embed.weight  # (1, E)
        positions = self.sam2.get_image_wide_positional_embeddings()  # (1, E, h, h)
        # The two convolutions reduce the channels of the large levels by 8 and by 4. They run once
        # for each image; only their small outputs are repeated for the prompts of the image.
        fine = [decoder.conv_s0(stride4), decoder.conv_s1(stride8)]
        # The decoder of transformers allows several prompts for an image, on axis 1. Here the image
        # is repeated for each prompt instead, so axis 1 has the length 1.
        masks, iou, tokens, object_scores = decoder(
            image_embeddings=embeddings,
            image_positional_embeddings=positions.expand(len(embeddings), -1, -1, -1),
            sparse_prompt_embeddings=sparse_prompt_embeddings.unsqueeze(1),
            dense_prompt_embeddings=dense[:, :, None, None].expand_as(embeddings),
            multimask_output=multimask,
            high_resolution_features=[features.per_prompt(level) for level in fine],
            # The decoder passes arguments that it does not know to its transformer.
            residuals=residuals,
        )
        return MaskPrediction(masks[:, 0], iou[:, 0], object_scores[:, 0], mask_tokens=tokens[:, 0])

    def embed_boxes(self, boxes: Tensor) -> Tensor:
        """Embed boxes as prompts.

        Args:
            boxes: (left, top, right, bottom) in fractions of the image, (M, 4) in [0, 1].

        Returns:
            Prompt tokens, two corners and a padding token for each box, (M, 3, E).
        """
        corners = (boxes * self.config.image_size).unsqueeze(1)  # (M, 1, 4), in pixels
        tokens: Tensor
        tokens, _ = self.sam2.prompt_encoder(None, None, corners, None)
        return tokens[:, 0]

    def _neck(self, stages: list[Tensor]) -> list[Tensor]:
        """Compute the feature pyramid, without the position encodings of `transformers` (unused).

        Args:
            stages: Output of each stage, from fine to coarse, (N, h_i, w_i, C_i).

        Returns:
            The three finest levels, from fine to coarse, (N, E, h_i, w_i).
        """
        convs = self.sam2.vision_encoder.neck.convs
        levels: list[Tensor] = []
        for i in reversed(range(len(stages))):
            # The convolutions are stored from coarse to fine, the stages from fine to coarse.
            level: Tensor = convs[len(stages) - 1 - i](stages[i].permute(0, 3, 1, 2))
            if levels and i in _TOP_DOWN_LEVELS:
                level = level + F.interpolate(levels[-1], scale_factor=2.0, mode="nearest")
            levels.append(level)
        # The coarsest level is only an input of the top-down path ("scalp" in the code of SAM 2).
        return levels[::-1][:3]
