"""Processor of AuralSAM2: converts clips to frames and spectrograms.

T frames of H x W pixels, S side of the frames, C channels of the audio.
"""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from avseg.backbones.vggish import VggishConfig, log_mel
from avseg.models.auralsam2.configuration import AUDIO_CHANNELS, AuralSam2Config
from avseg.models.processor import (
    SAM_STATISTICS,
    BaseProcessor,
    as_pixels,
    check_sample_rate,
    normalise,
    resize,
)
from avseg.types import Clip


@dataclass(frozen=True)
class AuralSam2Processor(BaseProcessor):
    """Converts clips to the inputs of the model, and its outputs to masks.

    Args:
        image_size: Side of the frames, in pixels.
        sample_rate: Sample rate of the audio, in Hz.
        columns: Columns of a spectrogram, 10 ms each.
        mel_bins: Mel bands of a spectrogram.
    """

    audio_channels: ClassVar[int] = AUDIO_CHANNELS

    image_size: int
    sample_rate: int
    columns: int
    mel_bins: int

    @classmethod
    def from_config(cls, config: AuralSam2Config) -> Self:
        """Build the processor that fits a model.

        Args:
            config: Configuration of the model.

        Returns:
            The processor.
        """
        audio = config.vggish_config
        return cls(config.sam_config.image_size, audio.sample_rate, audio.columns, audio.mel_bins)

    @property
    def window_s(self) -> float:
        """Length of the audio window of a frame, in seconds."""
        return float(self._front_end.window_s)

    @property
    def _front_end(self) -> VggishConfig:
        return VggishConfig(
            sample_rate=self.sample_rate, columns=self.columns, mel_bins=self.mel_bins
        )

    def __call__(self, clip: Clip) -> dict[str, Tensor]:
        """Convert one clip to the inputs of the model.

        Args:
            clip: Frames and audio, the audio at `sample_rate`. A clip without `channels` gets one
                spectrogram for each frame, which the model uses for left and right.

        Returns:
            The inputs, each with a batch dimension of one.

        Raises:
            ClipError: If the audio has another sample rate.
        """
        check_sample_rate(clip, self.sample_rate)
        windows = torch.from_numpy(clip.channel_windows(self.window_s))
        return {
            "pixel_values": self.prepare_frames(clip.frames).unsqueeze(0),
            "audio_values": self.prepare_audio(windows).unsqueeze(0),
        }

    def prepare_frames(self, frames: npt.NDArray[np.uint8]) -> Tensor:
        """Stretch frames to a square and normalise them for SAM 2.

        Args:
            frames: RGB, (T, H, W, 3) uint8.

        Returns:
            Pixels, (T, 3, S, S) float32.
        """
        side = (self.image_size, self.image_size)
        return normalise(resize(as_pixels(frames), side, "bicubic"), SAM_STATISTICS)

    def prepare_audio(self, windows: Tensor) -> Tensor:
        """Compute the spectrogram of each channel.

        Args:
            windows: Audio of each frame, one channel or left and right, (T, C, samples).

        Returns:
            Spectrograms, (T, C, columns, bands) float32.
        """
        return log_mel(windows.flatten(0, 1), self._front_end).unflatten(0, windows.shape[:2])
