"""AV2T-SAM prompting: pseudo text tokens from the image and audio embeddings of a frame.

B frames, A / V width of CLAP's / CLIP's embeddings, D fused width, K pseudo text tokens, E width of
the text space: that of BEiT-3 or of SAM 3.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avseg.models.av2t_sam.configuration import BridgeConfig


class Projector(nn.Module):
    """Fusion of aligned features and their projection to the text space (arXiv:2502.16359, 3.3).

    Args:
        config: Sizes, and which of the two embeddings are used.
    """

    def __init__(self, config: BridgeConfig) -> None:
        super().__init__()
        self.num_text_tokens = config.num_text_tokens
        dim = config.fused_dim
        if config.uses_clap:
            # A projection exists only if its embedding is used; the key map expects this.
            self.audio_proj = _unit_variance_linear(config.clap_config.projection_dim, dim)
        if config.uses_clip:
            self.visual_proj = _unit_variance_linear(config.clip_config.projection_dim, dim)
        # Only a product needs this; the output of a single projection has the variance 1 already.
        if config.features == "mul":
            self._start_from_audio()
        self.to_text_space = nn.Sequential(
            nn.Linear(dim, dim),
            nn.ReLU(),
            nn.Linear(dim, config.num_text_tokens * config.text_dim),
        )

    @torch.no_grad()
    def _start_from_audio(self) -> None:
        """Initialise the product as the audio projection, scaled moderately by the image.

        A product of two random projections has little information about either factor. To train it
        would need more clips than the data sets have. With this start, training is as fast as with
        audio alone.
        """
        # The visual factor is 1 + 0.5 x, where x has the variance 1. So the factor has the mean 1
        # and the variance 0.25, and the product has the variance 1.25 (the audio projection alone:
        # 1).
        self.visual_proj.weight.mul_(0.5)
        nn.init.ones_(self.visual_proj.bias)

    def fuse(self, visual_embeddings: Tensor | None, audio_embeddings: Tensor | None) -> Tensor:
        """Multiply the projected image and audio embeddings, L2-normalised before the projection.

        Args:
            visual_embeddings: CLIP embedding of each frame, (B, V); None if not used.
            audio_embeddings: CLAP embedding of the audio of each frame, (B, A); None if not used.

        Returns:
            Fused features, (B, D).

        Raises:
            ValueError: If neither is given.
        """
        visual = audio = None
        if visual_embeddings is not None:
            # Both towers were trained with cosines, so the length of an embedding has no meaning.
            visual = self.visual_proj(F.normalize(visual_embeddings, dim=-1))
        if audio_embeddings is not None:
            audio = self.audio_proj(F.normalize(audio_embeddings, dim=-1))
        if visual is None and audio is None:
            raise ValueError("neither visual nor audio embeddings; give at least one of the two.")
        if visual is None:
            return audio  # type: ignore[return-value]
        return visual if audio is None else visual * audio

    def forward(self, fused: Tensor) -> Tensor:
        """Project fused features to the text space.

        Args:
            fused: From `fuse`, (B, D).

        Returns:
            Pseudo text tokens, (B, K, E).
        """
        tokens: Tensor = self.to_text_space(fused)  # (B, K * E)
        return tokens.unflatten(-1, (self.num_text_tokens, -1))


def _unit_variance_linear(in_dim: int, out_dim: int) -> nn.Linear:
    """Build a projection whose output has variance 1 for inputs of length 1.

    With torch's default initialisation the product of two such projections would be about `in_dim`
    times smaller at the start, and negligible beside the biases that follow.
    """
    linear = nn.Linear(in_dim, out_dim)
    nn.init.normal_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
