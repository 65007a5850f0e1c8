"""The drawn objects of SynthAVS: sheets of emoji art that ship with the package.

`assets/sprites.json` says what stands in which cell of which sheet, and under which licence; the
sheets are made by `tools/rasterise_sprites.py`.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from avseg.errors import DatasetError

_ASSETS = resources.files("avseg.datasets.synthetic") / "assets"


@dataclass(frozen=True)
class Sprite:
    """One drawing.

    Attributes:
        category: What it shows.
        style: The set that it comes from.
        pixels: Drawing cropped to its alpha, (h, w, 4) uint8 RGBA, not premultiplied. In an ink
            style the colour channels hold the amount of ink in place of a colour.
        ink: Whether the style is drawn in one ink.
    """

    category: str
    style: str
    pixels: NDArray[np.uint8]
    ink: bool


@cache
def load_style(style: str) -> dict[str, tuple[Sprite, ...]]:
    """Return the drawings of one style by category.

    Args:
        style: Name of the set, for instance "noto".

    Returns:
        Category to its drawings; a category that the style lacks is absent.

    Raises:
        DatasetError: If there is no such style.
    """
    index = json.loads((_ASSETS / "sprites.json").read_text())
    if style not in index["styles"]:
        raise DatasetError(f"there is no art style {style!r}; there are {sorted(index['styles'])}.")
    entry = index["styles"][style]
    with (_ASSETS / f"{style}.png").open("rb") as file:
        sheet = np.asarray(Image.open(file).convert("RGBA"))
    side = index["cell"]
    columns = sheet.shape[1] // side
    sprites: dict[str, list[Sprite]] = {}
    for i, (category, _) in enumerate(entry["cells"]):
        y, x = i // columns * side, i % columns * side
        pixels = _crop(sheet[y : y + side, x : x + side])
        sprites.setdefault(category, []).append(Sprite(category, style, pixels, entry["ink"]))
    return {category: tuple(drawings) for category, drawings in sprites.items()}


def choose_sprite(rng: np.random.Generator, category: str, styles: tuple[str, ...]) -> Sprite:
    """Draw a style that has the category, then one of its drawings.

    Args:
        rng: Source of chance.
        category: What to show.
        styles: Styles to choose from.

    Returns:
        The drawing.

    Raises:
        DatasetError: If no style has the category.
    """
    having = [style for style in styles if category in load_style(style)]
    if not having:
        raise DatasetError(f"none of the styles {styles} has a drawing of {category!r}.")
    drawings = load_style(having[rng.integers(len(having))])[category]
    return drawings[rng.integers(len(drawings))]


def _crop(cell: NDArray[np.uint8]) -> NDArray[np.uint8]:
    ys, xs = np.nonzero(cell[..., 3] > 8)
    return cell[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
