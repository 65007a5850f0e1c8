"""COCO run-length encoding (RLE) of masks, as compressed strings.

A mask is read column by column, from left to right, and stored as the lengths of its runs: first
the number of unmarked pixels (0 if the first pixel is marked), then of marked pixels, and so on.
pycocotools writes the string; H is the height and W the width of a mask.
"""

from typing import TypedDict

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco  # type: ignore[import-untyped]


class CocoRle(TypedDict):
    """A run-length encoded mask in COCO's JSON form.

    Attributes:
        size: Height and width of the mask, in pixels.
        counts: Run lengths as a compressed ASCII string.
    """

    size: list[int]
    counts: str


def encode_mask(mask: npt.NDArray[np.bool_]) -> CocoRle:
    """Encode one mask with pycocotools.

    Args:
        mask: Mask, (H, W) bool.

    Returns:
        The mask in COCO's JSON form.

    Raises:
        ValueError: If the mask is not two-dimensional and bool, or has no pixels.
    """
    _check_mask(mask)
    encoded = coco.encode(np.asfortranarray(mask).view(np.uint8))
    return {"size": encoded["size"], "counts": encoded["counts"].decode("ascii")}


def decode_mask(rle: CocoRle) -> npt.NDArray[np.bool_]:
    """Decode one mask.

    Args:
        rle: Mask in COCO's JSON form.

    Returns:
        Mask, (H, W) bool.

    Raises:
        ValueError: If the string is malformed or its run lengths do not add up to H * W.
    """
    height, width = rle["size"]
    counts = _parse_counts(rle["counts"])
    total, shortest = sum(counts), min(counts)
    if shortest < 0 or total != height * width:
        raise ValueError(
            f"the run lengths add up to {total} pixels and the shortest is {shortest}; a mask of "
            f"{height} x {width} has {height * width} pixels. Check that size is (height, width)."
        )
    # Not `pycocotools.mask.decode`: it does not check the string, and if the run lengths fall short
    # it returns uninitialized memory. With the lengths checked, one call to numpy is enough.
    marked = np.arange(len(counts)) % 2 == 1
    return np.repeat(marked, counts).reshape(width, height).T


def bounding_box(mask: npt.NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    """Compute the smallest upright box around the marked pixels of a mask.

    Args:
        mask: Mask, (H, W) bool.

    Returns:
        COCO's (x, y, width, height) in pixels, or None if no pixel is marked.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    left, top = int(columns[0]), int(rows[0])
    return left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1


def _check_mask(mask: npt.NDArray[np.bool_]) -> None:
    if mask.ndim != 2 or mask.dtype != np.bool_ or mask.size == 0:
        raise ValueError(
            f"a mask must be (H, W) bool with at least one pixel, got {mask.shape} {mask.dtype}; "
            "threshold probabilities first, and encode the frames one by one."
        )


def _parse_counts(string: str) -> list[int]:
    """Parse a compressed string to run lengths, without checking their sum.

    A length is stored in characters of 5 bits, lowest bits first. 48 is added to each so that it is
    printable, and a sixth bit marks that more characters follow. From the fourth length on, the
    difference to the length two before is stored, in two's complement: neighbouring columns of a
    mask are alike, so the differences are small.
    """
    codes = [code - ord("0") for code in string.encode("utf-8")]
    if not codes or min(codes) < 0 or max(codes) > 0b111111 or codes[-1] & 0b100000:
        raise ValueError(
            f"{string[:40]!r} is not a COCO run-length string; compress an uncompressed list of "
            "counts first, for instance with pycocotools.mask.frPyObjects."
        )
    counts: list[int] = []
    value = shift = 0
    for code in codes:
        value |= (code & 0b11111) << shift
        shift += 5
        if code & 0b100000:  # more characters follow
            continue
        if code & 0b10000:  # the highest bit is the sign
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return counts
