"""Detection of dithered masks."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from avseg.datasets.checking.images import looks_dithered


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
