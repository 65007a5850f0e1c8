"""Classes as colours: the palette of AVSS's `labels_rgb`.

H x W pixels.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from avseg.export.png import davis_palette

#: Class number of a colour that is no class.
UNKNOWN = 255


def class_palette(count: int) -> NDArray[np.uint8]:
    """Return the colours of AVSS's `labels_rgb`, those of PASCAL VOC.

    Args:
        count: How many classes, the background among them, at most 256.

    Returns:
        Colour of each class, (count, 3) uint8 RGB.
    """
    return np.frombuffer(davis_palette(), np.uint8).reshape(256, 3)[:count]


def colours_to_labels(colours: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """Turn colours into class numbers.

    Args:
        colours: Of each pixel, (H, W, 3) RGB.
        count: How many classes, the background among them, at most 255.

    Returns:
        Class numbers, (H, W); `UNKNOWN` where the colour is none of the classes'.
    """
    # The colours of 256 classes differ in the three highest bits of red, green and blue.
    high = (colours >> 5).astype(np.uint16)
    places = high[..., 0] << 6 | high[..., 1] << 3 | high[..., 2]
    labels: NDArray[np.uint8] = _classes_by_high_bits(count)[places]
    # All others are 0 in every class.
    labels[(colours & 0b11111).any(axis=-1)] = UNKNOWN
    return labels


@cache
def _classes_by_high_bits(count: int) -> NDArray[np.uint8]:
    high = (class_palette(count) >> 5).astype(np.uint16)
    classes = np.full(512, UNKNOWN, np.uint8)
    classes[high[:, 0] << 6 | high[:, 1] << 3 | high[:, 2]] = np.arange(count)
    return classes
