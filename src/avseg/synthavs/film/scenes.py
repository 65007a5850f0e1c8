"""Film-like scenes: shots with a backdrop, a camera and actors, rendered at any time and size.

R is the side of the square frame in pixels, N the number of objects, h x w the size of a drawing in
pixels. Positions are those of the world (`film.motion`).
"""

import math
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from avseg.synthavs.film import backdrops
from avseg.synthavs.film.look import Look
from avseg.synthavs.film.motion import Camera, Path, rotation
from avseg.synthavs.scenes import Drawable, Rgb

#: The map of a shadow has one value for this many pixels in each direction.
_SHADOW_PIXELS = 4

_Scalar = TypeVar("_Scalar", bound=np.generic)

#: Largest number of moments that are averaged for motion blur.
_MOST_MOMENTS = 7


@dataclass(frozen=True)
class FilmObject:
    """Object of a film; its number is its position in the film, from 1.

    Attributes:
        category: Category of the object.
    """

    category: str


@dataclass(frozen=True, eq=False)
class Actor:
    """Drawing that moves in a shot.

    Attributes:
        number: Number of its object; 0 for a thing of no category that hides what is behind it.
        drawing: Its coloured drawing.
        path: Its motion.
        shear: Horizontal shear.
    """

    number: int
    drawing: Drawable
    path: Path
    shear: float


@dataclass(frozen=True, eq=False)
class Shot:
    """Part of a film between two cuts.

    Attributes:
        start_s: Time of its first frame, in seconds.
        backdrop: Backdrop, an RGB picture of B x B pixels; see `film.backdrops`.
        camera: Motion of the camera.
        actors: Actors from back to front.
    """

    start_s: float
    backdrop: Image.Image
    camera: Camera
    actors: tuple[Actor, ...]

    @cached_property
    def half_backdrop(self) -> Image.Image:
        """Backdrop at half its resolution, for small frames."""
        return self.backdrop.reduce(2)


@dataclass(frozen=True, eq=False)
class FilmScene:
    """Shots of one film with its objects. It has a frame at any time and of any size.

    Attributes:
        side: R, in pixels.
        objects: Objects by their numbers from 1; an object keeps its number over all shots.
        shots: Shots by their start; the first one starts at 0.
        look: Light and camera.
    """

    side: int
    objects: tuple[FilmObject, ...]
    shots: tuple[Shot, ...]
    look: Look

    def shot_at(self, time_s: float) -> Shot:
        """Return the shot that a frame at a time shows.

        Args:
            time_s: Time since the start of the film, in seconds.

        Returns:
            The last shot that has started.
        """
        starts = [shot.start_s for shot in self.shots]
        return self.shots[max(0, bisect_right(starts, time_s) - 1)]

    def render(self, time_s: float) -> tuple[Rgb, NDArray[np.uint8]]:
        """Render one moment.

        The motion blur of a frame is centred on its time. The object numbers are exact at that
        time, without blur: a pixel belongs to the foremost object that covers at least half of it.

        Args:
            time_s: Time since the start of the film, in seconds.

        Returns:
            Frame, (R, R, 3) uint8 RGB, and object numbers, (R, R) uint8: 1 to N, 0 for the
            background and for things of no category.
        """
        shot = self.shot_at(time_s)
        frame = _film_backdrop(shot, self.side, time_s, self.look.shutter_s)
        labels = np.zeros((self.side, self.side), np.uint8)
        for actor in shot.actors:
            _paint(frame, labels, _Placement.of(actor, shot.camera, self, time_s), self.look)
        return self.look.develop(frame, time_s), labels


@dataclass(frozen=True, eq=False)
class _Placement:
    """Actor in one frame; lengths are in pixels.

    Attributes:
        actor: The actor.
        forward: Matrix from offsets in the drawing to offsets in the frame, (2, 2).
        centre: Centre (x, y) in the frame.
        smear: Motion (x, y) in the frame while it is exposed.
        size: Longer side in the frame.
    """

    actor: Actor
    forward: NDArray[np.float64]
    centre: tuple[float, float]
    smear: tuple[float, float]
    size: float

    @classmethod
    def of(cls, actor: Actor, camera: Camera, scene: FilmScene, time_s: float) -> "_Placement":
        """Compute where the camera of a scene sees an actor."""
        side, path = scene.side, actor.path
        view = side * camera.matrix(time_s)
        position = np.array([path.x.at(time_s), path.y.at(time_s)])
        velocity = np.array([path.x.speed(time_s), path.y.speed(time_s)])
        scale = math.exp2(path.size.at(time_s)) / max(actor.drawing.width, actor.drawing.height)
        turn = rotation(path.angle.at(time_s)) @ np.array([[1.0, actor.shear], [0.0, 1.0]])
        x, y = view @ (position - camera.centre(time_s)) + side / 2
        across, down = scene.look.shutter_s * view @ (velocity - camera.velocity(time_s))
        magnification = math.exp2(path.size.at(time_s) + camera.zoom.at(time_s))
        return cls(
            actor,
            scale * view @ turn,
            (float(x), float(y)),
            (float(across), float(down)),
            side * magnification,
        )


def _film_backdrop(shot: Shot, side: int, time_s: float, shutter_s: float) -> NDArray[np.float32]:
    """Return the backdrop as the camera sees it, blurred by its motion, (3, R, R) float32."""
    camera, backdrop = shot.camera, shot.backdrop
    extent = 1 - 2 * backdrops.LOW
    # Bilinear interpolation reads 2 x 2 pixels, so a strong reduction would skip pixels.
    if side * extent * 2 ** camera.zoom.at(time_s) < 0.6 * backdrop.width:
        backdrop = shot.half_backdrop
    per_world = backdrop.width / extent
    inverse = np.linalg.inv(side * camera.matrix(time_s)) * per_world
    velocity = camera.velocity(time_s) * shutter_s
    moments = _moments(float(np.abs(side * velocity).max()))
    total = np.zeros((side, side, 3), np.float32)
    for moment in moments:
        centre = (camera.centre(time_s) + moment * velocity - backdrops.LOW) * per_world
        shift = centre - inverse @ (side / 2, side / 2)
        coefficients = (*inverse[0], shift[0], *inverse[1], shift[1])
        total += np.asarray(
            backdrop.transform(
                (side, side), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
            )
        )
    total *= np.float32(1 / len(moments))
    # One plane for each channel: operations on whole rows are several times as fast.
    return np.ascontiguousarray(np.moveaxis(total, -1, 0))


def _paint(
    frame: NDArray[np.float32], labels: NDArray[np.uint8], placed: _Placement, look: Look
) -> None:
    """Paint an actor and its shadow on a frame, and its number on the labels, in place."""
    side, actor = len(labels), placed.actor
    if look.shadow:
        _cast_shadow(frame, placed, look)
    across, down = placed.smear
    margin = math.ceil(max(abs(across), abs(down)) / 2)
    warped = actor.drawing.warp(placed.forward, placed.centre, side, margin)
    if warped is None:
        return
    patch, top, left = warped
    planes = np.ascontiguousarray(np.moveaxis(patch, -1, 0))
    _label(labels, planes[3] >= 127.5, (top, left), actor.number)
    moments = _moments(max(abs(across), abs(down)))
    if len(moments) > 1:
        # The mean of shifted copies, each shifted by whole pixels.
        _, height, width = planes.shape
        mean = np.zeros((4, height + 2 * margin, width + 2 * margin), np.float32)
        for moment in moments:
            y, x = margin + round(moment * down), margin + round(moment * across)
            mean[:, y : y + height, x : x + width] += planes
        mean *= np.float32(1 / len(moments))
        planes = mean
        top, left = top - margin, left - margin
    planes, rows, columns = _inside(planes, (top, left), side)
    region = frame[:, rows, columns]
    region *= 1 - planes[3] * np.float32(1 / 255)
    region += planes[:3]  # they are premultiplied


def _label(
    labels: NDArray[np.uint8], covered: NDArray[np.bool_], corner: tuple[int, int], number: int
) -> None:
    """Set the pixels that an actor covers to its number, in place."""
    mask, rows, columns = _inside(covered, corner, len(labels))
    labels[rows, columns][mask] = number


def _inside(
    box: NDArray[_Scalar], corner: tuple[int, int], side: int
) -> tuple[NDArray[_Scalar], slice, slice]:
    """Cut a box, (..., h, w), at a corner to the frame; return it with its rows and columns."""
    (top, left), (height, width) = corner, box.shape[-2:]
    # A box beside the frame gives empty slices; a stop before its start would count from the end.
    rows = slice(*np.clip((top, top + height), 0, side).tolist())
    columns = slice(*np.clip((left, left + width), 0, side).tolist())
    part = box[..., rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    return part, rows, columns


def _cast_shadow(frame: NDArray[np.float32], placed: _Placement, look: Look) -> None:
    """Darken a frame by the soft shadow of an actor, in place."""
    side = frame.shape[-1]
    x, y = (
        (centre + placed.size * offset) / _SHADOW_PIXELS
        for centre, offset in zip(placed.centre, look.shadow_offset, strict=True)
    )
    softness = 0.04 * placed.size / _SHADOW_PIXELS
    margin = math.ceil(softness) + 2
    cells = -(-side // _SHADOW_PIXELS)
    cast = placed.actor.drawing.warp(placed.forward / _SHADOW_PIXELS, (x, y), cells, margin)
    if cast is None:
        return
    patch, top, left = cast
    coarse = np.pad(patch[..., 3].astype(np.uint8), margin)
    image = Image.fromarray(coarse).filter(ImageFilter.BoxBlur(softness))
    size = (image.width * _SHADOW_PIXELS, image.height * _SHADOW_PIXELS)
    corner = ((top - margin) * _SHADOW_PIXELS, (left - margin) * _SHADOW_PIXELS)
    fine = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
    shade, rows, columns = _inside(fine, corner, side)
    frame[:, rows, columns] *= 1 - shade * np.float32(look.shadow / 255)


def _moments(smear: float) -> NDArray[np.float64]:
    """Return the moments that motion blur averages, in [-0.5, 0.5] of the exposure.

    Args:
        smear: Length of the motion in pixels; below one pixel one moment is enough.

    Returns:
        The moments, ascending.
    """
    count = 1 if smear < 1 else min(1 + math.ceil(smear), _MOST_MOMENTS)
    return (np.arange(count) + 0.5) / count - 0.5
