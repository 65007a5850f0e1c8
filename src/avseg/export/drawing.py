"""Drawing of masks on video frames: sounding objects are lit and outlined, the background darkened.

Frames are drawn on in the decoder's own format, 8-bit Y'CbCr with chroma planes of half the height
and width (I420). So a pixel that nothing is drawn on keeps its value exactly, whatever the colour
standard of the video, and a frame needs half the memory of RGB.

H x W is the size of a frame, h x w that of a region of it, in pixels.
"""

from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from functools import cache, lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

Plane = npt.NDArray[np.uint8]
FloatPlane = npt.NDArray[np.float32]
#: Rows and columns of a rectangular region of a frame.
Region = tuple[slice, slice]


@dataclass(frozen=True)
class Colour:
    """Colour in limited-range Y'CbCr (BT.709): luma in [16, 235], chroma in [16, 240]."""

    luma: float
    blue: float
    red: float

    @classmethod
    def from_rgb(cls, red: int, green: int, blue: int) -> "Colour":
        """Convert from RGB in [0, 255]."""
        # BT.709 weights. The divisors scale the colour differences to [-0.5, 0.5].
        luma = (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255
        return cls(
            luma=16 + 219 * luma,
            blue=128 + 224 * (blue / 255 - luma) / 1.8556,
            red=128 + 224 * (red / 255 - luma) / 1.5748,
        )


@dataclass(frozen=True)
class Tint:
    """Colours of one source: the glow in and around its mask, and its outline."""

    light: Colour
    line: Colour


SHADE = Colour.from_rgb(8, 10, 20)
LIGHT = Colour.from_rgb(255, 196, 64)
EDGE = Colour.from_rgb(30, 16, 0)
TRACK = Colour.from_rgb(24, 24, 28)
PAST = Colour.from_rgb(120, 120, 128)

#: Colours of source 1, 2, ..., repeated after the last. Without named sources the first is used.
#: Based on the palette of Okabe and Ito, which most colour-blind people can distinguish, but
#: brighter, so that the glow is visible.
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

#: Largest opacity of each layer.
SHADE_OPACITY = 0.45
LIGHT_OPACITY = 0.12
GLOW_OPACITY = 0.55
#: Standard deviation of the blur that gives the glow, in 1/360 of the shorter side of the frame.
GLOW_RADIUS = 14

#: Pixels of a band of rows of which the layers are computed together. A layer takes four bytes per
#: pixel, so an 8K frame is drawn in several bands.
BAND_PIXELS = 2**21

#: Largest region near the masks of which the layers are kept for the next video frame, in pixels.
#: For a larger one they are computed again for each frame, in less memory.
KEPT_PIXELS = 2**22

#: Largest number of sources of which the mask and its blurred copy are kept while the layers of a
#: band are computed. For more sources they are computed again.
_KEPT_SOURCES = 8


@dataclass(frozen=True)
class Canvas:
    """One I420 frame of even height H and width W that is drawn on in place.

    Attributes:
        luma: Luma plane, (H, W) uint8.
        blue: Blue-difference chroma plane, (H / 2, W / 2) uint8.
        red: Red-difference chroma plane, (H / 2, W / 2) uint8.
        packed: Memory of the three planes, one after the other, (H * 3 / 2, W) uint8; PyAV takes
            frames in this form.
    """

    luma: Plane
    blue: Plane
    red: Plane
    packed: Plane

    @classmethod
    def blank(cls, height: int, width: int) -> "Canvas":
        """Allocate a frame of even height and width, in pixels."""
        pixels, chroma = height * width, height * width // 4
        memory = np.empty(pixels + 2 * chroma, dtype=np.uint8)
        half = (height // 2, width // 2)
        return cls(
            luma=memory[:pixels].reshape(height, width),
            blue=memory[pixels : pixels + chroma].reshape(half),
            red=memory[pixels + chroma :].reshape(half),
            packed=memory.reshape(height * 3 // 2, width),
        )


class FlatLayers:
    """Colour layers combined to one gain and one offset per pixel of a region.

    Drawing any number of layers is then one multiplication and one addition per pixel.

    Args:
        layers: Opacity in [0, 1], (h, w), and colour of each layer, from bottom to top; h and w are
            even. They are consumed one by one.
    """

    def __init__(self, layers: Iterable[tuple[FloatPlane, Colour]]) -> None:
        self._luma, self._blue, self._red = _FlatPlane(), _FlatPlane(), _FlatPlane()
        for opacity, colour in layers:
            halved = _halve(opacity)
            self._luma.add(opacity, colour.luma)
            self._blue.add(halved, colour.blue)
            self._red.add(halved, colour.red)

    def draw(self, canvas: Canvas, region: Region) -> None:
        """Draw the layers on a region of a frame, in place.

        Args:
            canvas: The frame.
            region: Rows and columns, (h, w) in size, with even bounds.
        """
        half = _chroma(region)
        canvas.luma[region] = self._luma.blend(canvas.luma[region])
        canvas.blue[half] = self._blue.blend(canvas.blue[half])
        canvas.red[half] = self._red.blend(canvas.red[half])


class _FlatPlane:
    """Gain and offset of each value of one plane."""

    def __init__(self) -> None:
        self._gain: FloatPlane | None = None
        self._offset: FloatPlane | None = None

    def add(self, opacity: FloatPlane, value: float) -> None:
        """Composite a layer above those that were added before."""
        if self._gain is None or self._offset is None:
            self._gain, self._offset = np.ones_like(opacity), np.zeros_like(opacity)
        self._gain *= 1 - opacity
        self._offset *= 1 - opacity
        self._offset += opacity * np.float32(value)

    def blend(self, plane: Plane) -> Plane:
        """Return the plane with the layers on it."""
        if self._gain is None or self._offset is None:  # no layers
            return plane
        # + 0.5: the conversion to uint8 truncates
        return (plane * self._gain + (self._offset + np.float32(0.5))).astype(np.uint8)


def tint_of(number: int) -> Tint:
    """Return the colours of the source with a number, counted from 1."""
    return TINTS[(number - 1) % len(TINTS)]


class MaskDrawing:
    """Masks of one segmented frame, prepared for drawing on any number of video frames.

    At a low segmentation rate many video frames show the same masks, so everything that depends on
    the masks only is computed once. Far from the masks there is only the shade, which is the same
    for every pixel.

    Args:
        labels: Mask of the sounding objects, (H, W) bool, or the number of the source of each
            pixel, (H, W) uint8; H and W are even.
    """

    def __init__(self, labels: npt.NDArray[np.bool_ | np.uint8]) -> None:
        # Line widths scale with the frame, so that overlays look alike at any resolution.
        self._unit = max(1.0, min(labels.shape) / 360)
        # Beyond three standard deviations the glow is below one grey level.
        self._near = _bounds(labels, margin=round(3 * GLOW_RADIUS * self._unit))
        near = labels[self._near]
        self._labels = near.astype(np.uint8)
        # Not `np.bincount`, which converts the labels to 8 bytes each.
        counts = Image.fromarray(self._labels).histogram() if self._labels.size else [0]
        self._numbers = np.flatnonzero(counts[1:]) + 1
        self._kept = list(self._bands()) if near.size <= KEPT_PIXELS else None

    def draw(self, canvas: Canvas) -> None:
        """Draw the masks on a frame of their size, in place.

        Args:
            canvas: The frame.
        """
        for region, flat in self._bands() if self._kept is None else self._kept:
            flat.draw(canvas, region)
        # The layers include the shade. Around them there is only the shade, by table look-up.
        half = _chroma(self._near)
        for plane, near, value in (
            (canvas.luma, self._near, SHADE.luma),
            (canvas.blue, half, SHADE.blue),
            (canvas.red, half, SHADE.red),
        ):
            for outside in _around(near):
                plane[outside] = _shaded(value)[plane[outside]]

    def _bands(self) -> Iterator[tuple[Region, FlatLayers]]:
        """Compute the layers of the region near the masks, band by band from top to bottom."""
        rows, columns = self._near
        height, width = self._labels.shape
        step = max(2, BAND_PIXELS // max(1, width) // 2 * 2)
        # A blur is three box filters, which together reach three standard deviations and a pixel
        # each. A band includes that many rows of its neighbours, so that its edges do not show.
        reach = 3 * (round(GLOW_RADIUS * self._unit) + 2)
        for top in range(0, height, step):
            bottom = min(height, top + step)
            first = max(0, top - reach)
            labels = self._labels[first : bottom + reach]
            within = slice(top - first, bottom - first)
            region = slice(rows.start + top, rows.start + bottom), columns
            yield region, FlatLayers(_layers(labels, self._numbers, within, self._unit))


def _layers(
    labels: Plane, numbers: npt.NDArray[np.intp], rows: slice, unit: float
) -> Iterator[tuple[FloatPlane, Colour]]:
    """Yield opacity and colour of all layers in some rows of a label map, from bottom to top."""

    # Kept for a few sources only: there may be 255, and the layers of a band have megabytes.
    @lru_cache(maxsize=_KEPT_SOURCES)
    def solid(number: int) -> Image.Image:
        return Image.fromarray((labels == number).astype(np.uint8) * np.uint8(255))

    @lru_cache(maxsize=_KEPT_SOURCES)
    def inside(number: int) -> FloatPlane:
        return _blurred(solid(number), 0.9 * unit, rows)

    listed: list[int] = numbers.tolist()
    covered = inside(listed[0])
    for number in listed[1:]:
        covered = np.maximum(covered, inside(number))
    outside = 1 - covered
    # Glows below all outlines, so that the glow of one source does not cover the outline of
    # another.
    yield SHADE_OPACITY * outside, SHADE
    for number in listed:
        glow = _blurred(solid(number), GLOW_RADIUS * unit, rows)
        yield GLOW_OPACITY * (glow * outside), tint_of(number).light
    for number in listed:
        yield LIGHT_OPACITY * inside(number), tint_of(number).light
        # A dark edge around the bright line keeps it visible on bright frames.
        yield 0.5 * _contour(_blurred(solid(number), 2.2 * unit, rows)), EDGE
        yield _contour(inside(number)), tint_of(number).line


class Timeline:
    """Progress bar along the bottom edge that also shows when an object was sounding.

    Args:
        height: Height of the frames, in pixels, even.
        width: Width of the frames, in pixels, even.
    """

    _TO_COME, _SILENT, _SOUNDING = range(3)
    #: Luma and both chroma values of each state of a column, (3, 3).
    _COLOURS = np.array([astuple(TRACK), astuple(PAST), astuple(LIGHT)]).round().astype(np.uint8)

    def __init__(self, height: int, width: int) -> None:
        self._thickness = 2 * max(2, round(height / 180))
        self._columns = np.full(width, self._TO_COME, dtype=np.intp)
        self._reached = 0

    def advance(self, progress: float, sounding: bool) -> None:
        """Extend the bar to the next frame.

        Args:
            progress: Position of the frame in the video, from 0 (start) to 1 (end).
            sounding: Whether the frame has a mask.
        """
        reached = round(min(max(progress, 0.0), 1.0) * len(self._columns))
        passed = slice(self._reached, max(reached, self._reached))
        self._columns[passed] = self._SOUNDING if sounding else self._SILENT
        self._reached = passed.stop

    def draw(self, canvas: Canvas) -> None:
        """Draw the bar on a frame, in place.

        Args:
            canvas: Frame of the height and width given at construction.
        """
        rows, half_rows = self._thickness, self._thickness // 2
        half_columns = self._columns[::2]
        canvas.luma[-rows:] = self._COLOURS[self._columns, 0]
        canvas.blue[-half_rows:] = self._COLOURS[half_columns, 1]
        canvas.red[-half_rows:] = self._COLOURS[half_columns, 2]


def _chroma(region: Region) -> Region:
    """Return a region in the chroma planes, which have half the height and width."""
    rows, columns = (slice(side.start // 2, side.stop // 2) for side in region)
    return rows, columns


def _around(region: Region) -> tuple[Region, ...]:
    """Return the four regions around a region: above, below, to the left and to the right of it."""
    rows, columns = region
    return (
        (slice(0, rows.start), slice(None)),
        (slice(rows.stop, None), slice(None)),
        (rows, slice(0, columns.start)),
        (rows, slice(columns.stop, None)),
    )


def _bounds(mask: npt.NDArray[np.bool_ | np.uint8], margin: int) -> Region:
    """Return the bounding box of a mask, enlarged by a margin and to even bounds."""
    sides = []
    for axis, length in enumerate(mask.shape):
        where = np.flatnonzero(mask.any(axis=1 - axis))
        if not len(where):
            return slice(0, 0), slice(0, 0)
        first, last = max(0, where[0] - margin), min(length, where[-1] + 1 + margin)
        sides.append(slice(int(first) // 2 * 2, -(-int(last) // 2) * 2))
    return sides[0], sides[1]


@cache
def _shaded(value: float) -> Plane:
    """Return a look-up table that applies the shade to each value of a plane, (256,) uint8."""
    flat = _FlatPlane()
    flat.add(np.full(256, SHADE_OPACITY, np.float32), value)
    return flat.blend(np.arange(256, dtype=np.uint8))


def _blurred(solid: Image.Image, radius: float, rows: slice) -> FloatPlane:
    blurred = np.asarray(solid.filter(ImageFilter.GaussianBlur(radius)))[rows]
    return blurred.astype(np.float32) / np.float32(255)


def _contour(soft: FloatPlane) -> FloatPlane:
    # 1 where a blurred mask crosses 0.5, that is on its outline, and linearly to 0 on both sides.
    line: FloatPlane = np.clip(1.6 - 3.2 * np.abs(soft - 0.5), 0, 1)
    return line


def _halve(opacity: FloatPlane) -> FloatPlane:
    height, width = opacity.shape
    halved: FloatPlane = opacity.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))
    return halved
