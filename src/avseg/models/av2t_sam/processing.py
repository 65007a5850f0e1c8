"""Processors of AV2T-SAM: convert a clip to tensors, and mask logits to masks of the video's size.

T frames, H x W size of the video, S / s / c side of the images for SAM or SAM 3 / BEiT-3 / CLIP.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from avseg.models.av2t_sam.configuration import Av2tSam3Config, Av2tSamConfig
from avseg.models.processor import (
    BEIT3_STATISTICS,
    CLIP_STATISTICS,
    SAM3_STATISTICS,
    SAM_STATISTICS,
    BaseProcessor,
    as_pixels,
    audio_of_frames,
    normalise,
    resize,
)
from avseg.types import Clip

_STATISTICS = {
    "sam": SAM_STATISTICS,
    "sam3": SAM3_STATISTICS,
    "beit3": BEIT3_STATISTICS,
    "clip": CLIP_STATISTICS,
}


def _bilinear(pixels: Tensor, side: int) -> Tensor:
    """Stretch frames (T, 3, H, W) to a square with bilinear interpolation."""
    return resize(pixels, (side, side), "bilinear")


def _bicubic(pixels: Tensor, side: int) -> Tensor:
    """Stretch frames (T, 3, H, W) to a square with bicubic interpolation."""
    return resize(pixels, (side, side), "bicubic")


def _sharp_bicubic(pixels: Tensor, side: int) -> Tensor:
    """Stretch frames to a square without antialiasing, float32."""
    # Not converted back to uint8: bicubic overshoot below 0 and above 255 is kept, as in the
    # published code.
    return F.interpolate(pixels.float(), size=(side, side), mode="bicubic")


def _central_square(pixels: Tensor, side: int) -> Tensor:
    """Resize the shorter side of frames (T, 3, H, W) and crop the central square, with Pillow."""
    height, width = pixels.shape[-2:]
    shorter = min(height, width)
    # Integer division of the sizes and rounding of the offsets, as in CLIP's preprocessing.
    height, width = side * height // shorter, side * width // shorter
    top, left = round((height - side) / 2), round((width - side) / 2)
    # CLIP's preprocessing uses the bicubic filter of Pillow, so this function does too.
    squares = [
        np.asarray(
            Image.fromarray(frame)
            .resize((width, height), Image.Resampling.BICUBIC)
            .crop((left, top, left + side, top + side))
        )
        for frame in pixels.permute(0, 2, 3, 1).numpy()
    ]
    return torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2)


#: Resizing for each backbone, by the value of `inputs`.
_RESIZE = {
    # Each backbone has the interpolation of its own training.
    "whole_picture": {"sam": _bilinear, "sam3": _bilinear, "beit3": _bicubic, "clip": _bicubic},
    "published": {"sam": _bilinear, "beit3": _sharp_bicubic, "clip": _central_square},
}


def _prepare(
    frames: npt.NDArray[np.uint8], sides: Mapping[str, int], inputs: str
) -> dict[str, Tensor]:
    """Resize frames for some backbones, each with its side, and normalise them."""
    pixels = as_pixels(frames)
    return {
        f"pixel_values_{name}": normalise(_RESIZE[inputs][name](pixels, side), _STATISTICS[name])
        for name, side in sides.items()
    }


@dataclass(frozen=True)
class Av2tSamProcessor(BaseProcessor):
    """Converts clips to the inputs of the model, and its outputs to masks.

    Args:
        sam_size: Side of the images for SAM, in pixels.
        beit3_size: Side of the images for BEiT-3, in pixels.
        clip_size: Side of the images for CLIP, in pixels.
        sample_rate: Sample rate of the audio, in Hz.
        window_s: Length of the audio window of a frame, in seconds.
        inputs: Preprocessing of the frames, see `Av2tSamConfig.inputs`.
    """

    sam_size: int
    beit3_size: int
    clip_size: int
    sample_rate: int
    window_s: float
    inputs: Literal["whole_picture", "published"]

    @classmethod
    def from_config(cls, config: Av2tSamConfig) -> Self:
        """Build the processor that fits a model.

        Args:
            config: Configuration of the model.

        Returns:
            The processor.
        """
        return cls(
            sam_size=config.sam_config.image_size,
            beit3_size=config.beit3_config.image_size,
            clip_size=config.clip_config.image_size,
            sample_rate=config.clap_config.sample_rate,
            window_s=config.window_s,
            inputs=config.inputs,
        )

    def __call__(
        self, clip: Clip, segments: npt.NDArray[np.float32] | None = None
    ) -> dict[str, Tensor]:
        """Convert one clip to the inputs of the model.

        Args:
            clip: Frames and audio, the audio at `sample_rate`.
            segments: Audio of each frame, (T, samples), instead of windows of the clip's audio;
                from `audio_segments.read_segments`, for comparing with published results.

        Returns:
            The inputs, each with a batch dimension of one.

        Raises:
            ClipError: If the audio has another sample rate, or there is not one segment for each
                frame.
        """
        windows = audio_of_frames(clip, self.sample_rate, self.window_s, segments)
        inputs = self.prepare_frames(clip.frames) | {"audio_values": torch.from_numpy(windows)}
        return {name: values.unsqueeze(0) for name, values in inputs.items()}

    def prepare_frames(
        self,
        frames: npt.NDArray[np.uint8],
        backbones: Sequence[str] = ("sam", "beit3", "clip"),
    ) -> dict[str, Tensor]:
        """Resize frames for each backbone, by the rule of `inputs`, and normalise them.

        Args:
            frames: RGB, (T, H, W, 3) uint8.
            backbones: Any of "sam", "beit3" and "clip".

        Returns:
            `pixel_values_sam` (T, 3, S, S), `pixel_values_beit3` (T, 3, s, s) and
            `pixel_values_clip` (T, 3, c, c), float32, for the given backbones.
        """
        sides = {"sam": self.sam_size, "beit3": self.beit3_size, "clip": self.clip_size}
        return _prepare(frames, {name: sides[name] for name in backbones}, self.inputs)


@dataclass(frozen=True)
class Av2tSam3Processor(BaseProcessor):
    """Converts clips to the inputs of the model on SAM 3, and its outputs to masks.

    Args:
        sam3_size: Side of the images for SAM 3, in pixels.
        clip_size: Side of the images for CLIP, in pixels.
        sample_rate: Sample rate of the audio, in Hz.
        window_s: Length of the audio window of a frame, in seconds.
    """

    sam3_size: int
    clip_size: int
    sample_rate: int
    window_s: float

    @classmethod
    def from_config(cls, config: Av2tSam3Config) -> Self:
        """Build the processor that fits a model.

        Args:
            config: Configuration of the model.

        Returns:
            The processor.
        """
        return cls(
            sam3_size=config.sam3_config.image_size,
            clip_size=config.clip_config.image_size,
            sample_rate=config.clap_config.sample_rate,
            window_s=config.window_s,
        )

    def __call__(self, clip: Clip) -> dict[str, Tensor]:
        """Convert one clip to the inputs of the model.

        Args:
            clip: Frames and audio, the audio at `sample_rate`.

        Returns:
            The inputs, each with a batch dimension of one.

        Raises:
            ClipError: If the audio has another sample rate.
        """
        windows = audio_of_frames(clip, self.sample_rate, self.window_s)
        inputs = self.prepare_frames(clip.frames) | {"audio_values": torch.from_numpy(windows)}
        return {name: values.unsqueeze(0) for name, values in inputs.items()}

    def prepare_frames(
        self, frames: npt.NDArray[np.uint8], backbones: Sequence[str] = ("sam3", "clip")
    ) -> dict[str, Tensor]:
        """Stretch frames to the square of each backbone, and normalise them.

        Args:
            frames: RGB, (T, H, W, 3) uint8.
            backbones: Any of "sam3" and "clip".

        Returns:
            `pixel_values_sam3` (T, 3, S, S) and `pixel_values_clip` (T, 3, c, c), float32, for the
            given backbones. The images for SAM 3 are those of its own processor, see `Sam3Inputs`.
        """
        sides = {"sam3": self.sam3_size, "clip": self.clip_size}
        return _prepare(frames, {name: sides[name] for name in backbones}, "whole_picture")
