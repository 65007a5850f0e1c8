"""Rendered scenes with an object number for each pixel, for pre-training on single images.

R is the side of the square frames in pixels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avseg.synthavs.categories import CATEGORIES
from avseg.synthavs.scenes import (
    Scene,
    choose_sprite,
    make_background,
    place_object,
    spread_positions,
)


@dataclass(frozen=True)
class LabelledScene:
    """Rendered scene with an object number for each pixel.

    Attributes:
        frame: Frame, (R, R, 3) uint8 RGB.
        labels: Object number of each pixel, 0 for the background, (R, R) uint8.
        categories: Category of each object, in the order of the object numbers from 1.
    """

    frame: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    categories: tuple[str, ...]

    def classes(self) -> NDArray[np.uint8]:
        """Return the class number of each pixel, 0 for the background, (R, R) uint8."""
        numbers = [0, *(1 + CATEGORIES.index(category) for category in self.categories)]
        return np.array(numbers, np.uint8)[self.labels]

    def visible(self) -> dict[str, NDArray[np.bool_]]:
        """Return the mask of each category that covers at least 0.2 % of the frame, (R, R)."""
        masks: dict[str, NDArray[np.bool_]] = {}
        for number, category in enumerate(self.categories, start=1):
            mask = self.labels == number
            masks[category] = masks.get(category, np.zeros_like(mask)) | mask
        # A few visible pixels of a hidden object cannot be recognized; a label would be noise.
        return {c: mask for c, mask in masks.items() if mask.mean() >= 0.002}


def draw_labelled_scene(
    rng: np.random.Generator, styles: tuple[str, ...], side: int
) -> LabelledScene:
    """Draw a random scene of one to four objects of any category.

    Args:
        rng: Random generator.
        styles: Art styles of the objects.
        side: R, in pixels.

    Returns:
        The rendered scene.
    """
    count = int(rng.choice([1, 2, 3, 4], p=[0.25, 0.35, 0.27, 0.13]))
    categories = tuple(str(c) for c in rng.choice(CATEGORIES, count, replace=False))
    # Sometimes two objects of one category, so that a mask may consist of several objects.
    if count > 1 and rng.random() < 0.08:
        categories = (categories[0], *categories[:-1])
    # More objects are smaller, so that they rarely hide each other.
    size_range = (0.28, 0.66) if count <= 2 else (0.26, 0.5)
    objects = tuple(
        place_object(rng, choose_sprite(rng, category, styles), position, size_range)
        for category, position in zip(categories, spread_positions(rng, count), strict=True)
    )
    scene = Scene(make_background(rng, side), objects)
    frame, labels = scene.render(float(rng.uniform(0, 5)))
    return LabelledScene(frame, labels, categories)
