"""Legend of the named sources and their colours, in the top left corner of a frame."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from avseg.export.drawing import SHADE, Canvas, Colour, FlatLayers, FloatPlane, tint_of

INK = Colour.from_rgb(245, 245, 250)
PANEL_OPACITY = 0.6
#: Font size as a share of the shorter side of the frame, and its minimum in pixels.
FONT_SHARE = 1 / 28
MIN_FONT_SIZE = 9

Box = tuple[int, int, int, int]


class Legend:
    """Panel with the names of sources, drawn on any number of frames and cropped to their size.

    Args:
        names: Name of each source by its number, which selects the colour; at least one.
        height: Height of the frames, in pixels, even.
        width: Width of the frames, in pixels, even.

    Attributes:
        names: The given names, sorted by number.
    """

    def __init__(self, names: Mapping[int, str], height: int, width: int) -> None:
        self.names = dict(sorted(names.items()))
        font_size = max(MIN_FONT_SIZE, round(min(height, width) * FONT_SHARE))
        font = ImageFont.load_default(font_size)
        margin, row, swatch = font_size // 2, round(1.5 * font_size), round(0.8 * font_size)
        longest = max(font.getlength(name) for name in names.values())
        size = (
            min(height, _even(len(names) * row + 2 * margin)),
            min(width, _even(round(longest) + swatch + 3 * margin)),
        )
        # Text and swatches become opacity layers, so that they are drawn like masks, on I420
        # planes.
        ink = Image.new("L", size[::-1])
        draw = ImageDraw.Draw(ink)
        layers = [(np.full(size, PANEL_OPACITY, np.float32), SHADE)]
        for k, (number, name) in enumerate(self.names.items()):
            middle = margin + k * row + row // 2
            top = middle - swatch // 2
            box = (margin, top, margin + swatch, top + swatch)
            layers.append((_filled(size, box), tint_of(number).light))
            draw.text((2 * margin + swatch, middle), name, fill=255, font=font, anchor="lm")
        layers.append((np.asarray(ink, dtype=np.float32) / np.float32(255), INK))
        self._size = size
        self._flat = FlatLayers(layers)

    def draw(self, canvas: Canvas) -> None:
        """Draw the panel on a frame, in place.

        Args:
            canvas: Frame of the height and width given at construction.
        """
        height, width = self._size
        self._flat.draw(canvas, (slice(0, height), slice(0, width)))


def _filled(size: tuple[int, int], box: Box) -> FloatPlane:
    left, top, right, bottom = box
    filled: npt.NDArray[np.float32] = np.zeros(size, np.float32)
    filled[top:bottom, left:right] = 1
    return filled


def _even(length: int) -> int:
    return length + length % 2
