"""Vocabularies."""

from pathlib import Path

import pytest

from avseg.errors import PromptError
from avseg.models.vocabulary import (
    audioset_names,
    avsbench_categories,
    avsbench_names,
    check_vocabulary,
    read_vocabulary,
)


def test_avsbench_has_70_names_in_the_order_of_its_table() -> None:
    names = avsbench_names()
    assert (len(names), len(set(names))) == (70, 70)
    assert (names[0], names[-1]) == ("accordion", "woman")
    assert list(names) == sorted(names)


def test_categories_have_the_spelling_of_avsbench() -> None:
    assert "hair-dryer" in avsbench_categories()
    assert "hair dryer" in avsbench_names()


def test_a_vocabulary_is_a_list_with_commas_or_a_file(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("dog\n\n male speech \n", encoding="utf-8")
    assert read_vocabulary(str(path)) == ("dog", "male speech")
    assert read_vocabulary("dog, male speech,") == ("dog", "male speech")


@pytest.mark.parametrize(
    ("given", "message"),
    [("gone.txt", "gone.txt: the vocabulary cannot be read"), (" , ", "has no name")],
)
def test_a_vocabulary_without_names_raises_an_error(given: str, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        read_vocabulary(given)


def test_the_names_of_a_data_set_are_a_vocabulary() -> None:
    assert read_vocabulary("avsbench") == avsbench_names()
    assert read_vocabulary("audioset") == audioset_names()
    check_vocabulary(audioset_names())
    assert len(audioset_names()) == 527
    assert audioset_names()[:2] == ("Speech", "Male speech, man speaking")
