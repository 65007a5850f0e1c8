"""Colour palette of AVSS's `labels_rgb`: conversion between class numbers and colours.

H x W is the size of a label map in pixels.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from avseg.export.png import davis_palette

#: Label of a colour that belongs to no class.
UNKNOWN = 255


def class_palette(count: int) -> NDArray[np.uint8]:
    """Return the colours of AVSS's `labels_rgb`, which are those of PASCAL VOC.

    Args:
        count: Number of classes, including the background, at most 256.

    Returns:
        Colour of each class, (count, 3) uint8 RGB.
    """
    return np.frombuffer(davis_palette(), np.uint8).reshape(256, 3)[:count]


def colours_to_labels(colours: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """Convert a map of colours to class numbers.

    Args:
        colours: Colour of each pixel, (H, W, 3) uint8 RGB.
        count: Number of classes, including the background, at most 255.

    Returns:
        Class numbers, (H, W) uint8; `UNKNOWN` for a colour that belongs to no class.
    """
    # The palette uses at most the three highest bits of each channel. These 9 bits are the index
    # into a table of class numbers, which is much faster than comparing with every colour.
    high = (colours >> 5).astype(np.uint16)
    places = high[..., 0] << 6 | high[..., 1] << 3 | high[..., 2]
    labels: NDArray[np.uint8] = _classes_by_high_bits(count)[places]
    # The five lower bits of a channel are 0 in every colour of the palette.
    labels[(colours & 0b11111).any(axis=-1)] = UNKNOWN
    return labels


@cache
def _classes_by_high_bits(count: int) -> NDArray[np.uint8]:
    high = (class_palette(count) >> 5).astype(np.uint16)
    classes = np.full(512, UNKNOWN, np.uint8)
    classes[high[:, 0] << 6 | high[:, 1] << 3 | high[:, 2]] = np.arange(count)
    return classes
