"""F-score of the boundaries of masks, as the DAVIS benchmark defines it.

Perazzi et al., "A benchmark dataset and evaluation methodology for video object segmentation",
CVPR 2016, section 5: precision and recall of boundary pixels, which match within a tolerance.
"""

import math

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt  # type: ignore[import-untyped]

#: Tolerance as a share of the diagonal of the picture, as in the published evaluation code.
TOLERANCE = 0.008

Mask = npt.NDArray[np.bool_]


def boundary_f(mask: Mask, truth: Mask, tolerance: float | None = None) -> float:
    """Compute the F-score of the boundary of a mask.

    Args:
        mask: Predicted mask, (H, W) bool.
        truth: Ground-truth mask, (H, W) bool.
        tolerance: Largest distance of matching boundary pixels, in pixels; None for 0.8 % of the
            diagonal, rounded up.

    Returns:
        The F-score in [0, 1]: 1 if both masks have no boundary, 0 if only one of them has none.

    Raises:
        ValueError: If the masks differ in shape.
    """
    if mask.shape != truth.shape:
        raise ValueError(f"the mask is {mask.shape}, the ground truth is {truth.shape}.")
    if tolerance is None:
        tolerance = math.ceil(TOLERANCE * math.hypot(*mask.shape))
    found, true = boundary_pixels(mask), boundary_pixels(truth)
    if not found.any() or not true.any():
        return float(found.any() == true.any())
    precision = _share_near(found, true, tolerance)
    recall = _share_near(true, found, tolerance)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def boundary_pixels(mask: Mask) -> Mask:
    """Find the boundary pixels of a mask.

    Args:
        mask: The mask, (H, W) bool.

    Returns:
        The pixels whose right, lower or lower right neighbour is on the other side of the boundary,
        (H, W) bool. The edge of the picture is no boundary.
    """
    # A copy of the last row and column has no boundary towards them.
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    right, lower, diagonal = padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    boundary: Mask = (mask != right) | (mask != lower) | (mask != diagonal)
    return boundary


def _share_near(pixels: Mask, others: Mask, tolerance: float) -> float:
    """Return the share of pixels that have one of the others within a distance."""
    distances = distance_transform_edt(~others)
    return float((distances[pixels] <= tolerance).mean())
