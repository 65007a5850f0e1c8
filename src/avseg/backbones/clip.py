"""CLIP's image and text towers (Radford et al. 2021, arXiv:2103.00020), from `transformers`.

AV2T-SAM uses the image tower. The text tower is only used in the pre-training of the image tower.

N images or texts, S image side, T tokens, D embedding width.
"""

from dataclasses import field

from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from avseg.backbones.config import StrictConfig
from avseg.backbones.stem import ConvStem


@strict
class ClipImageTowerConfig(StrictConfig):
    """Sizes of a CLIP image tower; the defaults are ViT-B/32.

    Args:
        image_size: Side of the square input, in pixels.
        patch_size: Side of a patch, in pixels.
        stem_channels: Stages of a convolutional stem; empty for the published patch convolution.
        dim: Width of the transformer.
        num_layers: Transformer layers.
        num_heads: Attention heads of a layer.
        ffn_dim: Hidden width of a layer's feed-forward network.
        projection_dim: Width D of the embedding.
    """

    model_type = "avseg-clip-image-tower"

    image_size: int = 224
    patch_size: int = 32
    stem_channels: list[int] = field(default_factory=list)
    dim: int = 768
    num_layers: int = 12
    num_heads: int = 12
    ffn_dim: int = 3072
    projection_dim: int = 512

    def to_transformers(self) -> CLIPVisionConfig:
        """Convert this configuration to the matching `transformers` configuration."""
        # The other defaults of transformers are those of OpenAI's CLIP, such as QuickGELU.
        return CLIPVisionConfig(
            image_size=self.image_size,
            patch_size=self.patch_size,
            hidden_size=self.dim,
            num_hidden_layers=self.num_layers,
            num_attention_heads=self.num_heads,
            intermediate_size=self.ffn_dim,
            projection_dim=self.projection_dim,
        )


@strict
class ClipTextTowerConfig(StrictConfig):
    """Sizes of a CLIP text tower; the defaults are the partner of ViT-B/32.

    Args:
        vocab_size: Rows of the token table.
        max_positions: Longest text, in tokens.
        eos_token_id: Token whose state is projected to the embedding; every text needs one.
        dim: Width of the transformer.
        num_layers: Transformer layers.
        num_heads: Attention heads of a layer.
        ffn_dim: Hidden width of a layer's feed-forward network.
        projection_dim: Width D of the embedding.
    """

    model_type = "avseg-clip-text-tower"

    vocab_size: int = 49408
    max_positions: int = 77
    eos_token_id: int = 49407
    dim: int = 512
    num_layers: int = 12
    num_heads: int = 8
    ffn_dim: int = 2048
    projection_dim: int = 512

    def validate_eos_token_id(self) -> None:
        """Validate that the id of the end token is not 2, which `transformers` ignores."""
        # With the id 2, that of old CLIP configurations, `transformers` takes the token with the
        # highest id as the end of a text.
        if self.eos_token_id == 2:
            raise ValueError(
                "eos_token_id must not be 2, which transformers reads as 'the largest id ends the "
                "text'; give the end token another id."
            )

    def to_transformers(self) -> CLIPTextConfig:
        """Convert this configuration to the matching `transformers` configuration."""
        return CLIPTextConfig(
            vocab_size=self.vocab_size,
            max_position_embeddings=self.max_positions,
            hidden_size=self.dim,
            num_hidden_layers=self.num_layers,
            num_attention_heads=self.num_heads,
            intermediate_size=self.ffn_dim,
            projection_dim=self.projection_dim,
            eos_token_id=self.eos_token_id,
            # The default ids are outside of a small vocabulary, which causes a warning.
            bos_token_id=None,
            pad_token_id=None,
        )


class ClipImageTower(nn.Module):
    """Image tower: computes embeddings of images.

    Args:
        config: Sizes.
    """

    def __init__(self, config: ClipImageTowerConfig) -> None:
        super().__init__()
        self.config = config
        self.clip = CLIPVisionModelWithProjection(config.to_transformers())
        if config.stem_channels:
            # Only the patch convolution is replaced; positions and class token are unchanged.
            stem = ConvStem(config.stem_channels, config.dim, config.patch_size)
            self.clip.vision_model.embeddings.patch_embedding = stem

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Embed images.

        Args:
            pixel_values: Normalised images, (N, 3, S, S).

        Returns:
            Embeddings, not normalised, (N, D).
        """
        embeddings: Tensor = self.clip(pixel_values=pixel_values).image_embeds
        return embeddings


class ClipTextTower(nn.Module):
    """Text tower: computes embeddings in the image tower's space.

    Args:
        config: Sizes.
    """

    def __init__(self, config: ClipTextTowerConfig) -> None:
        super().__init__()
        self.config = config
        self.clip = CLIPTextModelWithProjection(config.to_transformers())

    def forward(self, input_ids: Tensor) -> Tensor:
        """Embed texts. Padding after the end token has no effect, since attention is causal.

        Args:
            input_ids: Token ids, each text with an end token, (N, T) int64.

        Returns:
            Embeddings, not normalised, (N, D).
        """
        embeddings: Tensor = self.clip(input_ids=input_ids).text_embeds
        return embeddings
