"""Detection of dithered masks."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from avseg.datasets.checking.images import find_specks, looks_dithered


@pytest.fixture
def disc() -> NDArray[np.bool_]:
    y, x = np.mgrid[:100, :100]
    return np.asarray((x - 50) ** 2 + (y - 50) ** 2 < 30**2)


@pytest.mark.parametrize("value", [38, 75, 128, 200])
def test_a_flat_grey_that_pillow_made_one_bit_looks_dithered(
    value: int, disc: NDArray[np.bool_]
) -> None:
    grey = Image.fromarray(disc.astype(np.uint8) * np.uint8(value))
    assert looks_dithered(np.asarray(grey.convert("1")))


def test_a_drawn_mask_does_not_look_dithered(disc: NDArray[np.bool_]) -> None:
    assert not looks_dithered(disc)
    assert not looks_dithered(np.zeros_like(disc))


def test_a_few_dots_are_no_dithering() -> None:
    mask = np.zeros((50, 50), bool)
    mask[::15, ::15] = True
    assert not looks_dithered(mask)


def test_a_small_group_is_a_speck_only_far_from_the_objects_of_all_frames(
    disc: NDArray[np.bool_],
) -> None:
    speck, nothing = np.zeros_like(disc), np.zeros_like(disc)
    row, column = np.argwhere(~disc)[0]
    speck[row, column] = True
    assert find_specks([nothing, speck]) == [0, 1]
    assert find_specks([speck, speck]) == [0, 0]  # it stays, so it is an object
    assert find_specks([disc, nothing]) == [0, 0]
    assert find_specks([]) == []
