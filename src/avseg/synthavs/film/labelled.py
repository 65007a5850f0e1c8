"""Single frames of random films with an object number for each pixel."""

import numpy as np

from avseg.synthavs.categories import CATEGORIES
from avseg.synthavs.film.drawing import draw_scene
from avseg.synthavs.labelled import LabelledScene
from avseg.synthavs.scenes import choose_sprite

#: Length of the films of which one frame is rendered, in seconds.
_SECONDS = 5.0

#: Share of the frames of several objects with two of one category.
_TWINS = 0.15


def draw_labelled_film(
    rng: np.random.Generator, styles: tuple[str, ...], side: int
) -> LabelledScene:
    """Render one frame of a random film of one to four objects of any category.

    An object may be hidden, away or cut by the edge of the frame; in most frames of one object it
    stays in the picture.

    Args:
        rng: Random generator.
        styles: Art styles of the objects.
        side: R, in pixels.

    Returns:
        The frame with its labels.
    """
    count = int(rng.choice([1, 2, 3, 4], p=[0.25, 0.3, 0.28, 0.17]))
    categories = tuple(str(c) for c in rng.choice(CATEGORIES, count, replace=False))
    if count > 1 and rng.random() < _TWINS:
        categories = (categories[0], *categories[:-1])
    sprites = [choose_sprite(rng, category, styles) for category in categories]
    staying = 1 if count == 1 and rng.random() < 0.8 else None
    scene = draw_scene(rng, sprites, side, _SECONDS, staying)
    frame, labels = scene.render(float(rng.uniform(0, _SECONDS)))
    return LabelledScene(frame, labels, categories)
