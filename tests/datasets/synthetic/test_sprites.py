"""The drawings that ship with the package."""

import numpy as np
import pytest

from avseg.datasets.synthetic.categories import CATEGORIES, TRAIN_STYLES, UNSEEN_STYLES
from avseg.datasets.synthetic.sprites import choose_sprite, load_style
from avseg.errors import DatasetError


@pytest.mark.parametrize("style", TRAIN_STYLES + UNSEEN_STYLES)
def test_drawings_of_a_style_are_cropped_to_what_they_show(style: str) -> None:
    sprites = [sprite for drawings in load_style(style).values() for sprite in drawings]
    assert sprites
    for sprite in sprites:
        shown = sprite.pixels[..., 3] > 8
        assert sprite.pixels.dtype == np.uint8
        assert sprite.category in CATEGORIES
        assert sprite.style == style
        assert all(edge.any() for edge in (shown[0], shown[-1], shown[:, 0], shown[:, -1]))


def test_an_unknown_style_is_told_which_there_are() -> None:
    with pytest.raises(DatasetError, match=r"no art style 'cubism'; there are \['emojione'"):
        load_style("cubism")


def test_a_drawing_is_of_the_category_and_one_of_the_styles() -> None:
    styles = ("noto", "openmoji")
    drawn = [choose_sprite(np.random.default_rng(i), "dog", styles) for i in range(20)]
    assert {sprite.category for sprite in drawn} == {"dog"}
    assert {sprite.style for sprite in drawn} == set(styles)


def test_styles_that_lack_the_category_are_passed_over() -> None:
    lacking = next(s for s in TRAIN_STYLES if set(CATEGORIES) - set(load_style(s)))
    category = sorted(set(CATEGORIES) - set(load_style(lacking)))[0]
    drawn = [choose_sprite(np.random.default_rng(i), category, (lacking, "noto")) for i in range(5)]
    assert {sprite.style for sprite in drawn} == {"noto"}


def test_a_category_that_no_style_has_is_refused() -> None:
    with pytest.raises(DatasetError, match=r"none of the styles .* has a drawing of 'unicorn'"):
        choose_sprite(np.random.default_rng(0), "unicorn", ("noto",))
