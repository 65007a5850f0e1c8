"""Scenes: order of painting, motion, and masks of the visible pixels."""

import numpy as np
import pytest
from numpy.typing import NDArray

from avseg.errors import DatasetError
from avseg.synthavs.categories import CATEGORIES, FILM_TRAIN_STYLES, TRAIN_STYLES, UNSEEN_STYLES
from avseg.synthavs.scenes import (
    MovingObject,
    Scene,
    Sprite,
    choose_sprite,
    colour_ink,
    load_style,
    make_background,
    place_object,
    recolour,
    spread_positions,
)

SIDE = 100
RED, GREEN = (255, 0, 0), (0, 255, 0)


def square(
    colour: tuple[int, int, int] = RED,
    position: tuple[float, float] = (0.5, 0.5),
    size: float = 0.4,
    velocity: tuple[float, float] = (0.0, 0.0),
    growth: float = 0.0,
) -> MovingObject:
    """Return a square of one colour without rotation and shear."""
    pixels = np.full((40, 40, 4), 255, np.uint8)
    pixels[..., :3] = colour
    return MovingObject("square", pixels, size, growth, position, velocity, 0.0, 0.0, 0.0)


def paint(*objects: MovingObject, time_s: float = 0.0) -> tuple[NDArray[np.uint8], ...]:
    return Scene(np.zeros((SIDE, SIDE, 3), np.uint8), objects).render(time_s)


def centre(labels: NDArray[np.uint8]) -> tuple[float, float]:
    y, x = np.nonzero(labels)
    return float(x.mean() + 0.5) / SIDE, float(y.mean() + 0.5) / SIDE


def test_an_object_covers_its_size_around_its_centre() -> None:
    frame, labels = paint(square(position=(0.3, 0.6)))
    assert centre(labels) == pytest.approx((0.3, 0.6), abs=0.01)
    assert (labels != 0).sum() == pytest.approx(40 * 40, rel=0.06)
    assert (frame[60, 30] == RED).all()


def test_the_background_has_number_zero_and_is_unchanged() -> None:
    frame, labels = paint(square())
    assert not frame[labels == 0][:, 1:].any()
    assert not labels[:25].any()
    assert not frame[:25].any()


def test_objects_in_front_hide_those_behind() -> None:
    frame, labels = paint(square(RED), square(GREEN, position=(0.6, 0.5)))
    assert labels[50, 55] == 2
    assert (frame[50, 55] == GREEN).all()
    assert labels[50, 35] == 1
    assert (labels == 1).sum() < (labels == 2).sum()


def test_pixels_outside_the_frame_are_ignored() -> None:
    _, labels = paint(square(position=(0.1, 0.5)))
    assert (labels != 0).sum() == pytest.approx(30 * 40, rel=0.07)


def test_a_pixel_belongs_to_an_object_that_covers_half_of_it() -> None:
    pixels = np.full((40, 40, 4), 255, np.uint8)
    pixels[:, :20, 3], pixels[:, 20:, 3] = 120, 136
    veil = MovingObject("veil", pixels, 0.4, 0.0, (0.5, 0.5), (0.0, 0.0), 0.0, 0.0, 0.0)
    frame, labels = paint(veil)
    assert labels[50, 40] == 0
    assert labels[50, 60] == 1
    assert frame[50, 60, 0] == pytest.approx(136, abs=2)


def test_objects_move_and_grow_with_time() -> None:
    thing = square(position=(0.3, 0.5), velocity=(0.1, -0.05), growth=0.1)
    _, before = paint(thing)
    _, after = paint(thing, time_s=2.0)
    assert centre(after) == pytest.approx((0.5, 0.4), abs=0.01)
    assert (after != 0).sum() == pytest.approx(1.44 * (before != 0).sum(), rel=0.08)


@pytest.mark.parametrize("time_s", [0.0, 3.0, 7.0, 12.0, 40.0])
@pytest.mark.parametrize("velocity", [0.31, -0.31])
def test_objects_are_reflected_and_never_leave_the_frame(velocity: float, time_s: float) -> None:
    _, labels = paint(square(velocity=(velocity, velocity), size=0.1), time_s=time_s)
    x, y = centre(labels)
    assert 0.06 < x < 0.94
    assert 0.06 < y < 0.94


def test_an_object_is_reflected_along_its_path() -> None:
    thing = square(position=(0.82, 0.5), velocity=(0.2, 0.0), size=0.1)
    _, labels = paint(thing, time_s=1.0)  # 0.10 to the margin at 0.92, 0.10 back
    assert centre(labels) == pytest.approx((0.82, 0.5), abs=0.01)


def test_a_drawing_looks_the_same_at_half_its_resolution() -> None:
    small = square(size=0.12)  # far below the 40 pixels that it is drawn with
    frame, labels = paint(small)
    assert (labels != 0).sum() == pytest.approx(12 * 12, rel=0.2)
    assert (frame[50, 50] == RED).all()


def test_centres_keep_some_distance() -> None:
    for seed in range(20):
        (ax, ay), (bx, by) = spread_positions(np.random.default_rng(seed), 2)
        assert np.hypot(ax - bx, ay - by) > 0.2


def test_recolouring_keeps_the_silhouette_and_the_size() -> None:
    sprite = choose_sprite(np.random.default_rng(0), "dog", ("noto",))
    for seed in range(10):
        coloured = recolour(np.random.default_rng(seed), sprite.pixels)
        assert coloured.shape == sprite.pixels.shape
        assert (coloured[..., 3] == sprite.pixels[..., 3]).all()
        assert (coloured[..., :3] != sprite.pixels[..., :3]).any()


def test_ink_and_free_area_get_different_colours() -> None:
    pixels = np.full((2, 2, 4), 255, np.uint8)
    pixels[0, :, :3] = 0
    for seed in range(50):
        coloured = colour_ink(np.random.default_rng(seed), pixels)[..., :3].astype(int)
        assert np.abs(coloured[0] - coloured[1]).max() > 20


def test_an_ink_drawing_is_coloured_when_it_is_placed() -> None:
    pixels = np.full((4, 4, 4), 255, np.uint8)
    sprite = Sprite("dog", "mdi", pixels, ink=True)
    placed = place_object(np.random.default_rng(0), sprite, (0.5, 0.5), (0.3, 0.4))
    assert placed.category == "dog"
    assert 0.3 <= placed.size <= 0.4
    assert (placed.pixels[..., :3] != 255).any()


def test_backgrounds_differ_but_not_for_the_same_seed() -> None:
    first, again, other = (make_background(np.random.default_rng(s), 64) for s in (0, 0, 1))
    assert first.shape == (64, 64, 3)
    assert first.dtype == np.uint8
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize("side", [32, 33, 224])
def test_backgrounds_can_have_any_side(side: int) -> None:
    for seed in range(10):
        assert make_background(np.random.default_rng(seed), side).shape == (side, side, 3)


@pytest.mark.parametrize("style", FILM_TRAIN_STYLES + UNSEEN_STYLES)
def test_drawings_of_a_style_are_cropped_to_their_alpha(style: str) -> None:
    sprites = [sprite for drawings in load_style(style).values() for sprite in drawings]
    assert sprites
    for sprite in sprites:
        shown = sprite.pixels[..., 3] > 8
        assert sprite.pixels.dtype == np.uint8
        assert sprite.category in CATEGORIES
        assert sprite.style == style
        assert all(edge.any() for edge in (shown[0], shown[-1], shown[:, 0], shown[:, -1]))


def test_an_unknown_style_raises_with_the_known_ones() -> None:
    with pytest.raises(DatasetError, match=r"unknown art style 'cubism'; choose from \['emojione'"):
        load_style("cubism")


def test_a_drawing_is_of_the_category_and_one_of_the_styles() -> None:
    styles = ("noto", "openmoji")
    drawn = [choose_sprite(np.random.default_rng(i), "dog", styles) for i in range(20)]
    assert {sprite.category for sprite in drawn} == {"dog"}
    assert {sprite.style for sprite in drawn} == set(styles)


def test_styles_without_the_category_are_skipped() -> None:
    lacking = next(s for s in TRAIN_STYLES if set(CATEGORIES) - set(load_style(s)))
    category = sorted(set(CATEGORIES) - set(load_style(lacking)))[0]
    drawn = [choose_sprite(np.random.default_rng(i), category, (lacking, "noto")) for i in range(5)]
    assert {sprite.style for sprite in drawn} == {"noto"}


def test_a_category_that_no_style_has_raises() -> None:
    with pytest.raises(DatasetError, match=r"none of the styles .* has a drawing of 'unicorn'"):
        choose_sprite(np.random.default_rng(0), "unicorn", ("noto",))
