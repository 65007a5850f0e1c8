"""Captions of SynthAVS scenes: the names of what they show, as word numbers.

A caption is a list of category names in any order, at most `MAX_WORDS` words; free places hold the
word "nothing" or padding, so that a caption has as many places as AV2T-SAM has pseudo text tokens.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from avseg.datasets.synthetic.categories import CATEGORIES

PADDING = "<pad>"
NOTHING = "nothing"

END = "<end>"

#: Every word, by number.
WORDS: tuple[str, ...] = (PADDING, NOTHING, *CATEGORIES, END)
MAX_WORDS = 3

_NUMBERS = {word: number for number, word in enumerate(WORDS)}


def encode(words: Sequence[str]) -> NDArray[np.int64]:
    """Return word numbers, padded to `MAX_WORDS`.

    Args:
        words: One to `MAX_WORDS` words.

    Returns:
        Word numbers, (MAX_WORDS,) int64; 0 is padding.

    Raises:
        ValueError: If there are no words, too many, or an unknown one.
    """
    unknown = [word for word in words if word not in WORDS[1:-1]]
    if unknown or not 1 <= len(words) <= MAX_WORDS:
        raise ValueError(
            f"a caption has 1 to {MAX_WORDS} of the words {', '.join(WORDS[1:-1])}; "
            f"got {list(words)}."
        )
    numbers = [_NUMBERS[word] for word in words]
    return np.array(numbers + [0] * (MAX_WORDS - len(numbers)), np.int64)


def category_captions() -> NDArray[np.int64]:
    """Return the caption of each category, and of nothing, closed by the end word.

    Returns:
        Word numbers in the order of `CATEGORIES`, the last row "nothing", (C + 1, 2) int64.
    """
    return np.array([[_NUMBERS[word], _NUMBERS[END]] for word in (*CATEGORIES, NOTHING)], np.int64)
