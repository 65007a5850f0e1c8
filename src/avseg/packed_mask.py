"""Masks compressed in memory: a video may have many sources, each with masks of its full size.

A byte for each pixel of 8K is 33 MB, a bit 4 MB. Compressed by zlib, masks of smooth outline take
0.1 MB, and masks of noise that the model made at 256 x 256 take 1 MB.

H x W is the size of a frame in pixels.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class PackedMask:
    """Mask of one frame, compressed without loss.

    Args:
        shape: Height and width, in pixels.
        content: One bit for each pixel, row by row, compressed with zlib; empty for an empty mask.
    """

    shape: tuple[int, int]
    content: bytes = b""

    @classmethod
    def pack(cls, mask: npt.NDArray[np.bool_]) -> PackedMask:
        """Compress a mask, (H, W) bool."""
        height, width = mask.shape
        content = zlib.compress(np.packbits(mask).tobytes(), level=1) if mask.any() else b""
        return cls((height, width), content)

    @property
    def is_empty(self) -> bool:
        """Whether no pixel is marked."""
        return not self.content

    def unpack(self) -> npt.NDArray[np.bool_]:
        """Decompress the mask to a new array, (H, W) bool."""
        if self.is_empty:
            return np.zeros(self.shape, np.bool_)
        bits = np.frombuffer(zlib.decompress(self.content), np.uint8)
        return np.unpackbits(bits, count=math.prod(self.shape)).view(np.bool_).reshape(self.shape)
