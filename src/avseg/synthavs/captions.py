"""Captions of SynthAVS scenes: the names of what they show, as word numbers.

A caption is a list of category names in any order, at most `MAX_WORDS` words; free places hold the
word "nothing" or padding, so that a caption has as many places as AV2T-SAM has pseudo text tokens.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from avseg.synthavs.categories import CATEGORIES

PADDING = "<pad>"
NOTHING = "nothing"

END = "<end>"

#: Every word, by number.
WORDS: tuple[str, ...] = (PADDING, NOTHING, *CATEGORIES, END)
MAX_WORDS = 3

#: Longest text of `encode_text`, its end included.
MAX_TEXT_WORDS = 7

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
    return _numbers(words, MAX_WORDS, MAX_WORDS)


def encode_text(words: Sequence[str]) -> NDArray[np.int64]:
    """Return word numbers closed by the end word, padded to `MAX_TEXT_WORDS`.

    Args:
        words: One to `MAX_TEXT_WORDS` - 1 words.

    Returns:
        Word numbers, (MAX_TEXT_WORDS,) int64; 0 is padding.

    Raises:
        ValueError: If there are no words, too many, or an unknown one.
    """
    numbers = _numbers(words, MAX_TEXT_WORDS - 1, MAX_TEXT_WORDS)
    numbers[len(words)] = _NUMBERS[END]
    return numbers


def category_captions() -> NDArray[np.int64]:
    """Return the caption of each category, and of nothing, closed by the end word.

    Returns:
        Word numbers in the order of `CATEGORIES`, the last row "nothing", (C + 1, 2) int64.
    """
    return np.array([[_NUMBERS[word], _NUMBERS[END]] for word in (*CATEGORIES, NOTHING)], np.int64)


def _numbers(words: Sequence[str], longest: int, length: int) -> NDArray[np.int64]:
    """Look up at most `longest` words, filled up to `length` numbers."""
    unknown = [word for word in words if word not in WORDS[1:-1]]
    if unknown or not 1 <= len(words) <= longest:
        raise ValueError(
            f"a caption has 1 to {longest} of the words {', '.join(WORDS[1:-1])}; "
            f"got {list(words)}."
        )
    numbers = np.zeros(length, np.int64)
    numbers[: len(words)] = [_NUMBERS[word] for word in words]
    return numbers
