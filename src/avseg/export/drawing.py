"""How a mask looks on a picture: what sounds is lit and outlined, the rest steps back.

Pictures are drawn on as they come from the decoder, in 8-bit Y'CbCr with halved chroma (I420).
So a pixel that nothing is drawn on keeps its value, whatever the video's colour standard, and a
picture costs half of what it would in RGB.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

Plane = npt.NDArray[np.uint8]
Map = npt.NDArray[np.float32]
#: Rows and columns of a picture.
Part = tuple[slice, slice]


@dataclass(frozen=True)
class Colour:
    """A colour in limited-range Y'CbCr (BT.709): luma 16-235, chroma 16-240 around 128."""

    luma: float
    blue: float
    red: float

    @classmethod
    def from_rgb(cls, red: int, green: int, blue: int) -> "Colour":
        """Convert from RGB in [0, 255]."""
        luma = (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255
        return cls(
            luma=16 + 219 * luma,
            blue=128 + 224 * (blue / 255 - luma) / 1.8556,
            red=128 + 224 * (red / 255 - luma) / 1.5748,
        )


@dataclass(frozen=True)
class Tint:
    """The colours of one source: of the light on it and around it, and of its outline."""

    light: Colour
    line: Colour


SHADE = Colour.from_rgb(8, 10, 20)
LIGHT = Colour.from_rgb(255, 196, 64)
EDGE = Colour.from_rgb(30, 16, 0)
TRACK = Colour.from_rgb(24, 24, 28)
PAST = Colour.from_rgb(120, 120, 128)

#: Of source 1, 2, ..., and again from the first; what sounds without a name has the first. Told
#: apart by most colour-blind eyes too (after Okabe and Ito), and bright enough to light a picture.
TINTS = (
    Tint(LIGHT, Colour.from_rgb(255, 226, 130)),
    Tint(Colour.from_rgb(70, 180, 255), Colour.from_rgb(160, 218, 255)),
    Tint(Colour.from_rgb(255, 110, 190), Colour.from_rgb(255, 178, 222)),
    Tint(Colour.from_rgb(40, 220, 150), Colour.from_rgb(150, 240, 205)),
    Tint(Colour.from_rgb(255, 110, 50), Colour.from_rgb(255, 180, 145)),
    Tint(Colour.from_rgb(175, 130, 255), Colour.from_rgb(212, 188, 255)),
    Tint(Colour.from_rgb(240, 240, 90), Colour.from_rgb(250, 250, 180)),
    Tint(Colour.from_rgb(235, 235, 245), Colour.from_rgb(255, 255, 255)),
)

#: How much of each colour covers the picture where it is strongest.
SHADE_OPACITY = 0.45
LIGHT_OPACITY = 0.12
GLOW_OPACITY = 0.55
#: How far the light of a mask reaches, as the standard deviation of a blur, in 360ths of the
#: picture's shorter side.
GLOW_RADIUS = 14


@dataclass(frozen=True)
class Canvas:
    """One I420 picture of even height H and width W, to be drawn on in place.

    Attributes:
        luma: (H, W) uint8.
        blue: Blue-difference chroma, (H / 2, W / 2) uint8.
        red: Red-difference chroma, (H / 2, W / 2) uint8.
        packed: The memory the three share, one after the other, (H * 3 / 2, W) uint8.
    """

    luma: Plane
    blue: Plane
    red: Plane
    packed: Plane

    @classmethod
    def blank(cls, height: int, width: int) -> "Canvas":
        """Make room for a picture of even height and width, in pixels."""
        pixels, chroma = height * width, height * width // 4
        memory = np.empty(pixels + 2 * chroma, dtype=np.uint8)
        half = (height // 2, width // 2)
        return cls(
            luma=memory[:pixels].reshape(height, width),
            blue=memory[pixels : pixels + chroma].reshape(half),
            red=memory[pixels + chroma :].reshape(half),
            packed=memory.reshape(height * 3 // 2, width),
        )


class Overprint:
    """Layers of colour flattened into a gain and an offset for each pixel of a part of a picture.

    Args:
        layers: How much of which colour lies where, (h, w) in [0, 1], from the bottom up; h and w
            even.
    """

    def __init__(self, layers: Sequence[tuple[Map, Colour]]) -> None:
        halved = [(_halve(opacity), colour) for opacity, colour in layers]
        self._luma = _flatten([(opacity, colour.luma) for opacity, colour in layers])
        self._blue = _flatten([(opacity, colour.blue) for opacity, colour in halved])
        self._red = _flatten([(opacity, colour.red) for opacity, colour in halved])

    def draw(self, canvas: Canvas, part: Part) -> None:
        """Draw the layers on a part of a picture, in place.

        Args:
            canvas: What to draw on.
            part: Rows and columns, of the layers' size, with even bounds.
        """
        half = _chroma(part)
        canvas.luma[part] = _blend(canvas.luma[part], *self._luma)
        canvas.blue[half] = _blend(canvas.blue[half], *self._blue)
        canvas.red[half] = _blend(canvas.red[half], *self._red)


def tint_of(number: int) -> Tint:
    """Return the colours of a source by its number, from 1."""
    return TINTS[(number - 1) % len(TINTS)]


class Look:
    """The masks of one frame, ready to be drawn on any number of pictures.

    The layers are flattened into a gain and an offset for each pixel, so that drawing is one
    multiplication and one addition, however many pictures show the same masks. Out of reach of the
    masks there is only shade, the same for every pixel.

    Args:
        labels: The sounding objects, (H, W) bool, or the number of each, uint8; H and W even.
    """

    def __init__(self, labels: npt.NDArray[np.bool_ | np.uint8]) -> None:
        # Widths follow the picture's size, so that the look is the same in any resolution.
        unit = max(1.0, min(labels.shape) / 360)
        self._near = _near(labels, reach=round(3 * GLOW_RADIUS * unit))
        self._print = Overprint(_layers(labels[self._near].astype(np.uint8), unit))

    def draw(self, canvas: Canvas) -> None:
        """Draw the masks on a picture of their size, in place.

        Args:
            canvas: What to draw on.
        """
        half = _chroma(self._near)
        for plane, near, shade in (
            (canvas.luma, self._near, SHADE.luma),
            (canvas.blue, half, SHADE.blue),
            (canvas.red, half, SHADE.red),
        ):
            nearby = plane[near].copy()
            np.take(_shaded(shade), plane, out=plane)
            plane[near] = nearby
        self._print.draw(canvas, self._near)


def _layers(labels: Plane, unit: float) -> list[tuple[Map, Colour]]:
    """Return how much of which colour lies where, from the bottom up."""
    numbers = np.flatnonzero(np.bincount(labels.ravel(), minlength=2)[1:]) + 1
    solids = [
        Image.fromarray((labels == number).astype(np.uint8) * np.uint8(255)) for number in numbers
    ]
    tints = [tint_of(number) for number in numbers.tolist()]
    insides = [_blurred(solid, 0.9 * unit) for solid in solids]
    outside = 1 - np.maximum.reduce(insides)
    layers = [(SHADE_OPACITY * outside, SHADE)]
    for solid, tint in zip(solids, tints, strict=True):
        layers.append((GLOW_OPACITY * (_blurred(solid, GLOW_RADIUS * unit) * outside), tint.light))
    for solid, inside, tint in zip(solids, insides, tints, strict=True):
        layers.append((LIGHT_OPACITY * inside, tint.light))
        layers.append((0.5 * _contour(_blurred(solid, 2.2 * unit)), EDGE))
        layers.append((_contour(inside), tint.line))
    return layers


class Timeline:
    """A thin strip along the bottom edge: how far the video is, and where something sounded.

    Args:
        height: Of the picture, in pixels, even.
        width: Of the picture, in pixels, even.
    """

    _TO_COME, _SILENT, _SOUNDING = range(3)
    #: Luma and chroma of each state of a column, (3, 3).
    _COLOURS = np.array([astuple(TRACK), astuple(PAST), astuple(LIGHT)]).round().astype(np.uint8)

    def __init__(self, height: int, width: int) -> None:
        self._thickness = 2 * max(2, round(height / 180))
        self._columns = np.full(width, self._TO_COME, dtype=np.intp)
        self._reached = 0

    def advance(self, progress: float, sounding: bool) -> None:
        """Go on to the picture that is shown next.

        Args:
            progress: Where the picture lies in the video, from 0 at its start to 1 at its end.
            sounding: Whether an object is lit in it.
        """
        reached = round(min(max(progress, 0.0), 1.0) * len(self._columns))
        passed = slice(self._reached, max(reached, self._reached))
        self._columns[passed] = self._SOUNDING if sounding else self._SILENT
        self._reached = passed.stop

    def draw(self, canvas: Canvas) -> None:
        """Draw the strip on a picture, in place.

        Args:
            canvas: Of the size the strip was laid out for.
        """
        rows, half_rows = self._thickness, self._thickness // 2
        half_columns = self._columns[::2]
        canvas.luma[-rows:] = self._COLOURS[self._columns, 0]
        canvas.blue[-half_rows:] = self._COLOURS[half_columns, 1]
        canvas.red[-half_rows:] = self._COLOURS[half_columns, 2]


def _chroma(part: Part) -> Part:
    """Return the rows and columns of a part in planes of half the size."""
    rows, columns = (slice(side.start // 2, side.stop // 2) for side in part)
    return rows, columns


def _near(mask: npt.NDArray[np.bool_ | np.uint8], reach: int) -> Part:
    """Return the rows and columns, even, that hold a mask and what is within its reach."""
    sides = []
    for axis, length in enumerate(mask.shape):
        where = np.flatnonzero(mask.any(axis=1 - axis))
        if not len(where):
            return slice(0, 0), slice(0, 0)
        first, last = max(0, where[0] - reach), min(length, where[-1] + 1 + reach)
        sides.append(slice(int(first) // 2 * 2, -(-int(last) // 2) * 2))
    return sides[0], sides[1]


@cache
def _shaded(value: float) -> Plane:
    """Return what becomes of each value of a plane under the shade alone, (256,) uint8."""
    gain, offset = _flatten([(np.full(256, SHADE_OPACITY, np.float32), value)])
    return _blend(np.arange(256, dtype=np.uint8), gain, offset)


def _blurred(solid: Image.Image, radius: float) -> Map:
    blurred = solid.filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(blurred, dtype=np.float32) / np.float32(255)


def _contour(soft: Map) -> Map:
    # 1 where a softened mask crosses one half, falling to 0 on either side.
    line: Map = np.clip(1.6 - 3.2 * np.abs(soft - 0.5), 0, 1)
    return line


def _halve(opacity: Map) -> Map:
    height, width = opacity.shape
    halved: Map = opacity.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))
    return halved


def _flatten(layers: Sequence[tuple[Map, float]]) -> tuple[Map, Map]:
    gain: Map = np.ones_like(layers[0][0])
    offset: Map = np.zeros_like(gain)
    for opacity, value in layers:  # from the bottom up
        gain *= 1 - opacity
        offset *= 1 - opacity
        offset += opacity * np.float32(value)
    return gain, offset + np.float32(0.5)  # the half rounds when the sum is cut to uint8


def _blend(plane: Plane, gain: Map, offset: Map) -> Plane:
    return (plane * gain + offset).astype(np.uint8)
