"""Single frames of films with their labels."""

import numpy as np

from avseg.synthavs.categories import FILM_SEEN_STYLES
from avseg.synthavs.film.labelled import draw_labelled_film
from avseg.synthavs.labelled import LabelledScene


def draw(seed: int) -> LabelledScene:
    return draw_labelled_film(np.random.default_rng(seed), FILM_SEEN_STYLES, 48)


def test_the_same_random_state_gives_the_same_frame() -> None:
    first, again = draw(4), draw(4)
    np.testing.assert_array_equal(first.frame, again.frame)
    np.testing.assert_array_equal(first.labels, again.labels)


def test_frames_have_one_to_four_objects_most_of_them_visible() -> None:
    drawn = [draw(seed) for seed in range(80)]
    assert {len(scene.categories) for scene in drawn} == {1, 2, 3, 4}
    assert any(len(set(scene.categories)) < len(scene.categories) for scene in drawn)
    assert all(scene.labels.max() <= len(scene.categories) for scene in drawn)
    shown = sum(len(scene.visible()) for scene in drawn)
    assert 0.6 < shown / sum(len(set(scene.categories)) for scene in drawn) < 0.95
    assert any(len(scene.visible()) < len(set(scene.categories)) for scene in drawn)
