"""Conversion of frames to the inputs of image encoders: resizing and normalisation.

T frames of H x W pixels, S side of the square input of an encoder.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

#: Mean and standard deviation of red, green and blue over 0..255, from the training of each
#: backbone.
SAM_STATISTICS = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
BEIT3_STATISTICS = ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
CLIP_STATISTICS = (
    (122.7709383, 116.7460125, 104.09373615),
    (68.5005327, 66.6321579, 70.32316305),
)


def as_pixels(frames: npt.NDArray[np.uint8]) -> Tensor:
    """Convert frames (T, H, W, 3) to a tensor (T, 3, H, W) of the same uint8 values."""
    # A mirrored video has negative strides, which torch does not support.
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)


def resize(pixels: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """Resize frames with antialiasing; the result differs from Pillow's by at most one grey level.

    Args:
        pixels: (T, 3, H, W) uint8.
        size: New height and width, in pixels.
        mode: "bilinear" or "bicubic".

    Returns:
        Frames of the new size, uint8.
    """
    if pixels.shape[-2:] == size:
        return pixels
    return F.interpolate(pixels, size=size, mode=mode, antialias=True)


def fitted_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Compute the size of a frame that is scaled so that its longer side is S, as SAM does.

    Args:
        size: Height and width of the frame, in pixels.
        side: S.

    Returns:
        Height and width; the longer of them is S.
    """
    scale = side / max(size)
    # SAM rounds half up; Python's round() would round half to even.
    height, width = (int(length * scale + 0.5) for length in size)
    return height, width


def normalise(pixels: Tensor, statistics: tuple[tuple[float, ...], tuple[float, ...]]) -> Tensor:
    """Subtract the mean of a backbone's training images and divide by their standard deviation.

    Args:
        pixels: RGB in [0, 255], (T, 3, H, W), of any dtype and on any device.
        statistics: Mean and standard deviation of red, green and blue, over 0..255.

    Returns:
        Normalised pixels, (T, 3, H, W) float32.
    """
    mean, std = (torch.tensor(v, device=pixels.device).view(1, 3, 1, 1) for v in statistics)
    return (pixels.float() - mean) / std


def for_sam(pixels: Tensor, side: int, keep_proportions: bool) -> Tensor:
    """Resize and normalise frames for SAM.

    Args:
        pixels: (T, 3, H, W) uint8.
        side: S.
        keep_proportions: Whether to keep the proportions of a frame and pad it on the right or at
            the bottom; otherwise the frame is stretched to the square.

    Returns:
        Normalised pixels, (T, 3, S, S) float32.
    """
    size = (side, side)
    if keep_proportions:
        size = fitted_size((pixels.shape[-2], pixels.shape[-1]), side)
    resized = normalise(resize(pixels, size, "bilinear"), SAM_STATISTICS)
    # The padding is added after the normalisation, so its 0 stands for the mean colour, as in SAM.
    return F.pad(resized, (0, side - size[1], 0, side - size[0]))
