"""Captions of SynthAVS scenes: category names as word indices.

A caption lists category names in any order, at most `MAX_WORDS` words. Unused positions contain the
word "nothing" or padding, so that a caption has as many positions as AV2T-SAM has pseudo text
tokens.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from avseg.synthavs.categories import CATEGORIES

PADDING = "<pad>"
NOTHING = "nothing"

END = "<end>"

#: Vocabulary; the index of a word is its position, so padding is 0.
WORDS: tuple[str, ...] = (PADDING, NOTHING, *CATEGORIES, END)
#: Number of words in a caption.
MAX_WORDS = 3

#: Length of the texts of `encode_text`, including the end word.
MAX_TEXT_WORDS = 7

_INDICES = {word: number for number, word in enumerate(WORDS)}


def encode(words: Sequence[str]) -> NDArray[np.int64]:
    """Encode words as indices, padded to `MAX_WORDS`.

    Args:
        words: One to `MAX_WORDS` words.

    Returns:
        Word indices, (MAX_WORDS,) int64; 0 is padding.

    Raises:
        ValueError: If there are no words, too many, or an unknown one.
    """
    return _indices(words, MAX_WORDS, MAX_WORDS)


def encode_text(words: Sequence[str]) -> NDArray[np.int64]:
    """Encode words as indices, followed by the end word and padded to `MAX_TEXT_WORDS`.

    Args:
        words: One to `MAX_TEXT_WORDS` - 1 words.

    Returns:
        Word indices, (MAX_TEXT_WORDS,) int64; 0 is padding.

    Raises:
        ValueError: If there are no words, too many, or an unknown one.
    """
    indices = _indices(words, MAX_TEXT_WORDS - 1, MAX_TEXT_WORDS)
    indices[len(words)] = _INDICES[END]
    return indices


def category_captions() -> NDArray[np.int64]:
    """Encode each category, and "nothing", as a text of one word and the end word.

    Returns:
        Word indices, (C + 1, 2) int64, in the order of the C `CATEGORIES`; the last row is
        "nothing".
    """
    return np.array([[_INDICES[word], _INDICES[END]] for word in (*CATEGORIES, NOTHING)], np.int64)


def _indices(words: Sequence[str], longest: int, length: int) -> NDArray[np.int64]:
    """Return the indices of at most `longest` words, padded to `length`."""
    unknown = [word for word in words if word not in WORDS[1:-1]]
    if unknown or not 1 <= len(words) <= longest:
        raise ValueError(
            f"a caption has 1 to {longest} of the words {', '.join(WORDS[1:-1])}; "
            f"got {list(words)}."
        )
    indices = np.zeros(length, np.int64)
    indices[: len(words)] = [_INDICES[word] for word in words]
    return indices
