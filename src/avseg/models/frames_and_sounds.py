"""Input and output of models that see one picture of each frame and hear its sound.

B clips, T frames, H x W size of the video, S side of the pictures, A width of an audio embedding.
"""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from avseg.backbones.clap import ClapAudioTower
from avseg.models.processor import (
    SAM_STATISTICS,
    MaskProcessor,
    as_pixels,
    check_sample_rate,
    normalise,
    read_options,
    resize,
    write_options,
)
from avseg.types import Clip


class FrameSoundConfig(Protocol):
    """What is asked of the configuration of such a model."""

    window_s: float

    @property
    def image_size(self) -> int:
        """Side of the pictures, in pixels."""
        ...

    @property
    def sample_rate(self) -> int:
        """Of the sound, in Hz."""
        ...


@dataclass(frozen=True)
class FrameSoundProcessor(MaskProcessor):
    """Turns clips into the model's inputs and its outputs into masks.

    Args:
        image_size: Side of the pictures, in pixels.
        sample_rate: Of the sound the model needs, in Hz.
        window_s: Sound that belongs to a frame, in seconds.
    """

    image_size: int
    sample_rate: int
    window_s: float

    @classmethod
    def from_config(cls, config: FrameSoundConfig) -> Self:
        """Make the processor that fits a model.

        Args:
            config: The model's configuration.

        Returns:
            The processor.
        """
        return cls(config.image_size, config.sample_rate, config.window_s)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Load a processor saved beside its model.

        Args:
            folder: Where `save_pretrained` wrote.

        Returns:
            The processor.

        Raises:
            CheckpointError: If there is no such file, or its options are not the processor's.
        """
        return cls(**read_options(folder, (field.name for field in fields(cls))))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the options as JSON beside the model.

        Args:
            folder: Made if it is missing.
        """
        write_options(folder, asdict(self))

    def __call__(self, clip: Clip) -> dict[str, Tensor]:
        """Prepare one clip.

        Args:
            clip: Frames and sound, the sound at `sample_rate`.

        Returns:
            The model's inputs, each with a batch of one in front.

        Raises:
            ClipError: If the sound is at another rate.
        """
        check_sample_rate(clip, self.sample_rate)
        windows = torch.from_numpy(clip.audio_windows(self.window_s))
        return {
            "pixel_values": self.pictures(clip.frames).unsqueeze(0),
            "audio_values": windows.unsqueeze(0),
        }

    def pictures(self, frames: npt.NDArray[np.uint8]) -> Tensor:
        """Squeeze frames to the model's square and normalise them, as SAM and ImageNet do.

        Args:
            frames: RGB, (T, H, W, 3) uint8.

        Returns:
            Pictures, (T, 3, S, S) float32.
        """
        side = (self.image_size, self.image_size)
        return normalise(resize(as_pixels(frames), side, "bilinear"), SAM_STATISTICS)


def embed_sounds(
    clap: ClapAudioTower, audio_values: Tensor | None, clap_embeddings: Tensor | None
) -> Tensor:
    """Embed the sound of each frame, unless that was done before.

    Args:
        clap: The audio tower.
        audio_values: Sound of each frame, (B, T, samples).
        clap_embeddings: Its embeddings computed before, (B, T, A).

    Returns:
        Embeddings, (B, T, A).

    Raises:
        ValueError: If there is neither.
    """
    if clap_embeddings is not None:
        return clap_embeddings
    if audio_values is None:
        raise ValueError("audio_values is missing; give it, or clap_embeddings.")
    embeddings: Tensor = clap(audio_values.flatten(0, 1))
    return embeddings.unflatten(0, audio_values.shape[:2])
