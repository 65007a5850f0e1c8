"""Scenes of SynthAVS: drawn objects (sprites) that move over random backgrounds, with exact masks.

R is the side of the square frame in pixels, N the number of objects, h x w the size of a sprite in
pixels.
"""

import json
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from avseg.errors import DatasetError

_ASSETS = resources.files("avseg.synthavs") / "assets"

Rgb = NDArray[np.uint8]


@dataclass(frozen=True)
class Sprite:
    """One drawing of an object.

    Attributes:
        category: Category of the object.
        style: Art style, the icon set that the drawing is from.
        pixels: Drawing cropped to its visible pixels, (h, w, 4) uint8 RGBA, not premultiplied. In a
            one-colour style, the colour channels contain the amount of ink instead of a colour.
        ink: Whether the style has one colour.
    """

    category: str
    style: str
    pixels: NDArray[np.uint8]
    ink: bool


@cache
def load_style(style: str) -> dict[str, tuple[Sprite, ...]]:
    """Load the drawings of one art style.

    Args:
        style: Name of the style, for instance "noto".

    Returns:
        Drawings by category, without categories that the style lacks.

    Raises:
        DatasetError: If the style is unknown.
    """
    index = json.loads((_ASSETS / "sprites.json").read_text())
    if style not in index["styles"]:
        raise DatasetError(f"unknown art style {style!r}; choose from {sorted(index['styles'])}.")
    entry = index["styles"][style]
    with (_ASSETS / f"{style}.png").open("rb") as file:
        sheet = np.asarray(Image.open(file).convert("RGBA"))
    # The drawings of a style are the cells of one image, row by row.
    side = index["cell"]
    columns = sheet.shape[1] // side
    sprites: dict[str, list[Sprite]] = {}
    for i, (category, _) in enumerate(entry["cells"]):
        y, x = i // columns * side, i % columns * side
        pixels = _crop(sheet[y : y + side, x : x + side])
        sprites.setdefault(category, []).append(Sprite(category, style, pixels, entry["ink"]))
    return {category: tuple(drawings) for category, drawings in sprites.items()}


def choose_sprite(rng: np.random.Generator, category: str, styles: tuple[str, ...]) -> Sprite:
    """Choose a random style that has the category, then one of its drawings.

    Args:
        rng: Random generator.
        category: Category of the object.
        styles: Styles to choose from.

    Returns:
        The drawing.

    Raises:
        DatasetError: If no style has the category.
    """
    having = [style for style in styles if category in load_style(style)]
    if not having:
        raise DatasetError(
            f"none of the styles {styles} has a drawing of {category!r}; add a style."
        )
    drawings = load_style(having[rng.integers(len(having))])[category]
    return drawings[rng.integers(len(drawings))]


@dataclass(frozen=True)
class MovingObject:
    """Drawing with its motion; lengths are relative to R, angles in degrees.

    Attributes:
        category: Category of the object.
        pixels: Coloured drawing, (h, w, 4) uint8 RGBA.
        size: Longer side at time 0.
        growth: Relative growth of the size per second.
        position: Centre (x, y) at time 0.
        velocity: Motion of the centre (x, y) per second; the centre is reflected at the margin.
        angle: Counter-clockwise rotation at time 0.
        spin: Rotation per second.
        shear: Horizontal shear.
    """

    category: str
    pixels: Rgb
    size: float
    growth: float
    position: tuple[float, float]
    velocity: tuple[float, float]
    angle: float
    spin: float
    shear: float


@dataclass(frozen=True)
class Scene:
    """Background with moving objects.

    Attributes:
        background: Background, (R, R, 3) uint8 RGB.
        objects: Objects from back to front.
    """

    background: Rgb
    objects: tuple[MovingObject, ...]

    @property
    def side(self) -> int:
        """R, side of the square frames in pixels."""
        return len(self.background)

    def render(self, time_s: float) -> tuple[Rgb, NDArray[np.uint8]]:
        """Render one moment of the scene.

        Args:
            time_s: Time since the start of the scene, in seconds.

        Returns:
            Frame, (R, R, 3) uint8 RGB, and object numbers, (R, R) uint8: 1 to N for the foremost
            object that covers at least half of the pixel, 0 for the background.
        """
        frame = self.background.astype(np.float32)
        labels = np.zeros(frame.shape[:2], np.uint8)
        for number, moving in enumerate(self.objects, start=1):
            _paint(frame, labels, moving, number, time_s)
        return np.clip(frame, 0, 255).astype(np.uint8), labels


def place_object(
    rng: np.random.Generator,
    sprite: Sprite,
    position: tuple[float, float],
    size_range: tuple[float, float],
) -> MovingObject:
    """Create an object from a drawing, with random colours and motion.

    Args:
        rng: Random generator.
        sprite: The drawing.
        position: Centre (x, y) at time 0, relative to R.
        size_range: Range of the longer side, relative to R.

    Returns:
        The object.
    """
    pixels = colour_ink(rng, sprite.pixels) if sprite.ink else recolour(rng, sprite.pixels)
    if rng.random() < 0.5:
        pixels = np.ascontiguousarray(pixels[:, ::-1])  # mirrored
    velocity = rng.normal(0, 0.05, 2)
    return MovingObject(
        category=sprite.category,
        pixels=pixels,
        size=float(rng.uniform(*size_range)),
        growth=float(rng.normal(0, 0.04)),
        position=position,
        velocity=(float(velocity[0]), float(velocity[1])),
        angle=float(rng.normal(0, 10)),
        spin=float(rng.normal(0, 4)),
        shear=float(rng.normal(0, 0.08)),
    )


def spread_positions(rng: np.random.Generator, count: int) -> list[tuple[float, float]]:
    """Draw random centres at a distance from each other, so that objects rarely hide each other.

    Args:
        rng: Random generator.
        count: Number of centres, at least 1.

    Returns:
        Centres (x, y), relative to R.
    """
    # Of up to 12 draws, the one with the largest smallest distance; above 0.45 it is good enough.
    # The draw before the loop is always replaced; removing it would change the clips of all seeds.
    best, best_distance = rng.uniform(0.17, 0.83, (count, 2)), -1.0
    for _ in range(12):
        centres = rng.uniform(0.17, 0.83, (count, 2))
        # 9 on the diagonal excludes the distance of a centre to itself.
        gaps = np.linalg.norm(centres[:, None] - centres[None], axis=-1) + 9 * np.eye(count)
        if gaps.min() > best_distance:
            best, best_distance = centres, float(gaps.min())
        if best_distance > 0.45:
            break
    return [(float(x), float(y)) for x, y in best]


def recolour(rng: np.random.Generator, pixels: Rgb) -> Rgb:
    """Change hue, saturation, contrast and brightness, so that colour does not reveal the category.

    Args:
        rng: Random generator.
        pixels: Drawing, (h, w, 4) uint8 RGBA.

    Returns:
        Drawing with other colours, (h, w, 4) uint8 RGBA.
    """
    colour = pixels[..., :3].astype(np.float32)
    grey = colour.mean(-1, keepdims=True)
    saturation = 0.0 if rng.random() < 0.08 else rng.uniform(0.5, 1.3)
    spread = 1.2 if rng.random() < 0.25 else 0.3  # standard deviation of the hue, in radians
    colour = grey + (colour - grey) * saturation
    colour = colour @ _hue_rotation(float(rng.normal(0, spread)))
    if rng.random() < 0.06:
        colour = 255 - colour  # a negative
    colour = (colour - 128) * rng.uniform(0.75, 1.2) + 128 + rng.uniform(-25, 25)
    return np.dstack([np.clip(colour, 0, 255).astype(np.uint8), pixels[..., 3]])


def colour_ink(rng: np.random.Generator, pixels: Rgb) -> Rgb:
    """Colour a one-colour drawing: one random colour for its ink, another for the area without.

    Args:
        rng: Random generator.
        pixels: Drawing with the amount of ink in the colour channels, and the silhouette in the
            alpha channel, (h, w, 4) uint8.

    Returns:
        Coloured drawing, (h, w, 4) uint8 RGBA.
    """
    ink_colour, free_colour = rng.uniform(0, 255, (2, 3))
    if abs(ink_colour.mean() - free_colour.mean()) < 60:
        free_colour = 255 - ink_colour  # of similar brightness, so the complement is used
    ink = pixels[..., :1].astype(np.float32) / 255
    colour = ink * ink_colour + (1 - ink) * free_colour
    return np.dstack([colour.astype(np.uint8), pixels[..., 3]])


def make_background(rng: np.random.Generator, side: int) -> Rgb:
    """Draw a random textured background with shapes that belong to no category.

    Args:
        rng: Random generator.
        side: R, in pixels.

    Returns:
        Background, (R, R, 3) uint8 RGB.
    """
    base = rng.uniform(30, 225, 3)
    canvas = np.broadcast_to(base, (side, side, 3)).astype(np.float32)
    canvas = canvas + _PATTERNS[rng.integers(len(_PATTERNS))](rng, side, base)
    canvas += _soft_noise(rng, side, max(4, side // 10), rng.uniform(4, 22))
    # The same noise in all channels: brightness noise, like that of a camera.
    canvas += rng.standard_normal((side, side, 1), np.float32) * rng.uniform(2, 10)
    for _ in range(rng.integers(0, 7)):
        _add_clutter(rng, canvas)
    return np.clip(canvas, 0, 255).astype(np.uint8)


class Drawable:
    """Drawing prepared for transformation: premultiplied by its alpha, at full and half size.

    Args:
        pixels: Drawing, (h, w, 4) uint8 RGBA.
    """

    def __init__(self, pixels: Rgb) -> None:
        # A product of two bytes needs 16 bits. Premultiplied colours interpolate without dark
        # edges.
        premultiplied = pixels.astype(np.uint16)
        premultiplied[..., :3] = premultiplied[..., :3] * premultiplied[..., 3:] // 255
        self.height, self.width = pixels.shape[:2]
        # CMYK stands for four plain channels: Pillow would premultiply RGBA again.
        self._whole = Image.frombytes(
            "CMYK", (self.width, self.height), premultiplied.astype(np.uint8).tobytes()
        )

    @cached_property
    def _half(self) -> Image.Image:
        return self._whole.reduce(2)

    def warp(
        self,
        forward: NDArray[np.float64],
        centre: tuple[float, float],
        side: int,
        margin: int = 0,
    ) -> tuple[NDArray[np.float32], int, int] | None:
        """Transform the drawing into its bounding box in the frame.

        Args:
            forward: Matrix from offsets in the drawing to offsets in the frame, both in pixels from
                the centre of the drawing, (2, 2).
            centre: Centre (x, y) in the frame, in pixels.
            side: R, in pixels.
            margin: Width of a margin around the frame that counts as a part of it, in pixels.

        Returns:
            Transformed drawing, premultiplied by its alpha, (box height, box width, 4) float32 in
            [0, 255], with the top row and the left column of its box; None if the box is outside
            the frame and its margin.
        """
        x, y = centre
        reach = np.abs(forward) @ (self.width / 2, self.height / 2) + 1
        left, top = max(-margin, int(x - reach[0])), max(-margin, int(y - reach[1]))
        right = min(side + margin, int(x + reach[0]) + 1)
        bottom = min(side + margin, int(y + reach[1]) + 1)
        if right <= left or bottom <= top:
            return None
        # Pillow needs the inverse map, from a pixel of the box to the drawing, as 6 coefficients.
        inverse = np.linalg.inv(forward)
        shift = inverse @ (left - x, top - y) + (self.width / 2, self.height / 2)
        coefficients = (*inverse[0], shift[0], *inverse[1], shift[1])
        drawing = self._whole
        # Bilinear interpolation reads 2 x 2 pixels, so a strong reduction would skip pixels.
        if np.sqrt(np.linalg.det(forward)) <= 0.6:
            drawing = self._half
            coefficients = tuple(value / 2 for value in coefficients)
        patch = drawing.transform(
            (right - left, bottom - top),
            Image.Transform.AFFINE,
            coefficients,
            Image.Resampling.BILINEAR,
        )
        return np.asarray(patch, np.float32), top, left


def _crop(cell: NDArray[np.uint8]) -> NDArray[np.uint8]:
    # Pixels of almost no opacity, at the edge of a drawing, are invisible.
    ys, xs = np.nonzero(cell[..., 3] > 8)
    return cell[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]


def _plain(rng: np.random.Generator, side: int, base: NDArray[np.float64]) -> NDArray[np.float32]:
    del rng, base
    return np.zeros((side, side, 3), np.float32)


def _clouds(rng: np.random.Generator, side: int, base: NDArray[np.float64]) -> NDArray[np.float32]:
    del base
    return _soft_noise(rng, side, side // 3, 40)


def _gradient(
    rng: np.random.Generator, side: int, base: NDArray[np.float64]
) -> NDArray[np.float32]:
    along = _ramp(rng, side)
    along = (along - along.min()) / np.ptp(along)
    gradient: NDArray[np.float32] = along[..., None] * np.float32(rng.uniform(30, 225, 3) - base)
    return gradient


def _stripes(rng: np.random.Generator, side: int, base: NDArray[np.float64]) -> NDArray[np.float32]:
    del base
    waves = np.sin(rng.uniform(6, 50) * _ramp(rng, side))
    stripes: NDArray[np.float32] = waves[..., None] * np.float32(rng.uniform(-45, 45, 3))
    return stripes


def _horizon(rng: np.random.Generator, side: int, base: NDArray[np.float64]) -> NDArray[np.float32]:
    offset = _soft_noise(rng, side, side // 4, 18)
    offset[int(rng.uniform(0.35, 0.8) * side) :] += (rng.uniform(40, 200, 3) - base).astype(
        np.float32
    )
    return offset


#: Background patterns; each returns an offset to the base colour, (R, R, 3).
_PATTERNS = (_plain, _clouds, _gradient, _stripes, _horizon)


def _ramp(rng: np.random.Generator, side: int) -> NDArray[np.float32]:
    """Draw a linear ramp in a random direction, (R, R)."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:side, :side].astype(np.float32) / side
    ramp: NDArray[np.float32] = x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))
    return ramp


def _soft_noise(
    rng: np.random.Generator, side: int, grain: int, amplitude: float
) -> NDArray[np.float32]:
    """Draw smooth noise: random values on a coarse grid, interpolated bilinearly, (R, R, 3)."""
    cells = -(-side // grain) + 1
    coarse = rng.standard_normal((3, cells, cells)).astype(np.float32) * np.float32(amplitude)
    size = (cells * grain, cells * grain)
    fine = [Image.fromarray(c).resize(size, Image.Resampling.BILINEAR) for c in coarse]
    return np.stack([np.asarray(c)[:side, :side] for c in fine], axis=-1)


def _add_clutter(rng: np.random.Generator, canvas: NDArray[np.float32]) -> None:
    """Draw a random ellipse or rectangle on a background, in place."""
    side = len(canvas)
    centre = rng.uniform(0, side, 2)
    radii = rng.uniform(0.03, 0.2, 2) * side
    low = np.maximum(0, (centre - radii).astype(int))
    high = np.minimum(side, (centre + radii).astype(int))
    if (high <= low).any():
        return
    inside: NDArray[np.bool_] = np.ones((high - low)[::-1], bool)
    if rng.random() < 0.5:
        y, x = np.mgrid[low[1] : high[1], low[0] : high[0]]
        inside = ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2 < 1
    opacity = (rng.uniform(0.5, 1) * inside)[..., None]
    region = canvas[low[1] : high[1], low[0] : high[0]]
    region += opacity * (rng.uniform(0, 255, 3) - region)


def _hue_rotation(angle: float) -> NDArray[np.float32]:
    """Return the matrix that rotates RGB colours about the grey axis by an angle in radians."""
    # Rodrigues' formula for the axis (1, 1, 1) / sqrt(3).
    c, s = np.cos(angle), np.sin(angle) / np.sqrt(3)
    even = (1 - c) / 3
    return np.array(
        [
            [c + even, even - s, even + s],
            [even + s, c + even, even - s],
            [even - s, even + s, c + even],
        ],
        np.float32,
    )


def _bounce(centre: float) -> float:
    """Reflect a coordinate at a margin of 0.08 of the frame, repeatedly if needed."""
    low, high = 0.08, 0.92
    # The path to the far margin and back is one period; its second half is mirrored.
    distance = (centre - low) % (2 * (high - low))
    return low + min(distance, 2 * (high - low) - distance)


def _paint(
    frame: NDArray[np.float32],
    labels: NDArray[np.uint8],
    moving: MovingObject,
    number: int,
    time_s: float,
) -> None:
    """Paint one object on a frame and its number on the labels, in place."""
    side = len(frame)
    height, width = moving.pixels.shape[:2]
    # An object that shrinks keeps at least 30 % of its size.
    scale = moving.size * max(0.3, 1 + moving.growth * time_s) * side / max(height, width)
    angle = np.deg2rad(moving.angle + moving.spin * time_s)
    # Matrix from offsets in the drawing to offsets in the frame, both from the object's centre.
    forward = (
        scale
        * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        @ np.array([[1.0, moving.shear], [0.0, 1.0]])
    )
    x, y = (
        _bounce(p + v * time_s) * side
        for p, v in zip(moving.position, moving.velocity, strict=True)
    )
    warped = Drawable(moving.pixels).warp(forward, (x, y), side)
    if warped is None:
        return
    patch, top, left = warped
    rows, columns = slice(top, top + patch.shape[0]), slice(left, left + patch.shape[1])
    alpha = patch[..., 3:] / 255
    region = frame[rows, columns]
    region += patch[..., :3] - alpha * region  # the patch is premultiplied
    labels[rows, columns][patch[..., 3] >= 127.5] = number
