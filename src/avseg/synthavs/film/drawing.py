"""Random film-like scenes: who moves how, what hides whom, where the camera looks, when it cuts.

N is the number of objects.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from avseg.synthavs.film import backdrops
from avseg.synthavs.film.backdrops import draw_backdrop, fractal
from avseg.synthavs.film.look import draw_look
from avseg.synthavs.film.motion import Camera, Course, Path, Wave
from avseg.synthavs.film.scenes import Actor, FilmObject, FilmScene, Shot
from avseg.synthavs.scenes import Drawable, Rgb, Sprite, colour_ink, recolour

#: Seconds of film for each expected cut.
_SECONDS_PER_CUT = 16.0

#: Shortest time between two cuts, and between a cut and the start or the end, in seconds.
_SHORTEST_SHOT_S = 0.6


@dataclass(frozen=True)
class _Member:
    """Object of the cast with the properties that it has in all shots.

    Attributes:
        number: Number of the object, from 1.
        sprite: Its drawing.
        drawing: The same, coloured and shaded.
        stays: Whether it is in the picture in every shot.
    """

    number: int
    sprite: Sprite
    drawing: Drawable
    stays: bool


def draw_scene(
    rng: np.random.Generator,
    sprites: Sequence[Sprite],
    side: int,
    seconds: float,
    staying: int | None = None,
) -> FilmScene:
    """Draw a random film with the given objects.

    Args:
        rng: Random generator.
        sprites: Drawing of each object, (N,), at least one.
        side: R, in pixels; it does not change the film.
        seconds: Length in seconds, over which the cuts are spread.
        staying: Number of an object that is in the picture all the time; None for no such object.

    Returns:
        The film.
    """
    cast = [
        _Member(number, sprite, Drawable(_coloured(rng, sprite)), number == staying)
        for number, sprite in enumerate(sprites, start=1)
    ]
    shots = [_draw_shot(rng, 0.0, cast)]
    for start_s in _draw_cuts(rng, seconds):
        if rng.random() < 0.5:
            shots.append(_reframed(rng, start_s, shots[-1], staying))
        else:
            # In another place: some of the objects are not there.
            there = [m for m in cast if m.stays or rng.random() < 0.7]
            shots.append(_draw_shot(rng, start_s, there))
    objects = tuple(FilmObject(sprite.category) for sprite in sprites)
    return FilmScene(side, objects, tuple(shots), draw_look(rng))


def _draw_cuts(rng: np.random.Generator, seconds: float) -> list[float]:
    """Draw the times of the cuts, ascending."""
    times = np.sort(rng.uniform(0, seconds, rng.poisson(seconds / _SECONDS_PER_CUT)))
    cuts: list[float] = []
    for time_s in times.tolist():
        last = cuts[-1] if cuts else 0.0
        if last + _SHORTEST_SHOT_S <= time_s <= seconds - _SHORTEST_SHOT_S:
            cuts.append(time_s)
    return cuts


def _draw_shot(rng: np.random.Generator, start_s: float, cast: Sequence[_Member]) -> Shot:
    """Draw a shot in a new place."""
    paths = _draw_paths(rng, cast)
    actors = [
        Actor(member.number, member.drawing, path, float(rng.normal(0, 0.08)))
        for member, path in zip(cast, paths, strict=True)
    ]
    order = rng.permutation(len(actors)).tolist()
    # An object that has to be seen is mostly in front.
    if rng.random() < 0.7:
        order.sort(key=lambda i: cast[i].stays)
    ordered = [actors[i] for i in order]
    if rng.random() < 0.3:
        place = int(rng.integers(0, len(ordered) + 1))
        # Nothing of no category stands in front of an object that has to be seen.
        staying = {member.number for member in cast if member.stays}
        places = [i for i, actor in enumerate(ordered) if actor.number in staying]
        ordered.insert(min([place, *places]), _draw_obstacle(rng))
    return Shot(start_s, draw_backdrop(rng), _draw_camera(rng), tuple(ordered))


def _reframed(rng: np.random.Generator, start_s: float, shot: Shot, staying: int | None) -> Shot:
    """Return a shot of the same place and the same motion by another camera."""
    numbers = [actor.number for actor in shot.actors if actor.number]
    if not numbers:
        return replace(shot, start_s=start_s, camera=_draw_camera(rng))
    wanted = staying if staying in numbers else int(rng.choice(numbers))
    path = next(actor.path for actor in shot.actors if actor.number == wanted)
    focus = (path.x.at(start_s), path.y.at(start_s))
    return replace(shot, start_s=start_s, camera=_draw_camera(rng, focus))


def _draw_camera(rng: np.random.Generator, focus: tuple[float, float] | None = None) -> Camera:
    """Draw the motion of a camera, which never sees the edge of its backdrop.

    Args:
        rng: Random generator.
        focus: Position of an object for a close-up; None for a view of the whole scene.

    Returns:
        The camera.
    """
    zoom = rng.uniform(-0.12, 0.25) if focus is None else rng.uniform(0.3, 0.8)
    kind = rng.choice(["still", "hand", "pan", "zoom"], p=[0.3, 0.3, 0.2, 0.2])
    drift = _wave(rng, (0.02, 0.08), (5, 14)) if kind in {"hand", "zoom"} else Wave(0, 1, 0)
    sway = (0.05, 0.16) if kind == "pan" else (0.0, 0.0)
    shake = (0.002, 0.012) if kind == "hand" else (0.0, 0.0)
    zooming = _wave(rng, (0.12, 0.4), (7, 18)) if kind == "zoom" else Wave(0, 1, 0)
    roll = Course(
        float(rng.normal(0, 1.5)), (_wave(rng, (0.2, 1.5), (0.8, 4)),) if kind == "hand" else ()
    )
    lowest = zoom - zooming.amplitude
    # Half of the longest side of the visible part of the world, turned by at most 8 degrees.
    half = 0.5 / 2**lowest * 1.13
    room = 0.5 - backdrops.LOW - half

    def course(target: float) -> Course:
        waves = (_wave(rng, sway, (6, 16)), _wave(rng, shake, (0.3, 1.3)), drift)
        share = min(1.0, room / max(sum(wave.amplitude for wave in waves), 1e-9))
        kept = tuple(replace(wave, amplitude=share * wave.amplitude) for wave in waves)
        margin = room - sum(wave.amplitude for wave in kept)
        return Course(float(np.clip(target, 0.5 - margin, 0.5 + margin)), kept)

    x, y = (0.5, 0.5) if focus is None else focus
    return Camera(course(x), course(y), Course(float(zoom), (zooming,)), roll)


def _draw_paths(rng: np.random.Generator, cast: Sequence[_Member]) -> list[Path]:
    """Draw the motion of each object; two of one category often cross each other."""
    largest = 0.6 if len(cast) <= 2 else 0.48
    paths = []
    for member in cast:
        kinds = ["still", "wander"] if member.stays else ["still", "wander", "pass", "leave"]
        odds = np.array([0.3, 0.4, 0.15, 0.15])[: len(kinds)]
        paths.append(_draw_path(rng, str(rng.choice(kinds, p=odds / odds.sum())), largest))
    categories = [member.sprite.category for member in cast]
    twins = [i for i, name in enumerate(categories) if categories.count(name) > 1][:2]
    crossing: list[int] = []
    if len(twins) == 2 and rng.random() < 0.7:
        crossing = twins
    elif len(cast) > 1 and rng.random() < 0.15:
        crossing = rng.permutation(len(cast))[:2].tolist()
    if crossing and not any(cast[i].stays for i in crossing):
        first, second = crossing
        paths[first], paths[second] = _cross(rng, paths[first], paths[second])
    return paths


def _draw_path(rng: np.random.Generator, kind: str, largest: float) -> Path:
    """Draw the motion of one object.

    Args:
        rng: Random generator.
        kind: "still", "wander", "pass" (it crosses the frame quickly) or "leave" (it leaves the
            frame and comes back).
        largest: Largest size.

    Returns:
        The motion.
    """
    size = Course(float(np.log2(rng.uniform(0.2, largest))), (_wave(rng, (0.0, 0.35), (5, 16)),))
    angle = Course(float(rng.normal(0, 8)), (_wave(rng, (0, 12), (1.5, 8)),))
    x, y = rng.uniform(0.2, 0.8, 2)
    bob = _wave(rng, (0.0, 0.012), (0.4, 1.2))
    if kind == "still":
        across, down = _wave(rng, (0, 0.03), (3, 9)), _wave(rng, (0, 0.02), (3, 9))
    elif kind == "wander":
        across, down = _wave(rng, (0.05, 0.2), (5, 14)), _wave(rng, (0.03, 0.15), (5, 14))
    elif kind == "pass":
        x, across = 0.5, _wave(rng, (0.3, 0.42), (3, 7))
        down = _wave(rng, (0, 0.08), (4, 9))
    else:
        x, across = 0.5, _wave(rng, (0.6, 0.95), (6, 12))
        down = _wave(rng, (0, 0.06), (4, 9))
    return Path(Course(float(x), (across,)), Course(float(y), (down, bob)), size, angle)


def _cross(rng: np.random.Generator, first: Path, second: Path) -> tuple[Path, Path]:
    """Return paths on which two objects of similar height pass each other again and again."""
    swing = _wave(rng, (0.22, 0.36), (4, 10))
    height = float(rng.uniform(0.35, 0.65))
    opposite = replace(swing, phase=swing.phase + 0.5)
    return (
        replace(first, x=Course(0.5, (swing,)), y=replace(first.y, mean=height)),
        replace(
            second,
            x=Course(0.5, (opposite,)),
            y=replace(second.y, mean=height + float(rng.normal(0, 0.05))),
        ),
    )


def _wave(
    rng: np.random.Generator, amplitudes: tuple[float, float], periods_s: tuple[float, float]
) -> Wave:
    """Draw a wave from a range of amplitudes and a range of periods."""
    return Wave(
        float(rng.uniform(*amplitudes)), float(rng.uniform(*periods_s)), float(rng.random())
    )


def _coloured(rng: np.random.Generator, sprite: Sprite) -> Rgb:
    """Colour a drawing, mirror half of them, and shade it as a solid body under a light."""
    pixels = colour_ink(rng, sprite.pixels) if sprite.ink else recolour(rng, sprite.pixels)
    if rng.random() < 0.5:
        pixels = pixels[:, ::-1]
    height, width = pixels.shape[:2]
    angle, depth = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.4)
    slope = np.linspace(-1, 1, width)[None] * np.cos(angle) + np.linspace(-1, 1, height)[
        :, None
    ] * np.sin(angle)
    shade = 1 + depth * slope
    if rng.random() < 0.5:  # a surface that is not of one colour
        side = max(height, width)
        shade = shade + rng.uniform(0.03, 0.15) * fractal(rng, 1.5, side)[:height, :width]
    colour = np.clip(pixels[..., :3] * shade[..., None], 0, 255).astype(np.uint8)
    return np.dstack([colour, pixels[..., 3]])


def _draw_obstacle(rng: np.random.Generator) -> Actor:
    """Draw a thing of no category: a post, a bush, or a round stone."""
    side = 96
    texture = fractal(rng, rng.uniform(0.8, 2.0), side)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    kind = rng.integers(3)
    if kind == 0:
        inside = np.abs(x) < rng.uniform(0.12, 0.4)
    elif kind == 1:
        inside = np.hypot(x, y) + 0.18 * fractal(rng, 1.6, side) < 0.75
    else:
        inside = np.hypot(x / rng.uniform(0.5, 1), y / rng.uniform(0.5, 1)) < 0.95
    colour = rng.uniform(20, 220, 3) + rng.uniform(5, 35) * texture[..., None]
    shaded = colour * (1 + rng.uniform(-0.35, 0.35) * x)[..., None]
    pixels = np.dstack([np.clip(shaded, 0, 255), 255.0 * inside]).astype(np.uint8)
    path = _draw_path(rng, str(rng.choice(["still", "wander"])), 0.5)
    if kind == 0:  # a post stands in the whole height of the frame
        size = Course(float(np.log2(rng.uniform(1.2, 1.7))))
        path = replace(path, size=size, y=Course(0.5), angle=Course(0.0))
    return Actor(0, Drawable(pixels), path, 0.0)
