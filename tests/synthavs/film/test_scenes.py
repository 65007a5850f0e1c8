"""Film-like scenes: exact numbers under occlusion, blur, shadows, cuts, and at any size."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from avseg.synthavs.film.motion import Camera, Course, Path, Wave
from avseg.synthavs.film.scenes import Actor, FilmObject, FilmScene, Shot
from avseg.synthavs.scenes import Drawable
from tests.synthavs.film.test_look import PLAIN

SIDE = 100
STILL = Camera(Course(0.5), Course(0.5), Course(0.0), Course(0.0))
BLACK = Image.new("RGB", (384, 384))
WHITE = Image.new("RGB", (384, 384), (255, 255, 255))


def square(number: int, x: Course | float = 0.5, y: float = 0.5, size: float = 0.4) -> Actor:
    """Return a grey square; the grey level is 50 times the number plus 100."""
    pixels = np.full((40, 40, 4), 100 + 50 * number, np.uint8)
    pixels[..., 3] = 255
    across = x if isinstance(x, Course) else Course(x)
    path = Path(across, Course(y), Course(float(np.log2(size))), Course(0.0))
    return Actor(number, Drawable(pixels), path, 0.0)


def film(*actors: Actor, camera: Camera = STILL, backdrop: Image.Image = BLACK) -> FilmScene:
    objects = tuple(FilmObject("dog") for actor in actors if actor.number)
    return FilmScene(SIDE, objects, (Shot(0.0, backdrop, camera, actors),), PLAIN)


def centre(labels: NDArray[np.uint8], number: int = 1) -> tuple[float, float]:
    y, x = np.nonzero(labels == number)
    return float(x.mean() + 0.5) / SIDE, float(y.mean() + 0.5) / SIDE


def test_an_object_covers_its_size_around_its_centre() -> None:
    frame, labels = film(square(1, x=0.3, y=0.6)).render(0.0)
    assert centre(labels) == pytest.approx((0.3, 0.6), abs=0.01)
    assert (labels == 1).sum() == pytest.approx(40 * 40, rel=0.06)
    assert (frame[60, 30] == 150).all()
    assert not frame[:30].any()


def test_an_object_behind_another_loses_exactly_the_pixels_of_the_one_in_front() -> None:
    behind, front = square(1, x=0.45), square(2, x=0.6)
    _, alone = film(behind).render(0.0)
    _, both = film(behind, front).render(0.0)
    _, other = film(replace(front, number=1)).render(0.0)
    np.testing.assert_array_equal(both == 1, (alone == 1) & (other == 0))
    np.testing.assert_array_equal(both == 2, other == 1)
    assert 0 < (both == 1).sum() < (alone == 1).sum()


def test_a_thing_of_no_category_hides_an_object_and_has_no_number() -> None:
    frame, labels = film(square(1), square(0, size=0.2)).render(0.0)
    assert labels[50, 50] == 0
    assert (frame[50, 50] == 100).all()
    assert labels[50, 35] == 1


def test_motion_blur_changes_the_picture_but_not_the_numbers() -> None:
    moving = square(1, x=Course(0.5, (Wave(0.4, 2.0, 0.0),)))
    sharp, blurred = (
        replace(film(moving), look=replace(PLAIN, shutter_s=s)).render(0.0) for s in (0.0, 0.1)
    )
    np.testing.assert_array_equal(sharp[1], blurred[1])
    row = blurred[0][50, :, 0].astype(int)
    # The square moves by 0.126 of the frame while it is exposed; each edge is a slope as wide.
    assert 8 < ((row > 5) & (row < 145)).sum() / 2 < 16
    assert abs(row - row[::-1]).max() < 40  # centred on the time of the frame


@pytest.mark.parametrize(("x", "y"), [(0.05, 0.5), (0.95, 0.5), (0.5, 0.03), (0.98, 0.98)])
def test_a_blurred_object_may_be_partly_outside_the_frame(x: float, y: float) -> None:
    moving = square(1, x=Course(x, (Wave(0.3, 2.0, 0.0),)), y=y)
    look = replace(PLAIN, shutter_s=0.1, shadow=0.5, shadow_offset=(0.1, 0.1))
    frame, labels = replace(film(moving), look=look).render(0.0)
    expected = film(square(1, x=x, y=y)).render(0.0)[1]
    np.testing.assert_array_equal(labels, expected)
    # At most the blurred edges differ from the square.
    assert ((frame[..., 0] > 75) != (expected > 0)).mean() < 0.02


def test_a_moving_camera_moves_and_blurs_what_stands() -> None:
    moving = replace(STILL, x=Course(0.5, (Wave(0.1, 4.0, 0.0),)))
    scene = film(square(1), camera=moving)
    _, labels = scene.render(1.0)
    assert centre(labels)[0] == pytest.approx(0.4, abs=0.01)
    shaken = replace(scene, look=replace(PLAIN, shutter_s=0.3))
    assert len(np.unique(shaken.render(0.0)[0])) > len(np.unique(scene.render(0.0)[0]))


def test_a_zoom_enlarges_objects() -> None:
    _, before = film(square(1, size=0.3)).render(0.0)
    closer = replace(STILL, zoom=Course(1.0))
    _, after = film(square(1, size=0.3), camera=closer).render(0.0)
    assert (after == 1).sum() == pytest.approx(4 * (before == 1).sum(), rel=0.06)


def test_a_roll_turns_the_picture() -> None:
    rolled = replace(STILL, roll=Course(90.0))
    _, labels = film(square(1, x=0.8, size=0.2), camera=rolled).render(0.0)
    assert centre(labels) == pytest.approx((0.5, 0.2), abs=0.01)


def test_a_shadow_darkens_the_picture_beside_its_object_only() -> None:
    look = replace(PLAIN, shadow=0.5, shadow_offset=(0.4, 0.0))
    scene = replace(film(square(1, x=0.4), backdrop=WHITE), look=look)
    frame, labels = scene.render(0.0)
    assert frame[50, 68, 0] == pytest.approx(128, abs=12)
    assert (frame[50, 40] == 150).all()
    assert (frame[50, 10] == 255).all()
    np.testing.assert_array_equal(labels, film(square(1, x=0.4)).render(0.0)[1])


def test_a_cut_is_between_its_time_and_the_moment_before() -> None:
    before, after = Shot(0.0, BLACK, STILL, (square(1, x=0.3),)), Shot(2.0, WHITE, STILL, ())
    scene = FilmScene(SIDE, (FilmObject("dog"),), (before, after), PLAIN)
    assert scene.render(1.9999)[1].any()
    frame, labels = scene.render(2.0)
    assert (frame == 255).all()
    assert not labels.any()


@pytest.mark.parametrize("side", [64, 101, 320])
def test_a_scene_can_be_rendered_at_any_size(side: int) -> None:
    frame, labels = replace(film(square(1, x=0.3)), side=side).render(0.0)
    assert frame.shape == (side, side, 3)
    assert (labels == 1).mean() == pytest.approx(0.16, rel=0.1)


def test_objects_outside_the_frame_have_no_pixels() -> None:
    look = replace(PLAIN, shadow=0.5, shutter_s=0.2)
    gone = square(1, x=Course(1.6, (Wave(0.2, 1.0, 0.0),)))
    frame, labels = replace(film(gone), look=look).render(0.0)
    assert not labels.any()
    assert not frame.any()


@pytest.mark.parametrize("offset", np.arange(0.5, 0.62, 0.004))
def test_a_blurred_object_beside_the_frame_has_no_pixels(offset: float) -> None:
    # The margin for the motion blur reaches into the frame, but the object does not.
    for x, y in (
        (0.5 + offset, 0.5),
        (0.5 - offset, 0.5),
        (0.5, 0.5 + offset),
        (0.5, 0.5 - offset),
    ):
        moving = square(1, x=Course(x, (Wave(0.0, 1.0, 0.0),)), y=y, size=0.02)
        scene = film(moving, camera=replace(STILL, x=Course(0.5, (Wave(0.1, 4.0, 0.0),))))
        _, labels = replace(scene, look=replace(PLAIN, shutter_s=0.3)).render(0.0)
        if offset > 0.52:
            assert not labels.any()


def test_an_object_that_leaves_comes_back() -> None:
    leaving = film(square(1, x=Course(0.5, (Wave(1.0, 4.0, 0.0),))))
    seen = [bool((leaving.render(t)[1] == 1).any()) for t in (0.0, 1.0, 2.0, 3.0)]
    assert seen == [True, False, True, False]
