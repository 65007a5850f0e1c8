"""Backdrops of all kinds."""

import numpy as np

from avseg.synthavs.film.backdrops import SIDE, draw_backdrop, fractal


def test_backdrops_differ_but_not_for_the_same_seed() -> None:
    drawn = [np.asarray(draw_backdrop(np.random.default_rng(seed))) for seed in range(25)]
    assert {picture.shape for picture in drawn} == {(SIDE, SIDE, 3)}
    assert len({picture.tobytes() for picture in drawn}) == len(drawn)
    assert (np.asarray(draw_backdrop(np.random.default_rng(3))) == drawn[3]).all()


def test_a_steeper_texture_is_smoother() -> None:
    rough, smooth = (fractal(np.random.default_rng(0), steepness) for steepness in (0.6, 2.5))
    assert abs(rough.std() - 1) < 0.3
    assert np.abs(np.diff(smooth)).mean() < 0.5 * np.abs(np.diff(rough)).mean()
