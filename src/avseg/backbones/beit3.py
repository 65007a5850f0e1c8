"""BEiT-3, the image-text encoder of EVF-SAM (Wang et al., CVPR 2023, arXiv:2208.10442).

BEiT-3 is a multiway transformer. Image and text tokens attend to each other, but every linear layer
and every norm exists twice: `A` for image tokens and `B` for text tokens. The modules have the
names of the published files, so these files load without renaming.

N images, V = 1 + (S / P)^2 image tokens with the class token first, T text tokens, L = V + T,
D width, H heads.
"""

from collections.abc import Callable
from dataclasses import field

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from avseg.backbones.config import StrictConfig
from avseg.backbones.stem import patch_convolution

#: First used row of both position tables. The published code is based on fairseq, which reserves
#: the rows 0 and 1. Text positions start here too, not after the positions of the image.
_FIRST_POSITION = 2


@strict
class Beit3Config(StrictConfig):
    """Sizes of a BEiT-3 encoder; the defaults are BEiT-3 large at 224 pixels.

    Args:
        image_size: Side of the square input, in pixels.
        patch_size: Side of a patch, in pixels.
        stem_channels: Stages of a convolutional stem; empty for the published patch convolution.
        dim: Width D.
        num_layers: Transformer layers.
        num_heads: Attention heads of a layer.
        ffn_dim: Hidden width of a layer's feed-forward network.
        vocab_size: Rows of the text table.
        max_text_positions: Rows of the text position table, the first two of them unused.
        layer_norm_eps: Epsilon of every norm.
    """

    model_type = "avseg-beit3"

    image_size: int = 224
    patch_size: int = 16
    stem_channels: list[int] = field(default_factory=list)
    dim: int = 1024
    num_layers: int = 24
    num_heads: int = 16
    ffn_dim: int = 4096
    vocab_size: int = 64010
    max_text_positions: int = 1024
    layer_norm_eps: float = 1e-5

    def validate_patches(self) -> None:
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

    @property
    def max_text_tokens(self) -> int:
        """Maximum length of a text, in tokens."""
        return self.max_text_positions - _FIRST_POSITION

    @property
    def num_patches(self) -> int:
        """Number of patches of an image."""
        return (self.image_size // self.patch_size) ** 2


class Multiway(nn.Module):
    """A pair of equal modules: `A` for image tokens and `B` for text tokens.

    Args:
        make: Function that builds one of the two.
    """

    def __init__(self, make: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.A = make()
        self.B = make()

    def forward(self, tokens: Tensor, split: int) -> Tensor:
        """Apply `A` to the first `split` tokens and `B` to the others, (N, L, D)."""
        # There are no text tokens if the last layer computes the class token only.
        if tokens.shape[1] <= split:
            image_only: Tensor = self.A(tokens)
            return image_only
        return torch.cat([self.A(tokens[:, :split]), self.B(tokens[:, split:])], dim=1)


class VisionEmbedding(nn.Module):
    """Embedding of image patches, with the class token first.

    Args:
        config: Sizes.
    """

    def __init__(self, config: Beit3Config) -> None:
        super().__init__()
        self.proj = patch_convolution(config.stem_channels, config.dim, config.patch_size)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.dim))

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Embed images (N, 3, S, S) as tokens (N, V, D)."""
        patches = self.proj(pixel_values).flatten(2).transpose(1, 2)
        return torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1)


class FeedForward(nn.Module):
    """Two linear layers with a norm between them (sub-LayerNorm).

    Args:
        config: Sizes.
    """

    def __init__(self, config: Beit3Config) -> None:
        super().__init__()
        # Sub-LayerNorm (arXiv:2210.06423): a second norm inside each residual branch.
        self.fc1 = nn.Linear(config.dim, config.ffn_dim)
        self.ffn_layernorm = nn.LayerNorm(config.ffn_dim, eps=config.layer_norm_eps)
        self.fc2 = nn.Linear(config.ffn_dim, config.dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Transform tokens, (N, L, D)."""
        out: Tensor = self.fc2(self.ffn_layernorm(F.gelu(self.fc1(tokens))))
        return out


class SelfAttention(nn.Module):
    """Multiway self-attention over all tokens, with a norm before the output (sub-LayerNorm).

    Args:
        config: Sizes.
    """

    def __init__(self, config: Beit3Config) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.q_proj = _multiway_linear(config)
        self.k_proj = _multiway_linear(config)
        self.v_proj = _multiway_linear(config)
        self.out_proj = _multiway_linear(config)
        self.inner_attn_ln = _multiway_norm(config)

    def forward(self, tokens: Tensor, queries: int, split: int, bias: Tensor | None) -> Tensor:
        """Compute the attention of the first tokens to all tokens.

        Args:
            tokens: Normalised tokens, (N, L, D).
            queries: Number of tokens, from the first on, for which an output is computed.
            split: Index of the first text token.
            bias: Added to the attention logits, broadcast to (N, H, L, L); None adds nothing.

        Returns:
            Output of the first `queries` tokens, (N, queries, D).
        """
        query = self._heads(self.q_proj(tokens[:, :queries], split))
        key = self._heads(self.k_proj(tokens, split))
        value = self._heads(self.v_proj(tokens, split))
        gathered = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        gathered = gathered.transpose(1, 2).flatten(2)  # (N, queries, D)
        out: Tensor = self.out_proj(self.inner_attn_ln(gathered, split), split)
        return out

    def _heads(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)  # (N, H, L, D / H)


class EncoderLayer(nn.Module):
    """Transformer layer: pre-norm attention and feed-forward, both residual.

    Args:
        config: Sizes.
    """

    def __init__(self, config: Beit3Config) -> None:
        super().__init__()
        self.self_attn = SelfAttention(config)
        self.self_attn_layer_norm = _multiway_norm(config)
        self.ffn = Multiway(lambda: FeedForward(config))
        self.final_layer_norm = _multiway_norm(config)

    def forward(self, tokens: Tensor, queries: int, split: int, bias: Tensor | None) -> Tensor:
        """Compute the first `queries` output tokens; arguments as in `SelfAttention`."""
        normalised = self.self_attn_layer_norm(tokens, split)
        tokens = tokens[:, :queries] + self.self_attn(normalised, queries, split, bias)
        out: Tensor = tokens + self.ffn(self.final_layer_norm(tokens, split), split)
        return out


class Encoder(nn.Module):
    """Stack of layers with the position tables and the final norm.

    Args:
        config: Sizes.
    """

    def __init__(self, config: Beit3Config) -> None:
        super().__init__()
        image_rows = config.num_patches + 1 + _FIRST_POSITION
        self.embed_positions = nn.ModuleDict(
            {
                "A": nn.Embedding(image_rows, config.dim),
                "B": nn.Embedding(config.max_text_positions, config.dim),
            }
        )
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.num_layers))
        self.layer_norm = _multiway_norm(config)
        #: Whether activations are recomputed in the backward pass instead of stored.
        self.gradient_checkpointing = False

    def with_positions(self, tokens: Tensor, kind: str) -> Tensor:
        """Add position embeddings to the tokens of an image ("A") or of a text ("B")."""
        table = self.embed_positions[kind].weight
        positions: Tensor = table[_FIRST_POSITION : _FIRST_POSITION + tokens.shape[1]]  # type: ignore[index]
        return tokens + positions

    def forward(self, tokens: Tensor, split: int, bias: Tensor | None, cls_only: bool) -> Tensor:
        """Encode tokens; with `cls_only` the last layer computes the class token only."""
        for i, layer in enumerate(self.layers):
            # The last layer still needs all tokens as keys and values, but only one as query.
            is_last = i == len(self.layers) - 1
            queries = 1 if cls_only and is_last else tokens.shape[1]
            # Inputs without a gradient store no activations, so recomputing would only cost time.
            if self.gradient_checkpointing and tokens.requires_grad:
                tokens = checkpoint(layer, tokens, queries, split, bias, use_reentrant=False)
            else:
                tokens = layer(tokens, queries, split, bias)
        out: Tensor = self.layer_norm(tokens, split)
        return out


class Beit3Model(nn.Module):
    """BEiT-3: encodes an image and a text, or other embeddings instead of a text, as one sequence.

    Args:
        config: Sizes.
    """

    def __init__(self, config: Beit3Config) -> None:
        super().__init__()
        self.config = config
        self.text_embed = nn.Embedding(config.vocab_size, config.dim)
        self.vision_embed = VisionEmbedding(config)
        self.encoder = Encoder(config)
        self.apply(_initialise)
        nn.init.normal_(self.vision_embed.cls_token, std=0.02)

    @property
    def patch_positions(self) -> Tensor:
        """Position embeddings of the patches, without the class token, (V - 1, D); a view."""
        # The first used row belongs to the class token.
        table = self.encoder.embed_positions.get_submodule("A").weight
        rows: Tensor = table[_FIRST_POSITION + 1 :]  # type: ignore[index]
        return rows

    def embed_images(self, pixel_values: Tensor) -> Tensor:
        """Embed images; the result can be used for any number of texts.

        Args:
            pixel_values: Images in [-1, 1], (N, 3, S, S).

        Returns:
            Image tokens with position embeddings, the class token first, (N, V, D).
        """
        return self.encoder.with_positions(self.vision_embed(pixel_values), "A")

    def embed_text(self, input_ids: Tensor) -> Tensor:
        """Embed texts.

        Args:
            input_ids: Token ids, (N, T) int64.

        Returns:
            Text embeddings without position embeddings, (N, T, D).
        """
        # `forward` adds the positions, because pseudo text needs them too.
        embeddings: Tensor = self.text_embed(input_ids)
        return embeddings

    def forward(
        self,
        image_tokens: Tensor,
        text_embeddings: Tensor,
        padding_mask: Tensor | None = None,
        cls_only: bool = False,
    ) -> Tensor:
        """Encode images and texts together.

        Args:
            image_tokens: Image tokens from `embed_images`, (N, V, D).
            text_embeddings: Embeddings from `embed_text` or another model, without position
                embeddings, (N, T, D).
            padding_mask: True where the text is padding, (N, T) bool; None masks nothing.
            cls_only: Compute only the class token in the last layer; the same value, cheaper.

        Returns:
            Encoded tokens, (N, L, D), or (N, 1, D) with `cls_only`.

        Raises:
            ValueError: If the text is longer than the position table.
        """
        longest = self.config.max_text_tokens
        if text_embeddings.shape[1] > longest:
            raise ValueError(
                f"the text has {text_embeddings.shape[1]} tokens, the model takes at most "
                f"{longest}; shorten it or raise max_text_positions."
            )
        text = self.encoder.with_positions(text_embeddings, "B")
        bias = None
        if padding_mask is not None:
            # The published code sets padding to 0. This does not change the other tokens, because
            # the bias excludes padding from the attention.
            text = text * ~padding_mask.unsqueeze(-1)
            bias = _attention_bias(padding_mask, image_tokens)
        tokens = torch.cat([image_tokens, text], dim=1)
        encoded: Tensor = self.encoder(tokens, image_tokens.shape[1], bias, cls_only)
        return encoded


def _attention_bias(padding_mask: Tensor, image_tokens: Tensor) -> Tensor:
    """Build an attention bias with -inf at the keys that are padding, (N, 1, 1, L)."""
    # All images have the same number of tokens, so only texts have padding.
    shape = (len(padding_mask), image_tokens.shape[1])
    no_padding = torch.zeros(shape, dtype=torch.bool, device=padding_mask.device)
    mask = torch.cat([no_padding, padding_mask], dim=1)
    bias = torch.zeros(mask.shape, dtype=image_tokens.dtype, device=mask.device)
    return bias.masked_fill(mask, float("-inf"))[:, None, None]


def _multiway_linear(config: Beit3Config) -> Multiway:
    return Multiway(lambda: nn.Linear(config.dim, config.dim))


def _multiway_norm(config: Beit3Config) -> Multiway:
    return Multiway(lambda: nn.LayerNorm(config.dim, eps=config.layer_norm_eps))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
