"""Tests of compressed masks."""

import numpy as np
import pytest

from avseg.packed_mask import PackedMask


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (64, 48)])
def test_a_packed_mask_is_unpacked_without_loss(shape: tuple[int, int]) -> None:
    mask = np.random.default_rng(0).random(shape) > 0.5
    for each in (mask, ~mask, np.ones(shape, np.bool_), np.zeros(shape, np.bool_)):
        packed = PackedMask.pack(each)
        np.testing.assert_array_equal(packed.unpack(), each)
        assert packed.is_empty == (not each.any())
