"""Temporal pixel-wise audio-visual interaction (arXiv:2207.05042, 3.2).

B clips, T frames, C channels, D = C / 2, h x w size of a feature map, A width of an audio
embedding.
"""

import torch
from torch import Tensor, nn


class AudioVisualInteraction(nn.Module):
    """Every pixel of every frame looks at what all pixels show, as far as its sound fits.

    The attention of pixel p to pixel q is theta(p) . phi(sound of q's frame) / (T h w), without a
    softmax. So what a pixel gathers is a product of three matrices, and multiplying the last two
    first leaves a D x D matrix for each clip in the place of one with (T h w)^2 entries. As all
    pixels of a frame share its sound, their values can even be averaged before.

    Args:
        dim: Channels C of the feature maps.
        audio_dim: Width A of an audio embedding.
    """

    def __init__(self, dim: int, audio_dim: int) -> None:
        super().__init__()
        self.audio_proj = nn.Linear(audio_dim, dim)
        self.theta = nn.Linear(dim, dim // 2)
        self.phi = nn.Linear(dim, dim // 2)
        self.value = nn.Linear(dim, dim // 2)
        self.out_proj = nn.Linear(dim // 2, dim)
        self.batch_norm = nn.BatchNorm1d(dim)
        self.layer_norm = nn.LayerNorm(dim)
        # So training starts from the feature maps as they are, as in the paper's code.
        nn.init.zeros_(self.batch_norm.weight)

    def forward(self, features: Tensor, audio_embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """Let the feature maps of a stage hear.

        Args:
            features: Of all frames, (B, T, C, h, w).
            audio_embeddings: Of the frames' sounds, (B, T, A).

        Returns:
            The feature maps, (B, T, C, h, w), and the sounds in their space, (B, T, C).
        """
        pixels = features.permute(0, 1, 3, 4, 2)  # (B, T, h, w, C)
        sounds = self.audio_proj(audio_embeddings)  # (B, T, C)
        values = self.value(pixels).mean(dim=(2, 3))  # (B, T, D)
        context = self.phi(sounds).transpose(1, 2) @ values / len(sounds[0])  # (B, D, D)
        gathered = torch.einsum("bthwd,bde->bthwe", self.theta(pixels), context)
        update = self.batch_norm(self.out_proj(gathered).flatten(0, 3)).view_as(pixels)
        mixed: Tensor = self.layer_norm(pixels + update)
        return mixed.permute(0, 1, 4, 2, 3), sounds
