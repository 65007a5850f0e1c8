"""AV2T-SAM prompting: a frame and its sound become pseudo text tokens and vectors for the encoder.

B frames, A audio dim, V visual dim, D fused dim, K text tokens, E text dim, C_i width of block i.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avseg.models.av2t_sam.configuration import Av2tSamConfig


class Projector(nn.Module):
    """Semantically aligned features and their way to the text space (arXiv:2502.16359, 3.3).

    Args:
        config: Sizes, and which of frame and sound take part.
    """

    def __init__(self, config: Av2tSamConfig) -> None:
        super().__init__()
        self.num_text_tokens = config.num_text_tokens
        dim = config.fused_dim
        if config.uses_clap:
            self.audio_proj = _unit_variance_linear(config.clap_config.projection_dim, dim)
        if config.uses_clip:
            self.visual_proj = _unit_variance_linear(config.clip_config.projection_dim, dim)
        if config.features == "mul":
            self._start_from_sound()
        self.to_text_space = nn.Sequential(
            nn.Linear(dim, dim),
            nn.ReLU(),
            nn.Linear(dim, config.num_text_tokens * config.beit3_config.dim),
        )

    @torch.no_grad()
    def _start_from_sound(self) -> None:
        """Start with a product that is the sound, more or less of it by what is seen.

        A product of two random projections says little of either factor, and learning it took more
        clips than there are; from here it is learned as fast as from sound alone.
        """
        self.visual_proj.weight.mul_(0.5)
        nn.init.ones_(self.visual_proj.bias)

    def fuse(self, visual_embeddings: Tensor | None, audio_embeddings: Tensor | None) -> Tensor:
        """Multiply what is seen with what is heard, each of length 1 before its projection.

        Args:
            visual_embeddings: CLIP embedding of each frame, (B, V); None if it takes no part.
            audio_embeddings: CLAP embedding of each frame's sound, (B, A); None if it takes no
                part.

        Returns:
            Fused features, (B, D).

        Raises:
            ValueError: If neither is given.
        """
        visual = audio = None
        if visual_embeddings is not None:
            visual = self.visual_proj(F.normalize(visual_embeddings, dim=-1))
        if audio_embeddings is not None:
            audio = self.audio_proj(F.normalize(audio_embeddings, dim=-1))
        if visual is None and audio is None:
            raise ValueError("neither visual nor audio embeddings; give at least one of the two.")
        if visual is None:
            return audio  # type: ignore[return-value]
        return visual if audio is None else visual * audio

    def forward(self, fused: Tensor) -> Tensor:
        """Carry fused features to the text space.

        Args:
            fused: From `fuse`, (B, D).

        Returns:
            Pseudo text tokens, (B, K, E).
        """
        tokens: Tensor = self.to_text_space(fused)  # (B, K * E)
        return tokens.unflatten(-1, (self.num_text_tokens, -1))


class BlockAdapters(nn.Module):
    """One small network for each block of the image encoder (arXiv:2502.16359, 3.4).

    Where all blocks have one width, as in SAM 1, they share the last layer, as in the paper's code.

    Args:
        in_dim: Width of the fused features.
        hidden_dim: Hidden width of each network.
        block_dims: Input width of each block.
    """

    def __init__(self, in_dim: int, hidden_dim: int, block_dims: Sequence[int]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(in_dim, hidden_dim), nn.GELU()) for _ in block_dims
        )
        self.shared: nn.Linear | None = None
        if len(set(block_dims)) == 1:
            self.shared = _zero_linear(hidden_dim, block_dims[0])
            return
        for block, dim in zip(self.blocks, block_dims, strict=True):
            block.append(_zero_linear(hidden_dim, dim))  # type: ignore[operator]

    def forward(self, fused: Tensor) -> list[Tensor]:
        """Make a vector for every block of the image encoder.

        Args:
            fused: Fused features, (B, D).

        Returns:
            One (B, C_i) tensor for each block i.
        """
        vectors = [block(fused) for block in self.blocks]
        return vectors if self.shared is None else [self.shared(vector) for vector in vectors]


def _zero_linear(in_dim: int, out_dim: int) -> nn.Linear:
    """Build a last layer that says 0, so that training starts from the encoder as it was."""
    linear = nn.Linear(in_dim, out_dim)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


def _unit_variance_linear(in_dim: int, out_dim: int) -> nn.Linear:
    """Build a projection whose output has variance 1 for inputs of length 1.

    With torch's own initialisation the product of two such projections would start about
    `in_dim` times smaller and be drowned by the biases that follow.
    """
    linear = nn.Linear(in_dim, out_dim)
    nn.init.normal_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
