"""Conversion between class numbers and colours."""

import numpy as np
import pytest

from avseg.datasets.palette import UNKNOWN, class_palette, colours_to_labels


@pytest.mark.parametrize(
    ("number", "colour"),
    [
        (0, (0, 0, 0)),
        (1, (128, 0, 0)),
        (2, (0, 128, 0)),
        (3, (128, 128, 0)),
        (4, (0, 0, 128)),
        (8, (64, 0, 0)),
        (9, (192, 0, 0)),
        (70, (32, 128, 128)),
    ],
)
def test_the_palette_is_avsbenchs(number: int, colour: tuple[int, int, int]) -> None:
    assert tuple(class_palette(71)[number]) == colour


@pytest.mark.parametrize("count", [3, 71, 255])
def test_each_colour_is_converted_to_its_class(count: int) -> None:
    colours = class_palette(count)[None]
    assert (colours_to_labels(colours, count) == np.arange(count)).all()


@pytest.mark.parametrize("colour", [(128, 0, 1), (129, 0, 0), (255, 255, 255), (1, 2, 3)])
def test_a_colour_of_no_class_is_unknown(colour: tuple[int, int, int]) -> None:
    assert colours_to_labels(np.array([[colour]], np.uint8), 71) == UNKNOWN


def test_a_colour_beyond_the_last_class_is_unknown() -> None:
    assert (colours_to_labels(class_palette(71)[None, 69:], 70) == (69, UNKNOWN)).all()
