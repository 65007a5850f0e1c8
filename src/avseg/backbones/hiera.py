"""Hiera, the image encoder of SAM 2 without SAM 2's neck (Ryali et al. 2023, arXiv:2306.00989).

The modules are those of `transformers`.

N images, S image side, C_i width of stage i, h_i = S / 4, S / 8, S / 16, S / 32 with the published
stride of 4.
"""

from dataclasses import field

from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.sam2.configuration_sam2 import Sam2HieraDetConfig
from transformers.models.sam2.modeling_sam2 import Sam2HieraDetModel, Sam2MultiScaleAttention

from avseg.backbones.config import StrictConfig


@strict
class HieraConfig(StrictConfig):
    """Sizes of a Hiera as SAM 2 has it; the defaults are Hiera-L.

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
        """Refuse an image that the stages and the first stage's windows do not divide."""
        unit = self.patch_stride * max(8, self.window_sizes[0])
        if self.image_size % unit:
            raise ValueError(
                f"image_size must be a multiple of {unit} (stride {self.patch_stride}, three "
                f"halvings, windows of {self.window_sizes[0]}), got {self.image_size}."
            )

    def validate_stages(self) -> None:
        """Refuse lists that do not have one entry for each of the four stages."""
        for name in ("blocks_per_stage", "embed_dims", "num_heads", "window_sizes"):
            values = getattr(self, name)
            if len(values) != 4:
                raise ValueError(f"{name} needs 4 entries, one for each stage, got {values}.")

    def validate_global_blocks(self) -> None:
        """Refuse global attention where a stage halves the resolution, which works in windows."""
        firsts = [sum(self.blocks_per_stage[:stage]) for stage in (1, 2, 3)]
        wrong = sorted(set(firsts) & set(self.global_blocks))
        if wrong:
            raise ValueError(
                f"global_blocks must not name the first block of a stage ({firsts}), got {wrong}."
            )

    def to_hiera(self) -> Sam2HieraDetConfig:
        """Spell the sizes in `transformers`' words."""
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
    """An image in, a pyramid of features out.

    Args:
        config: Sizes.
    """

    def __init__(self, config: HieraConfig) -> None:
        super().__init__()
        self.hiera = Sam2HieraDetModel(config.to_hiera())
        quicken_attention(self.hiera)

    def forward(self, pixel_values: Tensor) -> list[Tensor]:
        """Encode images.

        Args:
            pixel_values: Normalised images, (N, 3, S, S).

        Returns:
            Output of each stage, fine to coarse, (N, C_i, h_i, h_i).
        """
        stages = self.hiera(pixel_values).intermediate_hidden_states
        return [stage.permute(0, 3, 1, 2) for stage in stages]


def quicken_attention(hiera: Sam2HieraDetModel) -> None:
    """Let each block attend as in `transformers`, without a product there that nothing uses.

    Args:
        hiera: Changed in place.
    """
    for block in hiera.blocks:
        block.attn.__class__ = _Attention


class _Attention(Sam2MultiScaleAttention):
    """See `quicken_attention`."""

    def forward(self, hidden_states: Tensor, **_: object) -> Tensor:
        """Attend within each of N images or windows, (N, h, w, C_i); a stride halves h and w."""
        count, height, width = hidden_states.shape[:3]
        qkv = self.qkv(hidden_states).view(count, height * width, 3, self.num_attention_heads, -1)
        query, key, value = qkv.unbind(2)  # (N, h * w, heads, C_i / heads)
        if self.query_stride:
            grid = query.reshape(count, height, width, -1).permute(0, 3, 1, 2)
            grid = F.max_pool2d(grid, kernel_size=self.query_stride, stride=self.query_stride)
            height, width = grid.shape[2:]
            query = grid.permute(0, 2, 3, 1).reshape(count, height * width, *query.shape[2:])
        query, key, value = (tensor.transpose(1, 2) for tensor in (query, key, value))
        gathered = F.scaled_dot_product_attention(query, key, value, scale=self.scale)
        gathered = gathered.transpose(1, 2).reshape(count, height, width, -1)
        out: Tensor = self.proj(gathered)
        return out
