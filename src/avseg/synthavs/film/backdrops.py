"""Backdrops of film-like scenes: rooms, landscapes, streets, lights out of focus, patterns.

B is the side of a backdrop in pixels. A backdrop is larger than the frame, so that the camera can
move and zoom out.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from avseg.synthavs.scenes import make_background

#: B. Enough for a soft picture at 256 pixels; a backdrop of film is seldom in focus.
SIDE = 384

#: Part of the world that a backdrop covers, from LOW to 1 - LOW in both directions.
LOW = -0.35

Canvas = NDArray[np.float32]


def draw_backdrop(rng: np.random.Generator) -> Image.Image:
    """Draw a random backdrop that shows no object of any category.

    Args:
        rng: Random generator.

    Returns:
        Backdrop, an RGB picture of B x B pixels.
    """
    canvas = _KINDS[rng.choice(len(_KINDS), p=_SHARES)](rng)
    # Uneven light over the whole backdrop.
    canvas *= 1 + rng.uniform(0.03, 0.15) * fractal(rng, 2.2)[..., None]
    image = Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    if rng.random() < 0.5:
        image = image.filter(ImageFilter.BoxBlur(float(rng.uniform(0.5, 5))))
    return image


def fractal(rng: np.random.Generator, steepness: float, side: int = SIDE) -> Canvas:
    """Draw a random texture whose spectrum falls with a power of the frequency.

    Args:
        rng: Random generator.
        steepness: Exponent of the fall: 1 gives fine grain, 3 gives clouds.
        side: Side of the texture in pixels.

    Returns:
        Texture of zero mean and a standard deviation of about 1, (side, side) float32.
    """
    cells = 96
    frequency = np.hypot(np.fft.fftfreq(cells)[:, None], np.fft.rfftfreq(cells)[None])
    frequency[0, 0] = np.inf
    spectrum = rng.standard_normal((2, *frequency.shape)) * frequency**-steepness
    coarse = np.fft.irfft2(spectrum[0] + 1j * spectrum[1], (cells, cells))
    coarse /= coarse.std()
    image = Image.fromarray(coarse.astype(np.float32))
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC))


def _colour(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a colour of a place, (3,): mostly muted, since bright colours are rare in film."""
    grey, colour = rng.uniform(25, 225), rng.uniform(25, 225, 3)
    saturation = rng.beta(1.2, 1.8)
    muted: NDArray[np.float64] = grey + saturation * (colour - grey)
    return muted


def _flat(rng: np.random.Generator) -> Canvas:
    return np.full((SIDE, SIDE, 3), _colour(rng), np.float32)


def _pattern(rng: np.random.Generator) -> Canvas:
    """Draw a backdrop of version 2: a plain pattern with clutter."""
    image = Image.fromarray(make_background(rng, 2 * SIDE // 3))
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR), np.float32)


def _texture(rng: np.random.Generator) -> Canvas:
    """Draw a material that fills the picture, such as grass, stone or cloth."""
    grain = fractal(rng, rng.uniform(0.6, 2.0))[..., None]
    return _flat(rng) + grain * (rng.uniform(8, 40) * rng.uniform(0.7, 1.3, 3)).astype(np.float32)


def _room(rng: np.random.Generator) -> Canvas:
    """Draw a wall above a floor, with furniture."""
    canvas = _flat(rng)
    line = int(rng.uniform(0.5, 0.85) * SIDE)
    if rng.random() < 0.4:  # wallpaper
        x = np.arange(SIDE, dtype=np.float32)
        canvas += (rng.uniform(4, 18) * np.sin(x / rng.uniform(2, 12)))[None, :, None]
    depth = np.linspace(0.75, 1.1, SIDE - line, dtype=np.float32)[:, None, None]
    floor = _colour(rng) + 12 * fractal(rng, 1.2)[line:, :, None]
    canvas[line:] = depth * floor
    canvas[line - 3 : line] *= 0.7  # skirting board
    for _ in range(rng.integers(1, 7)):
        width, height = (rng.uniform(0.06, 0.35, 2) * SIDE).astype(int)
        left = int(rng.uniform(-0.1, 1) * SIDE)
        # Furniture stands on the floor, pictures and windows are on the wall.
        stands = rng.random() < 0.6
        bottom = (
            line + int(rng.uniform(0, 0.1) * SIDE) if stands else int(rng.uniform(0.2, 1) * line)
        )
        _box(canvas, rng, max(0, left), max(0, bottom - height), left + width, bottom)
    return canvas


def _landscape(rng: np.random.Generator) -> Canvas:
    """Draw a sky, rows of hills, and a textured ground."""
    high, low = 30 + _colour(rng), 30 + _colour(rng)
    slope = np.linspace(0, 1, SIDE)[:, None]
    sky = (high + (low - high) * slope).astype(np.float32)
    canvas = np.repeat(sky[:, None], SIDE, axis=1)
    relief = fractal(rng, 2.0)
    canvas += np.float32(rng.uniform(3, 22)) * np.maximum(relief, 0)[..., None]
    grain = fractal(rng, 1.1)[..., None]
    rows = np.arange(SIDE)[:, None]
    height = rng.uniform(0.35, 0.6)
    for i in range(rng.integers(1, 4)):
        ridge = (height + 0.04 * relief[i * 60]) * SIDE
        top = max(0, int(ridge.min()))
        colour = _colour(rng).astype(np.float32) + np.float32(rng.uniform(4, 25)) * grain[top:]
        np.copyto(canvas[top:], colour, where=(rows[top:] > ridge)[..., None])
        height += rng.uniform(0.06, 0.18)
    return canvas


def _street(rng: np.random.Generator) -> Canvas:
    """Draw house fronts with windows above a road."""
    canvas = _flat(rng)
    ground = int(rng.uniform(0.55, 0.8) * SIDE)
    left = 0
    while left < SIDE:
        width = int(rng.uniform(0.12, 0.35) * SIDE)
        top = int(rng.uniform(0, 0.45) * SIDE)
        front = canvas[top:ground, left : left + width]
        front[:] = _colour(rng)
        pitch = int(rng.integers(14, 34))
        y, x = np.mgrid[: front.shape[0], : front.shape[1]]
        panes = (x % pitch > pitch * 0.4) & (y % pitch > pitch * rng.uniform(0.3, 0.6))
        front[panes] = _colour(rng)
        left += width
    road = rng.uniform(50, 150) + rng.uniform(3, 14) * fractal(rng, 0.9)[ground:, :, None]
    canvas[ground:] = road
    return canvas


def _lights(rng: np.random.Generator) -> Canvas:
    """Draw lights that are far out of focus."""
    canvas = 0.5 * _flat(rng) + 20 * fractal(rng, 2.5)[..., None]
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    radius = rng.uniform(0.02, 0.07) * SIDE
    for _ in range(rng.integers(8, 30)):
        cx, cy = rng.uniform(0, SIDE, 2)
        left, top = max(0, int(cx - radius)), max(0, int(cy - radius))
        part = (slice(top, int(cy + radius) + 1), slice(left, int(cx + radius) + 1))
        inside = np.hypot(x[part] - cx, y[part] - cy) < radius
        canvas[part] += inside[..., None] * rng.uniform(10, 90, 3).astype(np.float32)
    return canvas.astype(np.float32)


def _box(
    canvas: Canvas, rng: np.random.Generator, left: int, top: int, right: int, bottom: int
) -> None:
    """Paint a shaded rectangle with a darker edge, in place."""
    part = canvas[top:bottom, left:right]
    if part.size == 0:
        return
    shade = np.linspace(rng.uniform(0.8, 1.1), rng.uniform(0.7, 1.0), part.shape[1])
    colour = _colour(rng)
    part[:] = shade[None, :, None] * colour * 0.8
    part[2:-2, 2:-2] = shade[None, 2:-2, None] * colour


_Kind = Callable[[np.random.Generator], Canvas]

#: Kinds of backdrops, and the share of each.
_KINDS: tuple[_Kind, ...] = (_pattern, _texture, _room, _landscape, _street, _lights)
_SHARES = (0.15, 0.15, 0.25, 0.2, 0.15, 0.1)
