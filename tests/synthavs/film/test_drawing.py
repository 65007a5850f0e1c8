"""Random films: cameras within the backdrop, cuts, crossing and leaving objects, determinism."""

import numpy as np
import pytest

from avseg.synthavs.film.backdrops import LOW
from avseg.synthavs.film.drawing import draw_scene
from avseg.synthavs.film.scenes import FilmScene
from avseg.synthavs.scenes import load_style

NAMES = ("dog", "cat", "bird", "car")


def draw(seed: int, count: int = 3, staying: int | None = None, twins: bool = False) -> FilmScene:
    names = ("dog", "dog", *NAMES[1:]) if twins else NAMES
    sprites = [load_style("noto")[name][0] for name in names[:count]]
    return draw_scene(np.random.default_rng(seed), sprites, 48, 5.0, staying)


@pytest.fixture(scope="module")
def films() -> list[FilmScene]:
    return [draw(seed) for seed in range(45)]


def test_the_same_seed_gives_the_same_film() -> None:
    for first, second in zip(draw(5).render(2.3), draw(5).render(2.3), strict=True):
        np.testing.assert_array_equal(first, second)


def test_a_moment_does_not_depend_on_the_moments_before() -> None:
    scene = draw(6)
    at_25_fps = {i: scene.render(i / 25) for i in range(0, 125, 25)}
    for i, (frame, labels) in at_25_fps.items():
        alone = draw(6).render(float(i // 25))
        np.testing.assert_array_equal(frame, alone[0])
        np.testing.assert_array_equal(labels, alone[1])


def test_no_camera_sees_the_edge_of_its_backdrop(films: list[FilmScene]) -> None:
    corners = np.array([(-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5)])
    for scene in films:
        for shot in scene.shots:
            for time_s in np.linspace(0, 30, 61):
                inverse = np.linalg.inv(shot.camera.matrix(time_s))
                places = shot.camera.centre(time_s) + corners @ inverse.T
                assert places.min() > LOW
                assert places.max() < 1 - LOW


def test_some_films_have_cuts_and_all_start_at_zero(films: list[FilmScene]) -> None:
    assert all(scene.shots[0].start_s == 0 for scene in films)
    cut = sum(len(scene.shots) > 1 for scene in films)
    assert 0.1 < cut / len(films) < 0.4
    starts = [[shot.start_s for shot in scene.shots] for scene in films]
    assert all((np.diff(times) >= 0.6).all() for times in starts)
    assert max(max(times) for times in starts) <= 4.4


def test_an_object_keeps_its_number_over_cuts(films: list[FilmScene]) -> None:
    for scene in films:
        first = {actor.number: actor.drawing for actor in scene.shots[0].actors if actor.number}
        for shot in scene.shots[1:]:
            for actor in shot.actors:
                assert not actor.number or actor.drawing is first[actor.number]


def test_an_object_that_stays_is_in_the_picture_in_every_shot() -> None:
    for seed in range(25):
        scene = draw(seed, count=2, staying=2)
        shown = [(scene.render(t)[1] == 2).mean() for t in np.linspace(0, 5, 9)]
        assert min(shown) > 0, seed


def test_two_of_a_kind_cross_each_other() -> None:
    crossings = 0
    for seed in range(20):
        shot = draw(seed, count=2, twins=True).shots[0]
        first, second = (actor.path.x for actor in shot.actors if actor.number)
        gap = first.sample(np.linspace(0, 10, 50)) - second.sample(np.linspace(0, 10, 50))
        crossings += bool((np.sign(gap[1:]) != np.sign(gap[:-1])).any())
    assert crossings >= 12


def test_some_objects_leave_and_come_back(films: list[FilmScene]) -> None:
    def absent(scene: FilmScene, number: int) -> list[bool]:
        return [not (scene.render(t)[1] == number).any() for t in np.linspace(0, 12, 9)]

    runs = [absent(scene, 1) for scene in films[:25]]
    assert any("101" in "".join(str(int(not gone)) for gone in run) for run in runs)
