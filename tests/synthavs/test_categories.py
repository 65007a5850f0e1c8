"""Held-out categories and styles do not overlap with training, and all have drawings and sounds."""

import pytest

from avseg.synthavs.categories import (
    CATEGORIES,
    FILM_SEEN_STYLES,
    FILM_TRAIN_STYLES,
    SEEN,
    SEEN_STYLES,
    TRAIN_STYLES,
    UNSEEN_STYLES,
    ZERO_SHOT,
)
from avseg.synthavs.scenes import load_style
from avseg.synthavs.sounds import GENERATORS


def test_no_category_is_listed_twice() -> None:
    assert len(set(CATEGORIES)) == len(CATEGORIES)


def test_seen_and_zero_shot_categories_are_all_of_them_without_overlap() -> None:
    assert not set(SEEN) & set(ZERO_SHOT)
    assert set(SEEN) | set(ZERO_SHOT) == set(CATEGORIES)


def test_unseen_styles_are_no_training_styles_and_seen_styles_are() -> None:
    assert not set(UNSEEN_STYLES) & set(TRAIN_STYLES)
    assert set(SEEN_STYLES) < set(TRAIN_STYLES)


def test_version_3_adds_styles_to_training_and_none_of_the_unseen_ones() -> None:
    assert set(FILM_TRAIN_STYLES) > set(TRAIN_STYLES)
    assert set(TRAIN_STYLES) - set(SEEN_STYLES) < set(FILM_TRAIN_STYLES) - set(FILM_SEEN_STYLES)
    assert not set(UNSEEN_STYLES) & set(FILM_TRAIN_STYLES)


def test_every_category_has_a_sound() -> None:
    assert set(GENERATORS) == set(CATEGORIES)


@pytest.mark.parametrize("styles", [SEEN_STYLES, UNSEEN_STYLES], ids=["seen", "unseen"])
def test_every_category_is_drawn_in_seen_and_in_unseen_styles(styles: tuple[str, ...]) -> None:
    drawn = set().union(*(load_style(style) for style in styles))
    assert drawn >= set(CATEGORIES)


def test_evaluation_styles_are_full_colour_drawings() -> None:
    for style in FILM_SEEN_STYLES + UNSEEN_STYLES:
        assert not any(sprite.ink for sprites in load_style(style).values() for sprite in sprites)
