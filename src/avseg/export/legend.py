"""The names of what sounds, each beside its colour, in the top left corner of a picture."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from avseg.export.drawing import SHADE, Canvas, Colour, Map, Overprint, tint_of

INK = Colour.from_rgb(245, 245, 250)
PANEL_OPACITY = 0.6
#: Height of the letters as a share of the picture's shorter side, and at least, in pixels.
LETTER_SHARE = 1 / 28
LEAST_LETTER = 9

Box = tuple[int, int, int, int]


class Legend:
    """A panel that is drawn on any number of pictures; what does not fit into them is cut off.

    Args:
        names: Names by their source's number, which gives their colour; at least one.
        height: Of the picture, in pixels, even.
        width: Of the picture, in pixels, even.

    Attributes:
        names: As given.
    """

    def __init__(self, names: Mapping[int, str], height: int, width: int) -> None:
        self.names = dict(sorted(names.items()))
        letter = max(LEAST_LETTER, round(min(height, width) * LETTER_SHARE))
        font = ImageFont.load_default(letter)
        margin, row, swatch = letter // 2, round(1.5 * letter), round(0.8 * letter)
        longest = max(font.getlength(name) for name in names.values())
        size = (
            min(height, _even(len(names) * row + 2 * margin)),
            min(width, _even(round(longest) + swatch + 3 * margin)),
        )
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
        self._print = Overprint(layers)

    def draw(self, canvas: Canvas) -> None:
        """Draw the panel on a picture of the size it was laid out for, in place.

        Args:
            canvas: What to draw on.
        """
        height, width = self._size
        self._print.draw(canvas, (slice(0, height), slice(0, width)))


def _filled(size: tuple[int, int], box: Box) -> Map:
    left, top, right, bottom = box
    filled: npt.NDArray[np.float32] = np.zeros(size, np.float32)
    filled[top:bottom, left:right] = 1
    return filled


def _even(length: int) -> int:
    return length + length % 2
