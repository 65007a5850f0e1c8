"""The look of a film: light, colour cast, vignette, lens blur, grain and compression.

R is the side of the frame in pixels.
"""

import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from avseg.synthavs.film.motion import Course, Wave
from avseg.synthavs.scenes import Rgb


@dataclass(frozen=True)
class Look:
    """Properties of the light and of the camera that do not change during a film.

    Attributes:
        gains: Factor of red, green and blue: the colour cast.
        gamma: Exponent of the tone curve; above 1 is darker.
        contrast: Factor of the distance from grey.
        light: Horizontal and vertical change of brightness over the frame, relative.
        vignette: Darkening of the corners, in [0, 1].
        exposure: Brightness over time, as a factor.
        blur: Radius of the lens blur, relative to R.
        grain: Standard deviation of the noise, in grey levels.
        grain_size: Size of the grains in pixels, 1 or 2.
        quality: Quality of the JPEG compression, in [1, 95]; None for none.
        shutter_s: Time that a frame is exposed, in seconds: the cause of motion blur.
        shadow: Darkness of the shadows, in [0, 1].
        shadow_offset: Horizontal and vertical offset of a shadow, relative to the object's size.
        seed: Seed of the grain.
    """

    gains: tuple[float, float, float]
    gamma: float
    contrast: float
    light: tuple[float, float]
    vignette: float
    exposure: Course
    blur: float
    grain: float
    grain_size: int
    quality: int | None
    shutter_s: float
    shadow: float
    shadow_offset: tuple[float, float]
    seed: int

    def develop(self, frame: NDArray[np.float32], time_s: float) -> Rgb:
        """Convert linear light to the picture of the camera.

        Args:
            frame: Painted frame, (3, R, R) float32 in grey levels; it is changed.
            time_s: Time of the frame in seconds; each time has its own grain.

        Returns:
            Picture, (R, R, 3) uint8 RGB.
        """
        side = frame.shape[-1]
        frame *= _illumination(side, self.light, self.vignette)
        levels = np.minimum(frame, 255, out=frame).astype(np.uint8)
        image = Image.merge("RGB", [Image.fromarray(plane) for plane in levels])
        image = image.point(self._curves(self.exposure.at(time_s)))
        if self.blur * side > 0.3:
            image = image.filter(ImageFilter.BoxBlur(self.blur * side))
        if self.grain:
            image = Image.fromarray(self._add_grain(np.asarray(image), time_s))
        return np.asarray(image if self.quality is None else _compress(image, self.quality))

    def _curves(self, exposure: float) -> list[int]:
        """Return the tone curves of red, green and blue, 256 values each."""
        level = np.minimum(1, exposure * np.arange(256) / 255) ** self.gamma
        curve = 255 * (0.5 + self.contrast * (level - 0.5))
        curves: list[int] = (
            np.rint(np.outer(self.gains, curve)).clip(0, 255).astype(int).ravel().tolist()
        )
        return curves

    def _add_grain(self, picture: Rgb, time_s: float) -> Rgb:
        """Add noise to a picture; each time has its own."""
        side = len(picture)
        tile = _grain(side, self.grain_size)
        # The offset in a large tile of noise is random: no two frames have the same grain.
        rng = np.random.default_rng((self.seed, round(abs(time_s) * 1e6)))
        top, left = rng.integers(0, len(tile) - side + 1, 2)
        noisy = tile[top : top + side, left : left + side] * np.float32(self.grain)
        noisy += picture
        return np.clip(noisy, 0, 255, out=noisy).astype(np.uint8)


def draw_look(rng: np.random.Generator) -> Look:
    """Draw a random look.

    Args:
        rng: Random generator.

    Returns:
        The look.
    """
    cast = np.exp2(rng.normal(0, 0.16, 3))
    cast /= cast.mean()
    exposure = float(rng.uniform(0.75, 1.2))
    angle = rng.uniform(0, 2 * np.pi)
    gradient = rng.uniform(0, 0.35)
    return Look(
        gains=(float(cast[0]), float(cast[1]), float(cast[2])),
        gamma=float(rng.uniform(0.75, 1.45)),
        contrast=float(rng.uniform(0.7, 1.15)),
        light=(float(gradient * np.cos(angle)), float(gradient * np.sin(angle))),
        vignette=float(rng.uniform(0, 0.45)),
        exposure=flicker(rng, exposure),
        blur=float(rng.uniform(0.002, 0.008)) if rng.random() < 0.35 else 0.0,
        grain=float(rng.uniform(0.5, 14)) if rng.random() < 0.85 else 0.0,
        grain_size=int(rng.integers(1, 3)),
        quality=int(rng.integers(25, 90)) if rng.random() < 0.45 else None,
        # A quarter of the frame time to all of it, at 25 frames per second.
        shutter_s=float(rng.uniform(0.01, 0.04)),
        shadow=float(rng.uniform(0.2, 0.6)) if rng.random() < 0.75 else 0.0,
        shadow_offset=(float(rng.uniform(-0.16, 0.16)), float(rng.uniform(0.02, 0.16))),
        seed=int(rng.integers(2**31)),
    )


def flicker(rng: np.random.Generator, mean: float) -> Course:
    """Draw the brightness over time: mostly steady, sometimes slowly changing or flickering.

    Args:
        rng: Random generator.
        mean: Mean brightness.

    Returns:
        The brightness as a factor.
    """
    kind = rng.random()
    if kind < 0.6:
        return Course(mean)
    period_s = rng.uniform(4, 12) if kind < 0.85 else rng.uniform(0.15, 0.6)
    depth = rng.uniform(0.05, 0.2) if kind < 0.85 else rng.uniform(0.02, 0.06)
    return Course(mean, (Wave(float(mean * depth), float(period_s), float(rng.random())),))


@lru_cache(maxsize=16)
def _illumination(side: int, light: tuple[float, float], vignette: float) -> NDArray[np.float32]:
    """Return the brightness of each pixel under an uneven light and a vignette, (R, R)."""
    along = np.linspace(-1, 1, side)
    slope = 1 + light[0] * along[None] + light[1] * along[:, None]
    corner = (along[None] ** 2 + along[:, None] ** 2) / 2
    return (slope * (1 - vignette * corner**1.5)).astype(np.float32)


@lru_cache(maxsize=4)
def _grain(side: int, size: int) -> NDArray[np.float32]:
    """Return a tile of unit noise, larger than a frame by 192 pixels, mostly of brightness."""
    rng = np.random.default_rng(0)
    extent = side + 192
    cells = -(-extent // size)
    noise = 0.8 * rng.standard_normal((cells, cells, 1)) + 0.6 * rng.standard_normal(
        (cells, cells, 3)
    )
    channels = [
        Image.fromarray(channel.astype(np.float32)).resize(
            (cells * size, cells * size), Image.Resampling.BILINEAR
        )
        for channel in np.moveaxis(noise, -1, 0)
    ]
    tile = np.stack([np.asarray(channel)[:extent, :extent] for channel in channels], axis=-1)
    scaled: NDArray[np.float32] = (tile / tile.std()).astype(np.float32)
    return scaled


def _compress(image: Image.Image, quality: int) -> Image.Image:
    """Compress a picture by JPEG and decode it again."""
    stored = io.BytesIO()
    image.save(stored, "JPEG", quality=quality)
    return Image.open(stored)
