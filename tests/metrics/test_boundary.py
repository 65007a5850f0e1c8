"""Boundary F-score against values recorded from DAVIS's evaluation code, and its edge cases.

Recorded from davis2017/metrics.py of github.com/davisvideochallenge/davis2017-evaluation.
"""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter  # type: ignore[import-untyped]

from avseg.metrics.boundary import Mask, boundary_f, boundary_pixels

#: Shape and seeds of two random masks -> F of the first mask moved by two pixels, of the second
#: mask, and of their intersection, against the first mask; F of the first with tolerance 2.
RECORDED = {
    (48, 64, 1, 2): (0.49638737482570666, 0.26836674775606073, 0.5179856115107914, 0.9438516937850),
    (90, 160, 3, 4): (0.9929316728374286, 0.35383139299102856, 0.6151446703237603, 0.992931672837),
    (180, 320, 5, 6): (0.9984995997781168, 0.5450215263728104, 0.7000704611289439, 0.99755120868),
}


def blobs(shape: tuple[int, int], seed: int) -> Mask:
    """Return a mask of several round shapes, some of them cut by the edge of the picture."""
    noise = np.random.default_rng(seed).normal(size=shape)
    mask: Mask = gaussian_filter(noise, 4) > 0.02
    return mask


@pytest.mark.parametrize("case", RECORDED, ids=str)
def test_the_scores_are_those_of_the_published_code(case: tuple[int, int, int, int]) -> None:
    truth, other = (blobs(case[:2], seed) for seed in case[2:])
    moved = np.roll(truth, 2, axis=1)
    scores = [boundary_f(mask, truth) for mask in (moved, other, truth & other)]
    scores.append(boundary_f(moved, truth, tolerance=2))
    assert scores == pytest.approx(RECORDED[case], abs=1e-9)


def test_a_perfect_mask_scores_1_and_a_missing_one_0() -> None:
    truth = blobs((48, 64), 1)
    nothing = np.zeros_like(truth)
    assert boundary_f(truth, truth) == 1
    assert boundary_f(nothing, truth) == boundary_f(truth, nothing) == 0
    # The full picture has no boundary.
    assert boundary_f(~nothing, truth) == 0
    assert boundary_f(nothing, nothing) == boundary_f(~nothing, nothing) == 1


def test_the_edge_of_the_picture_is_no_boundary() -> None:
    mask = np.zeros((4, 5), bool)
    mask[:, :2] = True
    assert [tuple(pixel) for pixel in np.argwhere(boundary_pixels(mask))] == [
        (row, 1) for row in range(4)
    ]


def test_masks_of_different_shape_raise_an_error() -> None:
    with pytest.raises(ValueError, match=r"the mask is \(2, 3\), the ground truth is \(2, 2\)"):
        boundary_f(np.zeros((2, 3), bool), np.zeros((2, 2), bool))
