"""ImageBind (Girdhar et al., CVPR 2023, arXiv:2305.05665): pictures, sounds and texts in one space.

N items, P texts, n words, S image side, M x T spectrogram, L patches, W widths, D shared width.
"""

import math
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avseg.backbones.imagebind.configuration import ImageBindConfig
from avseg.backbones.imagebind.towers import AudioTower, TextTower, TowerFeatures, VisionTower

#: Largest factor of the text embeddings.
_MAX_SCALE = 100.0


class Head(nn.Module):
    """A norm and a linear layer into the shared space.

    Args:
        width: Of the tower.
        dim: Width of the space.
    """

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.proj = nn.Linear(width, dim, bias=False)

    def forward(self, states: Tensor) -> Tensor:
        """Project states (..., W) to unit vectors (..., D)."""
        return F.normalize(self.proj(self.norm(states)), dim=-1)


class ImageBind(nn.Module):
    """The audio, image and text towers; depth, thermal and motion are left out.

    Args:
        config: Sizes.
        frozen: Whether the model stays as it is: no parameter learns, and `train` does not leave
            evaluation. Gradients pass through to its inputs all the same.
    """

    audio_log_scale: Tensor

    def __init__(self, config: ImageBindConfig, frozen: bool = True) -> None:
        super().__init__()
        self.config = config
        self.frozen = frozen
        self.vision_tower = VisionTower(config.vision)
        self.audio_tower = AudioTower(config.audio)
        self.text_tower = TextTower(config.text)
        self.vision_head = Head(config.vision.width, config.dim)
        self.audio_head = Head(config.audio.width, config.dim)
        self.text_head = Head(config.text.width, config.dim)
        self.text_log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.register_buffer("audio_log_scale", torch.tensor(math.log(20.0)))
        if frozen:
            self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Switch training mode, which a frozen model never enters."""
        return super().train(mode and not self.frozen)

    def encode_images(self, pixel_values: Tensor) -> TowerFeatures:
        """Encode pictures.

        Args:
            pixel_values: Pictures as the model was trained on, (N, 3, S, S); any S that patches
                tile.

        Returns:
            Tokens (N, L, W) row by row, and class tokens (N, W).
        """
        features: TowerFeatures = self.vision_tower(pixel_values)
        return features

    def encode_audio(self, spectrograms: Tensor) -> TowerFeatures:
        """Encode sounds.

        Args:
            spectrograms: From `imagebind.audio.spectrograms`, (N, 1, M, T).

        Returns:
            Tokens (N, L, W), and class tokens (N, W).
        """
        features: TowerFeatures = self.audio_tower(spectrograms)
        return features

    def encode_words(self, word_embeddings: Tensor) -> Tensor:
        """Encode words that need not be of the vocabulary, without start or end.

        Args:
            word_embeddings: The words, (N, n, W).

        Returns:
            State of each, which has seen those before it, (N, n, W).
        """
        states: Tensor = self.text_tower(word_embeddings)
        return states

    def encode_text_states(self, input_ids: Tensor) -> Tensor:
        """Encode texts; what follows the end token takes no part.

        Args:
            input_ids: Token ids, the highest of a text being its end, (P, T) int64.

        Returns:
            State of each text's end token, before the head, (P, W).
        """
        ends = input_ids.argmax(dim=-1)
        words = self.text_tower.token_embedding(input_ids[:, : int(ends.max()) + 1])
        states: Tensor = self.text_tower(words)
        return states[torch.arange(len(states), device=states.device), ends]

    def encode_text(self, input_ids: Tensor) -> Tensor:
        """Embed texts.

        Args:
            input_ids: Token ids, the highest of a text being its end, (P, T) int64.

        Returns:
            Unit vectors times the text's scale, (P, D).
        """
        return self.project_text(self.encode_text_states(input_ids))

    def project_text(self, states: Tensor) -> Tensor:
        """Bring states of texts, (..., W), into the space, (..., D): scaled unit vectors."""
        scale = self.text_log_scale.exp().clamp(max=_MAX_SCALE)
        embeddings: Tensor = scale * self.text_head(states)
        return embeddings

    def project_audio(self, cls: Tensor) -> Tensor:
        """Bring class tokens of sounds, (..., W), into the space, (..., D): unit vectors by 20."""
        embeddings: Tensor = self.audio_log_scale.exp().clamp(max=_MAX_SCALE) * self.audio_head(cls)
        return embeddings

    def project_image(self, cls: Tensor) -> Tensor:
        """Bring class tokens of pictures, (..., W), into the space, (..., D): unit vectors."""
        embeddings: Tensor = self.vision_head(cls)
        return embeddings
