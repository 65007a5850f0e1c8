"""ImageBind (Girdhar et al., CVPR 2023, arXiv:2305.05665): one space for images, audio and texts.

N items, P texts, n words, S image side, M x T spectrogram, L patches, W tower width, D width of the
joint space.
"""

import math
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avseg.backbones.imagebind.configuration import ImageBindConfig
from avseg.backbones.imagebind.towers import AudioTower, TextTower, TowerFeatures, VisionTower

#: Upper bound of the scale of text and audio embeddings, as in the published code.
_MAX_SCALE = 100.0


class Head(nn.Module):
    """Norm and linear projection into the joint space.

    Args:
        width: Width W of the tower.
        dim: Width D of the joint space.
    """

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.proj = nn.Linear(width, dim, bias=False)

    def forward(self, states: Tensor) -> Tensor:
        """Project states (..., W) to unit vectors (..., D)."""
        return F.normalize(self.proj(self.norm(states)), dim=-1)


class ImageBind(nn.Module):
    """ImageBind with its audio, image and text towers, without depth, thermal and motion.

    Args:
        config: Sizes.
        frozen: Whether no parameter is trainable and the model always stays in evaluation mode.
            Gradients still pass through to its inputs.
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
        # In the published model the scale of texts is trained, and the scale of audio is fixed. A
        # buffer is loaded from a file, but not trained.
        self.text_log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.register_buffer("audio_log_scale", torch.tensor(math.log(20.0)))
        if frozen:
            self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Set training mode, which a frozen model never enters."""
        return super().train(mode and not self.frozen)

    def encode_images(self, pixel_values: Tensor) -> TowerFeatures:
        """Encode images.

        Args:
            pixel_values: Images, normalised as in training, (N, 3, S, S); any S that patches tile.

        Returns:
            Tokens (N, L, W) row by row, and class tokens (N, W).
        """
        features: TowerFeatures = self.vision_tower(pixel_values)
        return features

    def encode_audio(self, spectrograms: Tensor) -> TowerFeatures:
        """Encode audio.

        Args:
            spectrograms: Spectrograms from `imagebind.audio.spectrograms`, (N, 1, M, T).

        Returns:
            Tokens (N, L, W), and class tokens (N, W).
        """
        features: TowerFeatures = self.audio_tower(spectrograms)
        return features

    def encode_words(self, word_embeddings: Tensor) -> Tensor:
        """Encode word embeddings without start or end token; they may be outside the vocabulary.

        Args:
            word_embeddings: Embeddings of the words, (N, n, W).

        Returns:
            State of each word, (N, n, W). Attention is causal, so a state depends only on this word
            and the words before.
        """
        states: Tensor = self.text_tower(word_embeddings)
        return states

    def encode_text_states(self, input_ids: Tensor) -> Tensor:
        """Encode texts. Padding after the end token has no effect, since attention is causal.

        Args:
            input_ids: Token ids, (P, T) int64; the highest id of a text is its end token.

        Returns:
            State of each text's end token, before the head, (P, W).
        """
        # The end token has the highest id of the vocabulary, so argmax finds its position.
        ends = input_ids.argmax(dim=-1)
        # Columns after the end of the longest text are padding in every text, so they are cut.
        words = self.text_tower.token_embedding(input_ids[:, : int(ends.max()) + 1])
        states: Tensor = self.text_tower(words)
        return states[torch.arange(len(states), device=states.device), ends]

    def encode_text(self, input_ids: Tensor) -> Tensor:
        """Embed texts.

        Args:
            input_ids: Token ids, (P, T) int64; the highest id of a text is its end token.

        Returns:
            Unit vectors times the scale of texts, (P, D).
        """
        return self.project_text(self.encode_text_states(input_ids))

    def project_text(self, states: Tensor) -> Tensor:
        """Project text states, (..., W), to the joint space, L2-normalise and scale, (..., D)."""
        scale = self.text_log_scale.exp().clamp(max=_MAX_SCALE)
        embeddings: Tensor = scale * self.text_head(states)
        return embeddings

    def project_audio(self, cls: Tensor) -> Tensor:
        """Project audio class tokens to the joint space, L2-normalise them, and scale them by 20.

        Args:
            cls: Class tokens, (..., W).

        Returns:
            Embeddings, (..., D).
        """
        embeddings: Tensor = self.audio_log_scale.exp().clamp(max=_MAX_SCALE) * self.audio_head(cls)
        return embeddings

    def project_image(self, cls: Tensor) -> Tensor:
        """Project image class tokens, (..., W), to the joint space and L2-normalise, (..., D)."""
        # As published, only the embeddings of texts and audio are scaled.
        embeddings: Tensor = self.vision_head(cls)
        return embeddings
