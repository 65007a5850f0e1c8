"""Captions as word indices."""

import pytest

from avseg.synthavs.captions import (
    END,
    MAX_TEXT_WORDS,
    MAX_WORDS,
    NOTHING,
    PADDING,
    WORDS,
    category_captions,
    encode,
    encode_text,
)
from avseg.synthavs.categories import CATEGORIES


def test_words_are_numbered_from_padding() -> None:
    assert WORDS[0] == PADDING
    assert set(WORDS) == {PADDING, NOTHING, END, *CATEGORIES}
    assert len(set(WORDS)) == len(WORDS)


def test_a_caption_is_padded_to_its_full_length() -> None:
    assert encode(["cat", NOTHING]).tolist() == [WORDS.index("cat"), WORDS.index(NOTHING), 0]
    assert encode(["cat"]).shape == (MAX_WORDS,)


@pytest.mark.parametrize(
    "words", [[], ["cat"] * (MAX_WORDS + 1), ["unicorn"], [PADDING], [END]], ids=str
)
def test_invalid_captions_raise(words: list[str]) -> None:
    with pytest.raises(ValueError, match=rf"1 to {MAX_WORDS} of the words nothing, dog, .* got"):
        encode(words)


def test_each_category_and_nothing_has_a_text_with_the_end_word() -> None:
    captions = category_captions()
    assert captions.shape == (len(CATEGORIES) + 1, 2)
    assert [WORDS[number] for number in captions[:, 0]] == [*CATEGORIES, NOTHING]
    assert {WORDS[number] for number in captions[:, 1]} == {END}


def test_a_text_has_the_end_word_and_padding() -> None:
    numbers = encode_text(["cat", "dog"])
    end = WORDS.index(END)
    assert numbers.tolist() == [WORDS.index("cat"), WORDS.index("dog"), end, 0, 0, 0, 0]
    assert encode_text(["cat"] * (MAX_TEXT_WORDS - 1))[-1] == end
    with pytest.raises(ValueError, match=f"a caption has 1 to {MAX_TEXT_WORDS - 1} of the words"):
        encode_text(["cat"] * MAX_TEXT_WORDS)
