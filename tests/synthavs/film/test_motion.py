"""Courses, rotations and the camera."""

import numpy as np
import pytest

from avseg.synthavs.film.motion import Camera, Course, Wave, rotation

COURSE = Course(0.5, (Wave(0.2, 4.0, 0.25), Wave(0.05, 0.7, 0.1)))


def test_a_course_is_its_mean_plus_its_waves() -> None:
    assert Course(0.5).at(3.0) == 0.5
    assert Course(0.5, (Wave(0.2, 4.0, 0.0),)).at(1.0) == pytest.approx(0.7)  # a quarter period


def test_the_speed_is_the_derivative() -> None:
    for time_s in (0.0, 1.3, 40.0):
        slope = (COURSE.at(time_s + 1e-5) - COURSE.at(time_s - 1e-5)) / 2e-5
        assert COURSE.speed(time_s) == pytest.approx(slope, abs=1e-6)


def test_samples_are_the_values() -> None:
    times_s = np.array([0.0, 0.4, 9.0])
    assert COURSE.sample(times_s) == pytest.approx([COURSE.at(t) for t in times_s])


def test_a_course_stays_within_its_reach() -> None:
    values = COURSE.sample(np.linspace(0, 60, 5000))
    assert np.abs(values - COURSE.mean).max() <= COURSE.reach


def test_a_rotation_is_counter_clockwise_on_the_screen() -> None:
    # To the right becomes upwards, which is negative.
    assert rotation(90) @ (1, 0) == pytest.approx((0, -1))


def test_a_zoom_of_one_doubles_offsets() -> None:
    camera = Camera(Course(0.5), Course(0.4), Course(1.0), Course(0.0))
    assert camera.matrix(0.0) @ (0.1, 0.0) == pytest.approx((0.2, 0.0))
    assert camera.centre(0.0).tolist() == [0.5, 0.4]
