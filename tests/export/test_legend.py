"""A legend has a row with name and colour for each source."""

import numpy as np
import pytest

from avseg.export.drawing import Canvas, tint_of
from avseg.export.legend import Legend


def grey_canvas(height: int = 360, width: int = 640) -> Canvas:
    canvas = Canvas.blank(height, width)
    canvas.packed[:] = 128
    return canvas


def changed(canvas: Canvas) -> tuple[int, int]:
    """Return how many rows and columns from the top left changed."""
    rows, columns = np.nonzero(canvas.luma != 128)
    return int(rows.max()) + 1, int(columns.max()) + 1


def test_a_row_has_a_swatch_in_the_colour_of_the_source_and_its_name() -> None:
    canvas = grey_canvas()
    Legend({2: "cat"}, 360, 640).draw(canvas)
    rows, columns = changed(canvas)
    assert rows < 60
    assert columns < 100
    assert canvas.luma[rows // 2, 12] == round(tint_of(2).light.luma)
    assert canvas.blue[rows // 4, 6] == round(tint_of(2).light.blue)
    assert canvas.luma[:rows, 20:columns].max() > 200  # the letters


def test_each_further_name_is_a_row_and_a_longer_name_makes_it_wider() -> None:
    one, two = grey_canvas(), grey_canvas()
    Legend({1: "cat"}, 360, 640).draw(one)
    Legend({1: "cat", 2: "a much longer name"}, 360, 640).draw(two)
    assert changed(two)[0] > 1.5 * changed(one)[0]
    assert changed(two)[1] > 1.5 * changed(one)[1]


@pytest.mark.parametrize(("height", "width"), [(16, 640), (360, 16)])
def test_a_legend_is_cropped_to_the_frame(height: int, width: int) -> None:
    canvas = grey_canvas(height, width)
    Legend(dict.fromkeys(range(1, 40), "a long name"), height, width).draw(canvas)
    assert changed(canvas) <= (height, width)
