"""Base classes of SAMA and TPAVI, whose inputs are one image and one audio window for each frame.

B clips, T frames, H x W size of the video, S side of the images, A width of an audio embedding.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from avseg.backbones.clap import ClapAudioTower, ClapAudioTowerConfig
from avseg.models.model import AvsegConfig, AvsegModel
from avseg.models.outputs import AvsegOutput
from avseg.models.processor import (
    SAM_STATISTICS,
    BaseProcessor,
    as_pixels,
    audio_of_frames,
    normalise,
    resize,
)
from avseg.types import Clip

#: `targets` and `annotated` of `FrameAudioModel.forward`; each is None if it is not given.
GroundTruth = tuple[Tensor | None, Tensor | None]


class FrameAudioConfig(AvsegConfig):
    """Options that SAMA and TPAVI share.

    Args:
        clap_config: Audio tower, a `ClapAudioTowerConfig`.
        window_s: Length of the audio window of a frame, in seconds.

    Attributes:
        image_config_name: Name of the option with the configuration of the image encoder.
    """

    image_config_name: ClassVar[str]

    clap_config: Any = None  # a configuration, or its options in a dictionary
    window_s: float = 1.0

    # The two families have image encoders of different classes, each with an option of its own.
    @property
    def image_size(self) -> int:
        """Side of the images for the image encoder, in pixels."""
        side: int = getattr(self, self.image_config_name).image_size
        return side

    @property
    def sample_rate(self) -> int:
        """Sample rate of the audio, in Hz."""
        rate: int = self.clap_config.sample_rate
        return rate

    def validate_window(self) -> None:
        """Raise an error if the audio window is too long for the audio tower."""
        if isinstance(self.clap_config, ClapAudioTowerConfig):
            self.clap_config.check_window(self.window_s)


class FrameAudioSizes(Protocol):
    """Interface of the configurations from which a `FrameAudioProcessor` can be built."""

    window_s: float

    @property
    def image_size(self) -> int:
        """Side of the images, in pixels."""
        ...

    @property
    def sample_rate(self) -> int:
        """Sample rate of the audio, in Hz."""
        ...


@dataclass(frozen=True)
class FrameAudioProcessor(BaseProcessor):
    """Converts clips to the inputs of the model, and its outputs to masks.

    Args:
        image_size: Side of the images, in pixels.
        sample_rate: Sample rate of the audio, in Hz.
        window_s: Length of the audio window of a frame, in seconds.
    """

    image_size: int
    sample_rate: int
    window_s: float

    @classmethod
    def from_config(cls, config: FrameAudioSizes) -> Self:
        """Build the processor that fits a model.

        Args:
            config: Configuration of the model.

        Returns:
            The processor.
        """
        return cls(config.image_size, config.sample_rate, config.window_s)

    def __call__(self, clip: Clip) -> dict[str, Tensor]:
        """Convert one clip to the inputs of the model.

        Args:
            clip: Frames and audio, the audio at `sample_rate`.

        Returns:
            The inputs, each with a batch dimension of one.

        Raises:
            ClipError: If the audio has another sample rate.
        """
        windows = torch.from_numpy(audio_of_frames(clip, self.sample_rate, self.window_s))
        return {
            "pixel_values": self.prepare_frames(clip.frames).unsqueeze(0),
            "audio_values": windows.unsqueeze(0),
        }

    def prepare_frames(self, frames: npt.NDArray[np.uint8]) -> Tensor:
        """Stretch frames to a square and normalise them with the statistics of SAM and ImageNet.

        Args:
            frames: RGB, (T, H, W, 3) uint8.

        Returns:
            Pixels, (T, 3, S, S) float32.
        """
        side = (self.image_size, self.image_size)
        # SAM was trained with ImageNet's statistics, so one constant serves both encoders.
        return normalise(resize(as_pixels(frames), side, "bilinear"), SAM_STATISTICS)


class FrameAudioModel(AvsegModel, ABC):
    """Base of SAMA and TPAVI: embeds the audio of each frame, unless the embeddings are given.

    A subclass builds `clap` in its constructor and implements `segment`.

    Attributes:
        clap: The frozen audio tower.
    """

    main_input_name = "pixel_values"
    clap: ClapAudioTower

    def forward(
        self,
        pixel_values: Tensor,
        audio_values: Tensor | None = None,
        clap_embeddings: Tensor | None = None,
        targets: Tensor | None = None,
        annotated: Tensor | None = None,
    ) -> AvsegOutput:
        """Segment the sounding objects in every frame.

        Args:
            pixel_values: Frames, (B, T, 3, S, S).
            audio_values: Audio of each frame, (B, T, samples); not needed with `clap_embeddings`.
            clap_embeddings: CLAP embeddings computed before, (B, T, A).
            targets: Ground-truth masks, (B, T, H, W) of 0 and 1.
            annotated: True for frames with a ground truth, (B, T) bool; None if all have one.

        Returns:
            The masks, and the loss if there are targets.

        Raises:
            ValueError: If neither the audio nor its embeddings are given.
        """
        audio_embeddings = embed_audio(self.clap, audio_values, clap_embeddings)  # (B, T, A)
        return self.segment(pixel_values, audio_embeddings, (targets, annotated))

    @abstractmethod
    def segment(
        self, pixel_values: Tensor, audio_embeddings: Tensor, truth: GroundTruth
    ) -> AvsegOutput:
        """Segment frames with the embeddings of their audio.

        Args:
            pixel_values: As for `forward`.
            audio_embeddings: CLAP embedding of the audio of each frame, (B, T, A).
            truth: The `targets` and `annotated` of `forward`.

        Returns:
            The masks, and the loss if there are targets.
        """


def embed_audio(
    clap: ClapAudioTower, audio_values: Tensor | None, clap_embeddings: Tensor | None
) -> Tensor:
    """Embed the audio of each frame, or return the embeddings computed before.

    Args:
        clap: The audio tower.
        audio_values: Audio of each frame, (B, T, samples).
        clap_embeddings: Embeddings computed before, (B, T, A).

    Returns:
        Embeddings, (B, T, A).

    Raises:
        ValueError: If neither the audio nor its embeddings are given.
    """
    # Training computes the embeddings of the frozen tower once and caches them on disk.
    if clap_embeddings is not None:
        return clap_embeddings
    if audio_values is None:
        raise ValueError("audio_values is missing; give it, or clap_embeddings.")
    # The tower takes single windows, (B * T, samples).
    embeddings: Tensor = clap(audio_values.flatten(0, 1))
    return embeddings.unflatten(0, audio_values.shape[:2])
