"""Looks: light, tone, blur, grain and compression."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from avseg.synthavs.film.look import Look, draw_look
from avseg.synthavs.film.motion import Course

PLAIN = Look(
    gains=(1.0, 1.0, 1.0),
    gamma=1.0,
    contrast=1.0,
    light=(0.0, 0.0),
    vignette=0.0,
    exposure=Course(1.0),
    blur=0.0,
    grain=0.0,
    grain_size=1,
    quality=None,
    shutter_s=0.02,
    shadow=0.0,
    shadow_offset=(0.0, 0.0),
    seed=0,
)


def grey(side: int = 64) -> NDArray[np.float32]:
    return np.full((3, side, side), 100, np.float32)


def edge() -> NDArray[np.float32]:
    frame = np.zeros((3, 64, 64), np.float32)
    frame[..., 32:] = 200
    return frame


def test_a_plain_look_changes_nothing() -> None:
    assert (PLAIN.develop(grey(), 0.0) == 100).all()


def test_the_cast_multiplies_each_channel() -> None:
    picture = replace(PLAIN, gains=(1.2, 1.0, 0.5)).develop(grey(), 0.0)
    assert picture[0, 0].tolist() == [120, 100, 50]


def test_the_light_and_the_vignette_are_uneven() -> None:
    picture = replace(PLAIN, light=(0.3, 0.0)).develop(grey(), 0.0).astype(int)
    assert picture[32, 60, 0] - picture[32, 4, 0] == pytest.approx(60, rel=0.15)
    corners = replace(PLAIN, vignette=0.4).develop(grey(), 0.0)
    assert corners[0, 0, 0] == pytest.approx(60, abs=2)
    assert corners[32, 32, 0] == pytest.approx(100, abs=2)


@pytest.mark.parametrize("size", [1, 2])
def test_the_grain_has_its_level_and_differs_between_times(size: int) -> None:
    look = replace(PLAIN, grain=8.0, grain_size=size)
    first, again, later = (look.develop(grey(), time_s) for time_s in (0.0, 0.0, 0.04))
    assert first.std() == pytest.approx(8, rel=0.15)
    assert (first == again).all()
    assert (first != later).mean() > 0.8


def test_blur_softens_an_edge() -> None:
    sharp, soft = (replace(PLAIN, blur=b).develop(edge(), 0.0).astype(int) for b in (0.0, 0.05))
    assert np.abs(np.diff(sharp, axis=1)).max() == 200
    assert np.abs(np.diff(soft, axis=1)).max() < 60


def test_compression_leaves_artifacts_near_an_edge() -> None:
    picture = replace(PLAIN, quality=30).develop(edge(), 0.0)
    assert 0 < np.abs(picture - np.moveaxis(edge(), 0, -1)).mean() < 10


def test_exposure_changes_with_time() -> None:
    look = replace(PLAIN, exposure=Course(0.5))
    assert (look.develop(grey(), 0.0) == 50).all()


def test_looks_have_casts_grain_shadows_and_compression() -> None:
    looks = [draw_look(np.random.default_rng(seed)) for seed in range(60)]
    assert {look.quality is None for look in looks} == {True, False}
    assert {look.shadow > 0 for look in looks} == {True, False}
    assert {look.grain > 0 for look in looks} == {True, False}
    assert all(np.mean(look.gains) == pytest.approx(1) for look in looks)
    assert len({look.gains for look in looks}) == len(looks)
