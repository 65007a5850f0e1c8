"""COCO run-length encoding of masks, the compressed strings that pycocotools writes and reads.

A mask is read down its columns, from left to right, and described by the lengths of its runs:
first how many pixels are unmarked (perhaps 0), then how many are marked, and so on. From the
fourth length on, the difference to the length two before is stored, since neighbouring columns
are alike. Each number becomes characters of 5 bits, lowest first, plus a sixth bit that says
"more follows"; 48 is added so that every character is printable. The highest of a number's bits
is its sign, as in two's complement.
"""

from typing import TypedDict

import numpy as np
import numpy.typing as npt

_ASCII_ZERO = 48
_MORE_FOLLOWS = 0x20
_SIGN = 0x10
_LOW_FIVE_BITS = 0x1F

Counts = npt.NDArray[np.int64]


class CocoRle(TypedDict):
    """A mask as COCO's JSON holds it: its size, (height, width), and its run lengths."""

    size: list[int]
    counts: str


def encode_mask(mask: npt.NDArray[np.bool_]) -> CocoRle:
    """Encode one mask; the string equals the one pycocotools makes.

    Args:
        mask: (H, W) bool.

    Returns:
        The mask as COCO's JSON holds it.

    Raises:
        ValueError: If the mask is not two-dimensional and bool, or has no pixels.
    """
    if mask.ndim != 2 or mask.dtype != np.bool_ or mask.size == 0:
        raise ValueError(
            f"a mask must be (H, W) bool with at least one pixel, got {mask.shape} {mask.dtype}; "
            "threshold probabilities first, and encode the frames one by one."
        )
    height, width = mask.shape
    return {"size": [height, width], "counts": _counts_to_string(_run_lengths(mask))}


def decode_mask(rle: CocoRle) -> npt.NDArray[np.bool_]:
    """Decode one mask.

    Args:
        rle: The mask as COCO's JSON holds it.

    Returns:
        The mask, (H, W) bool.

    Raises:
        ValueError: If the string is damaged or does not fill the size.
    """
    height, width = rle["size"]
    counts = _checked_counts(rle)
    marked = np.arange(len(counts)) % 2 == 1
    return np.repeat(marked, counts).reshape(width, height).T


def area(rle: CocoRle) -> int:
    """Count the marked pixels of an encoded mask.

    Args:
        rle: The mask as COCO's JSON holds it.

    Returns:
        How many pixels are marked.

    Raises:
        ValueError: If the string is damaged or does not fill the size.
    """
    return int(_checked_counts(rle)[1::2].sum())


def bounding_box(rle: CocoRle) -> tuple[int, int, int, int] | None:
    """Find the smallest upright box around the marked pixels of an encoded mask.

    Args:
        rle: The mask as COCO's JSON holds it.

    Returns:
        COCO's (x, y, width, height) in pixels, or None if nothing is marked.

    Raises:
        ValueError: If the string is damaged or does not fill the size.
    """
    height, _ = rle["size"]
    counts = _checked_counts(rle)
    ends = np.cumsum(counts)
    runs = counts[1::2] > 0
    first = (ends - counts)[1::2][runs]
    last = ends[1::2][runs] - 1
    if not runs.any():
        return None
    left, right = int(first[0] // height), int(last[-1] // height)
    if (first // height != last // height).any():
        # A run that goes on into the next column holds a bottom pixel and a top pixel.
        top, bottom = 0, height - 1
    else:
        top, bottom = int((first % height).min()), int((last % height).max())
    return left, top, right - left + 1, bottom - top + 1


def _run_lengths(mask: npt.NDArray[np.bool_]) -> Counts:
    pixels = mask.ravel(order="F")
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    counts: Counts = np.diff(changes, prepend=0, append=pixels.size)
    return np.insert(counts, 0, 0) if pixels[0] else counts


def _counts_to_string(counts: Counts) -> str:
    rest = counts.astype(np.int64)
    rest[3:] -= counts[1:-2]
    unfinished = np.ones(len(rest), dtype=bool)
    characters, present = [], []
    while unfinished.any():
        group = rest & _LOW_FIVE_BITS
        rest = rest >> 5
        # Done when what is left is nothing but copies of the sign bit just written.
        more = rest != np.where(group & _SIGN, -1, 0)
        characters.append(group + np.where(more, _MORE_FOLLOWS, 0) + _ASCII_ZERO)
        present.append(unfinished)
        unfinished = unfinished & more
    codes: Counts = np.stack(characters, axis=1)[np.stack(present, axis=1)]
    return bytes(codes.tolist()).decode("ascii")


def _checked_counts(rle: CocoRle) -> Counts:
    height, width = rle["size"]
    counts = _string_to_counts(rle["counts"])
    if counts.min(initial=0) < 0 or counts.sum() != height * width:
        raise ValueError(
            f"the run lengths add up to {counts.sum()} pixels, shortest {counts.min(initial=0)}, "
            f"a mask of {height} x {width} has {height * width}; is the size (height, width)?"
        )
    return counts


def _string_to_counts(string: str) -> Counts:
    codes = np.frombuffer(string.encode("utf-8"), dtype=np.uint8).astype(np.int64) - _ASCII_ZERO
    last = (codes & _MORE_FOLLOWS) == 0
    if len(codes) == 0 or codes.min() < 0 or codes.max() > 0x3F or not last[-1]:
        raise ValueError(
            f"{string[:40]!r} is not a COCO run-length string; uncompressed lists of counts have "
            "to be compressed first."
        )
    ends = np.flatnonzero(last)
    starts = np.concatenate(([0], ends[:-1] + 1))
    place = 5 * (np.arange(len(codes)) - np.repeat(starts, ends - starts + 1))
    counts: Counts = np.add.reduceat((codes & _LOW_FIVE_BITS) << place, starts)
    negative = (codes[ends] & _SIGN) != 0
    counts[negative] -= np.int64(1) << (place[ends[negative]] + 5)
    counts[1::2] = np.cumsum(counts[1::2])
    counts[2::2] = np.cumsum(counts[2::2])
    return counts
