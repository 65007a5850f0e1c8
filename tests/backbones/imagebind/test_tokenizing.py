"""ImageBind's tokenizer."""

import gzip
from pathlib import Path

import pytest
import torch

from avseg.backbones.imagebind import ImageBindTokenizer
from avseg.errors import CheckpointError, PromptError

MERGES = ["a title", "d o", "do g</w>", "c a", "ca t</w>", "a b"]

#: Ids by SimpleTokenizer of github.com/facebookresearch/ImageBind at 53680b0 with these merges.
RECORDED = {
    "A dog": [517, 320, 513, 518],
    "Cat's dogs 12!": [517, 515, 6, 338, 512, 70, 338, 272, 273, 256, 518],
    "naïve 東": [517, 77, 64, 127, 107, 85, 324, 162, 251, 365, 518],
}


def write_merges(folder: Path) -> Path:
    """Write CLIP's file with five merges."""
    path = folder / "merges.txt.gz"
    path.write_bytes(gzip.compress("\n".join(MERGES).encode()))
    return path


@pytest.mark.parametrize("text", RECORDED)
def test_clips_ids_are_those_of_the_published_code(text: str, tmp_path: Path) -> None:
    tokenizer = ImageBindTokenizer.from_file(write_merges(tmp_path))
    assert len(tokenizer) == 519
    assert tokenizer.encode([text]).tolist() == [RECORDED[text]]


def test_a_long_text_is_cut_before_its_end() -> None:
    tokenizer = ImageBindTokenizer.from_merges(MERGES)
    assert tokenizer.encode(["dog " * 9], context=5).tolist() == [[517, 513, 513, 513, 518]]


def test_short_texts_are_padded_with_zeros() -> None:
    tokenizer = ImageBindTokenizer.from_words(("<pad>", "dog", "cat"))
    ids = tokenizer.encode(["a Dog", "the cat and the dog"])
    assert ids.tolist() == [[1, 3, 0], [2, 1, 3]]
    assert ids.dtype == torch.int64


@pytest.mark.parametrize("text", ["", "  ", "a", "a zebra"])
def test_a_text_without_a_known_word_is_rejected(text: str) -> None:
    tokenizer = ImageBindTokenizer.from_words(("<pad>", "dog", "cat"))
    with pytest.raises(PromptError, match="blank, or a word of it is not in this"):
        tokenizer.encode([text])


@pytest.mark.parametrize(
    "tokenizer",
    [ImageBindTokenizer.from_words(("<pad>", "dog")), ImageBindTokenizer.from_merges(MERGES)],
    ids=["words", "merges"],
)
def test_a_saved_tokenizer_is_the_same(tokenizer: ImageBindTokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    assert ImageBindTokenizer.from_file(tmp_path / ImageBindTokenizer.FILE) == tokenizer


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", b"{}"),
        ("a.txt.gz", b"no archive"),
        ("a.txt", b"title\nnot a pair\n"),
        ("a.txt", b""),
        ("a.txt", b"\xff\xfe"),
    ],
)
def test_a_file_that_is_no_tokenizer_is_rejected(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"is not a usable tokenizer.*bpe_simple_voca"):
        ImageBindTokenizer.from_file(tmp_path / name)
