"""Frames as the networks were trained to see them: resized and normalised.

T frames of H x W pixels, S side of the square that a network takes.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

#: Mean and standard deviation of red, green and blue over 0..255, as each backbone was trained.
SAM_STATISTICS = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
BEIT3_STATISTICS = ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5))
CLIP_STATISTICS = (
    (122.7709383, 116.7460125, 104.09373615),
    (68.5005327, 66.6321579, 70.32316305),
)


def as_pixels(frames: npt.NDArray[np.uint8]) -> Tensor:
    """Turn frames (T, H, W, 3) into a tensor (T, 3, H, W) of the same uint8 values."""
    return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)


def resize(pixels: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """Resize frames as Pillow does, to one grey level.

    Args:
        pixels: (T, 3, H, W) uint8.
        size: Height and width to come, in pixels.
        mode: "bilinear" or "bicubic".

    Returns:
        Frames of that size, uint8.
    """
    if pixels.shape[-2:] == size:
        return pixels
    return F.interpolate(pixels, size=size, mode=mode, antialias=True)


def fitted_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Give the size of a frame whose longer side is made that of the square, as SAM does.

    Args:
        size: Height and width of the frame, in pixels.
        side: S.

    Returns:
        Height and width, the longer of them S.
    """
    scale = side / max(size)
    height, width = (int(length * scale + 0.5) for length in size)
    return height, width


def normalise(pixels: Tensor, statistics: tuple[tuple[float, ...], tuple[float, ...]]) -> Tensor:
    """Subtract a backbone's mean and divide by its standard deviation.

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
        keep_proportions: Whether they keep their proportions and are filled up to the square, to
            the right or below; they are squeezed into it otherwise.

    Returns:
        Normalised pixels, (T, 3, S, S) float32.
    """
    size = (side, side)
    if keep_proportions:
        size = fitted_size((pixels.shape[-2], pixels.shape[-1]), side)
    resized = normalise(resize(pixels, size, "bilinear"), SAM_STATISTICS)
    return F.pad(resized, (0, side - size[1], 0, side - size[0]))
