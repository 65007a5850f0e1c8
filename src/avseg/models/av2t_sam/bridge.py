"""The bridge of AV2T-SAM: embeddings of frames and audio become pseudo text, on any segmenter.

B clips, T frames, N = B * T, c / S side of the images for CLIP / the segmenter, V / A width of
CLIP's / CLAP's embeddings, D fused width, C_i input width of block i of the image encoder.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from avseg.backbones.clap import ClapAudioTower
from avseg.backbones.clip import ClipImageTower
from avseg.models.av2t_sam.configuration import BridgeConfig
from avseg.models.av2t_sam.prompting import Projector
from avseg.models.embedding import EmbeddingSpace, Modality
from avseg.models.model import AvsegModel, BlockAdapters


class BridgeModel(AvsegModel):
    """Base of the models of AV2T-SAM: towers, projector and adapters before a segmenter.

    Args:
        config: Sizes, features of the prompt and adapters.
        segmenter: The segmenter that the pseudo text prompts.
        block_dims: Input width C_i of each block of its image encoder.

    Attributes:
        segmenter: The segmenter.
        image_backbone: Name of its image encoder among the backbones of the processor.
        text_backbones: Names of the backbones that encode a frame together with the pseudo text, so
            that their output cannot be computed before the training.
    """

    config: Any
    image_backbone: ClassVar[str]
    text_backbones: ClassVar[tuple[str, ...]] = ()
    supports_gradient_checkpointing = True

    def __init__(
        self, config: BridgeConfig, segmenter: nn.Module, block_dims: Sequence[int]
    ) -> None:
        super().__init__(config)
        self.segmenter: Any = segmenter
        self.clip = ClipImageTower(config.clip_config) if config.uses_clip else None
        self.clap = ClapAudioTower(config.clap_config) if config.uses_clap else None
        self.projector = Projector(config)
        self.adapters = None
        if config.adapters:
            self.adapters = BlockAdapters(config.fused_dim, config.adapter_dim, block_dims)
        self.post_init()
        self._freeze()

    @property
    @abstractmethod
    def frozen_encoders(self) -> tuple[nn.Module, ...]:
        """Modules of the segmenter that are frozen."""

    @property
    @abstractmethod
    def image_tower(self) -> nn.Module:
        """Module with a `config`, on whose frozen weights alone `encode_frames` depends."""

    @abstractmethod
    def encode_frames(
        self, pixel_values: Tensor, block_prompts: list[Tensor] | None = None
    ) -> tuple[Tensor, ...]:
        """Encode frames with the segmenter's image encoder.

        Args:
            pixel_values: Frames for the segmenter, (N, 3, S, S).
            block_prompts: One (N, C_i) tensor for every block i; None adds nothing.

        Returns:
            The levels of the image features, (N, ...) each.
        """

    def train(self, mode: bool = True) -> Self:
        """Set training mode; the frozen backbones stay in evaluation mode."""
        super().train(mode)
        # In training mode dropout would change the features of the frozen backbones.
        for frozen in (*self.frozen_encoders, self.clip, self.clap):
            if frozen is not None:
                frozen.eval()
        return self

    def fuse(
        self,
        pixel_values_clip: Tensor | None,
        audio_values: Tensor | None,
        clip_embeddings: Tensor | None = None,
        clap_embeddings: Tensor | None = None,
    ) -> Tensor:
        """Compute the joint feature of each frame and its audio.

        Args:
            pixel_values_clip: Frames for CLIP, (B, T, 3, c, c).
            audio_values: Audio of each frame, (B, T, samples).
            clip_embeddings: CLIP embeddings computed before, (B, T, V), instead of frames.
            clap_embeddings: CLAP embeddings computed before, (B, T, A), instead of audio.

        Returns:
            Joint features, (N, D).

        Raises:
            ValueError: If an input that the configuration needs is missing.
        """
        return self.projector.fuse(
            self._embed(self.clip, "pixel_values_clip", pixel_values_clip, clip_embeddings),
            self._embed(self.clap, "audio_values", audio_values, clap_embeddings),
        )

    def image_features(
        self,
        pixel_values: Tensor | None,
        levels: tuple[Tensor, ...] | None,
        fused: Tensor,
    ) -> tuple[Tensor, ...]:
        """Encode frames with the adapters' vectors, or return features computed before.

        Args:
            pixel_values: Frames for the segmenter, (B, T, 3, S, S); not needed with `levels`.
            levels: Levels from `encode_frames` computed before, (B, T, ...) each; only without
                adapters.
            fused: Joint features, (N, D).

        Returns:
            The levels of the image features, (N, ...) each.

        Raises:
            ValueError: If both are missing, or the model has adapters and levels are given.
        """
        if levels is not None:
            if self.adapters is not None:
                raise ValueError(
                    "image_features cannot be given to a model with adapters, because its image "
                    f"encoder depends on the audio; give {self.main_input_name}."
                )
            # Cached features have (B, T) in front; the decoder takes single frames, (N, ...).
            return tuple(level.flatten(0, 1) for level in levels)
        if pixel_values is None:
            raise ValueError(f"{self.main_input_name} is missing; give it, or image_features.")
        block_prompts = None if self.adapters is None else self.adapters(fused)
        return self.encode_frames(pixel_values.flatten(0, 1), block_prompts)

    @torch.no_grad()
    def embed(self, inputs: Mapping[str, Tensor]) -> tuple[EmbeddingSpace, ...]:
        """Embed frames and audio in CLIP's and CLAP's spaces, and both together as pseudo text.

        Args:
            inputs: Output of the processor for a batch of clips.

        Returns:
            The spaces of CLIP and of CLAP, if they are used, and the space of the pseudo text, in
            which an embedding is the concatenation of all pseudo text tokens.
        """
        frames = inputs["pixel_values_clip"]
        visual = self._embed(self.clip, "pixel_values_clip", frames, None)
        audio = self._embed(self.clap, "audio_values", inputs["audio_values"], None)
        # All pseudo tokens of a frame form one vector, (N, num_text_tokens * E).
        prompts = self.projector(self.projector.fuse(visual, audio)).flatten(1)
        modality: Modality = "sound" if visual is None else "picture" if audio is None else "both"
        spaces: tuple[tuple[str, Modality, Tensor | None], ...] = (
            ("frames, before the bridge (CLIP)", "picture", visual),
            ("sounds, before the bridge (CLAP)", "sound", audio),
            ("the prompt, as pseudo text (AV2T-SAM)", modality, prompts),
        )
        return tuple(
            EmbeddingSpace(title, {of: points.unflatten(0, frames.shape[:2])})
            for title, of, points in spaces
            if points is not None
        )

    def _embed(
        self, tower: nn.Module | None, name: str, inputs: Tensor | None, embeddings: Tensor | None
    ) -> Tensor | None:
        """Embed frames or audio, or return given embeddings; None if the tower is not used."""
        if tower is None:
            return None
        if embeddings is not None:
            return embeddings.flatten(0, 1)
        if inputs is None:
            raise ValueError(
                f"{name} is missing, and features={self.config.features!r} needs it; "
                "give it, or its embeddings."
            )
        # Towers take single frames and windows, (N, ...).
        embedded: Tensor = tower(inputs.flatten(0, 1))
        return embedded
