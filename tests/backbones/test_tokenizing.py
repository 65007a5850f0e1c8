"""BEiT-3's tokenizers: ids of XLM-RoBERTa, or word ids."""

import io
import pickle
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sentencepiece

from avseg.backbones.tokenizing import SentencePieceTokenizer, WordTokenizer, load_tokenizer
from avseg.errors import CheckpointError, PromptError

SENTENCES = (
    "the dog on the left",
    "a man who plays the violin beside the tree",
    "two black cats",
    "ﬁne naïve café Ⅳ",
)
#: Options of BEiT-3's model, apart from the size.
DEFAULTS: dict[str, Any] = {
    "model_type": "unigram",
    "normalization_rule_name": "nmt_nfkc",
    "vocab_size": 60,
}
WORDS = WordTokenizer(("<pad>", "nothing", "dog", "bus", "<end>"))


@cache
def trained(**options: Any) -> bytes:
    """Train a SentencePiece model on a few sentences."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 3),
        model_writer=model,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
        **(DEFAULTS | options),
    )
    return model.getvalue()


def xlm_roberta_ids(model: bytes, text: str) -> list[int]:
    """Return the library's ids plus 1, with <s> = 0, </s> = 2 and <unk> = 3."""
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    return [0, *(number + 1 if number else 3 for number in processor.encode(text)), 2]


@pytest.mark.parametrize(
    "text",
    [
        *SENTENCES,
        "  the  dog\ton the\nleft ",
        "a zebra, top-left!",  # letters that are in no sentence
        "日本 dog 日本語",
        "\uff21\u3000\uff44\uff4f\uff47",  # full-width letters
        "cafe\u0301",  # a combining accent
        "a\u200bb\u00a0dog",
        "<s> dog </s> <unk> <pad>",
        "x▁y",
    ],
)
@pytest.mark.parametrize("rule", ["nmt_nfkc", "identity"])
def test_ids_are_the_sentencepiece_librarys_one_further_on(text: str, rule: str) -> None:
    model = trained(normalization_rule_name=rule)
    assert SentencePieceTokenizer(model).encode(text) == xlm_roberta_ids(model, text)


def test_user_defined_pieces_are_not_split() -> None:
    model = trained(user_defined_symbols="[semantic]")
    for text in ("[semantic] dog", "the[semantic]dog"):
        assert SentencePieceTokenizer(model).encode(text) == xlm_roberta_ids(model, text)


def test_the_table_needs_a_row_for_each_piece_and_for_padding() -> None:
    count = sentencepiece.SentencePieceProcessor(model_proto=trained()).get_piece_size()
    assert len(SentencePieceTokenizer(trained())) == count + 1


def test_added_tokens_are_matched_first(tmp_path: Path) -> None:
    model = trained()
    SentencePieceTokenizer(model, {"[semantic]": 70}).save(tmp_path)
    tokenizer = SentencePieceTokenizer.from_file(tmp_path / SentencePieceTokenizer.FILE)
    dog = xlm_roberta_ids(model, "the dog")[1:-1]
    assert tokenizer.encode("[semantic] the dog") == [0, 70, *dog, 2]
    assert tokenizer.encode("the dog[semantic]") == [0, *dog, 70, 2]
    assert len(tokenizer) == 71


def test_a_model_with_other_special_pieces_is_rejected() -> None:
    with pytest.raises(ValueError, match="does not begin with <unk>, <s>, </s>"):
        SentencePieceTokenizer(trained(bos_id=2, eos_id=1, unk_id=3))


def test_a_tokenizer_that_was_used_can_be_pickled() -> None:
    tokenizer = SentencePieceTokenizer(trained())
    ids = tokenizer.encode("the dog")
    assert pickle.loads(pickle.dumps(tokenizer)).encode("the dog") == ids  # noqa: S301 - our own


def test_damaged_added_tokens_are_rejected(tmp_path: Path) -> None:
    SentencePieceTokenizer(trained()).save(tmp_path)
    (tmp_path / "added_tokens.json").write_text('["[semantic]"]')
    with pytest.raises(CheckpointError, match=r"added_tokens.json if there is one"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("content", [b"<html>not found</html>", b"", trained()[:-100]])
def test_a_damaged_file_is_rejected_by_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "beit3.spm"
    path.write_bytes(content)
    with pytest.raises(
        CheckpointError, match=r"beit3.spm: is not a usable SentencePiece.*copy it again"
    ):
        SentencePieceTokenizer.from_file(path)


@pytest.mark.parametrize(
    ("text", "ids"),
    [("dog", [2]), ("Bus dog", [3, 2]), ("a dog and the bus.", [2, 3]), ("nothing", [1])],
)
def test_words_are_numbered(text: str, ids: list[int]) -> None:
    assert WORDS.encode(text) == ids


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("the cat", r"unknown words \(cat\)"),
        ("dog on the left", r"unknown words \(on, left\)"),
        ("the", "only ignored words"),
        ("<pad>", r"unknown words \(pad\)"),
    ],
)
def test_a_text_with_unknown_words_is_rejected_with_the_vocabulary(text: str, what: str) -> None:
    with pytest.raises(PromptError, match=f"{what}; the words of this model are nothing, dog, bus"):
        WORDS.encode(text)


@pytest.mark.parametrize(
    "tokenizer", [SentencePieceTokenizer(trained()), WORDS], ids=["spm", "words"]
)
def test_a_saved_tokenizer_loads_as_the_same(
    tokenizer: SentencePieceTokenizer | WordTokenizer, tmp_path: Path
) -> None:
    tokenizer.save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert loaded == tokenizer
    assert loaded.encode("the dog") == tokenizer.encode("the dog")


def test_a_folder_without_a_tokenizer_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(
        CheckpointError, match=r"neither sentencepiece.bpe.model nor words.txt; save the processor"
    ):
        load_tokenizer(tmp_path)
