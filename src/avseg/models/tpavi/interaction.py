"""Temporal pixel-wise audio-visual interaction (arXiv:2207.05042, 3.2).

B clips, T frames, C channels, D = C / 2, h x w size of a feature map, A width of an audio
embedding.
"""

import torch
from torch import Tensor, nn


class AudioVisualInteraction(nn.Module):
    """Attention of every pixel to all pixels of all frames, with the audio of a frame as the key.

    The attention of a pixel p to a pixel q is theta(p) . phi(audio of the frame of q) / (T h w).
    There is no softmax, so the result is a product of three matrices: theta, phi and the values.
    The product of the last two is computed first. It needs a D x D matrix per clip; the attention
    itself has (T h w)^2 entries. All pixels of a frame have the same key, so the mean of their
    values is enough.

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
        # With the weight 0 the update is 0, so training starts from the unchanged feature maps, as
        # in the paper's code.
        nn.init.zeros_(self.batch_norm.weight)

    def forward(self, features: Tensor, audio_embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """Condition the feature maps of a stage on the audio.

        Args:
            features: Feature maps of all frames, (B, T, C, h, w).
            audio_embeddings: Embeddings of the audio of each frame, (B, T, A).

        Returns:
            The feature maps, (B, T, C, h, w), and the projected audio, (B, T, C).
        """
        pixels = features.permute(0, 1, 3, 4, 2)  # (B, T, h, w, C)
        audio = self.audio_proj(audio_embeddings)  # (B, T, C)
        values = self.value(pixels).mean(dim=(2, 3))  # (B, T, D)
        # The mean over pixels has divided by h w already; the division by T remains.
        context = self.phi(audio).transpose(1, 2) @ values / len(audio[0])  # (B, D, D)
        attended = torch.einsum("bthwd,bde->bthwe", self.theta(pixels), context)
        update = self.batch_norm(self.out_proj(attended).flatten(0, 3)).view_as(pixels)
        conditioned: Tensor = self.layer_norm(pixels + update)
        return conditioned.permute(0, 1, 4, 2, 3), audio
