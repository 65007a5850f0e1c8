"""Text to token ids: BEiT-3's SentencePiece model, or the words that a small model was taught.

One interface, `TextTokenizer`, two tokenizers. Each is one file beside the model, by whose name
`load_tokenizer` knows it.
"""

import json
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Protocol, Self

from tokenizers import Regex, Tokenizer, normalizers
from tokenizers.models import Unigram

from avseg.errors import CheckpointError, PromptError

#: Kinds of pieces in a SentencePiece model.
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED = 1, 2, 3, 4
#: The algorithm of a SentencePiece model that `Unigram` computes.
_UNIGRAM = 1


class TextTokenizer(Protocol):
    """What turns a text into rows of BEiT-3's text table."""

    #: Name of its file beside the model.
    FILE: ClassVar[str]
    #: Id that fills up short texts, to be masked.
    PAD_ID: ClassVar[int]

    def __len__(self) -> int:
        """Rows of the text table that it needs."""
        ...

    def encode(self, text: str) -> list[int]:
        """Turn a text that is not blank into token ids."""
        ...

    def save(self, folder: Path) -> None:
        """Write `FILE` into a folder that is there."""
        ...


@dataclass(frozen=True)
class SentencePieceTokenizer:
    """The tokenizer of BEiT-3 and so of EVF-SAM: a unigram SentencePiece model (`beit3.spm`).

    Ids are those of XLM-RoBERTa, whose tokenizer both repositories use (microsoft/unilm, beit3;
    hustvl/EVF-SAM): a text is `<s> pieces </s>` with <s> = 0, <pad> = 1, </s> = 2, <unk> = 3, and
    any other piece has its number in the file plus 1. The sentencepiece library gives the same ids;
    where several accents stand on one letter, and there alone, it may join them otherwise.

    A repository may add tokens, in a file beside the model, that are matched before all else:
    EVF-SAM's multitask models have "[semantic]".

    Args:
        model: Content of the SentencePiece model file.
        added: Ids of tokens that are not in it.

    Raises:
        ValueError: If it is no such file, or one that needs what is not computed here.
    """

    FILE: ClassVar[str] = "sentencepiece.bpe.model"  # as XLM-RoBERTa's is called in repositories
    PAD_ID: ClassVar[int] = 1
    _ADDED_FILE: ClassVar[str] = "added_tokens.json"
    _START, _END, _UNKNOWN_ID, _OFFSET = 0, 2, 3, 1

    model: bytes = field(repr=False)
    added: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._unigram  # noqa: B018 - a damaged file is to be noticed now

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read a SentencePiece model, and `added_tokens.json` beside it if that is there.

        Args:
            path: The file.

        Returns:
            The tokenizer.

        Raises:
            CheckpointError: If it cannot be read or used.
        """
        beside = path.with_name(cls._ADDED_FILE)
        try:
            added = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
            return cls(path.read_bytes(), {str(token): int(added[token]) for token in added})
        except (OSError, ValueError, TypeError) as error:
            raise CheckpointError(
                f"{path}: is no SentencePiece model that can be used ({error}); copy it again from "
                f"where the model's weights come from, with {cls._ADDED_FILE} if there is one."
            ) from error

    def __len__(self) -> int:
        highest = self._unigram.get_vocab_size() - 1 + self._OFFSET
        return max([highest, *self.added.values()]) + 1

    def encode(self, text: str) -> list[int]:
        """Turn a text into token ids.

        Args:
            text: The text.

        Returns:
            Ids, those of the start and the end included; unknown characters are id 3.
        """
        ids = [self._START]
        for part in self._split(text):
            if part in self.added:
                ids.append(self.added[part])
                continue
            numbers = self._unigram.encode(part).ids
            ids += [n + self._OFFSET if n else self._UNKNOWN_ID for n in numbers]
        return [*ids, self._END]

    def save(self, folder: Path) -> None:
        """Write the model file.

        Args:
            folder: A folder that is there.
        """
        (folder / self.FILE).write_bytes(self.model)
        if self.added:
            (folder / self._ADDED_FILE).write_text(json.dumps(dict(self.added)), encoding="utf-8")

    def _split(self, text: str) -> list[str]:
        """Cut added tokens out of the text between them."""
        if not self.added:
            return [text]
        return re.split(f"({'|'.join(map(re.escape, self.added))})", text)

    @cached_property
    def _unigram(self) -> Tokenizer:
        """The model without XLM-RoBERTa's ids, computed by Hugging Face's `tokenizers`."""
        message = _Message(self.model)
        pieces = [_Piece.read(piece) for piece in message.blobs(1)]
        if [piece.kind for piece in pieces[:3]] != [_UNKNOWN, _CONTROL, _CONTROL]:
            raise ValueError("it does not begin with <unk>, <s>, </s>")
        odd = {piece.kind for piece in pieces} - {_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED}
        algorithm = _Message(message.blob(2)).number(3, default=_UNIGRAM)
        rules = _Message(message.blob(3))
        if odd or algorithm != _UNIGRAM or 0 in [rules.number(n, default=1) for n in (3, 4, 5)]:
            raise ValueError("it is not of the unigram kind with the usual treatment of spaces")
        tokenizer = Tokenizer(Unigram([piece.entry for piece in pieces], unk_id=0))
        charsmap = rules.blob(2)
        tokenizer.normalizer = normalizers.Sequence(
            [
                *([normalizers.Precompiled(charsmap)] if charsmap else []),
                normalizers.Replace(Regex(" +"), " "),
                normalizers.Strip(),
                normalizers.Prepend("▁"),
                normalizers.Replace(" ", "▁"),
            ]
        )
        return tokenizer


@dataclass(frozen=True)
class WordTokenizer:
    """Whole words, for a small model that was taught captions of a few dozen words.

    Articles and "and" are passed over and case does not matter, so that "a dog and the bus" is the
    caption "dog bus".

    Args:
        words: Every word by its id; the first is padding.
    """

    FILE: ClassVar[str] = "words.txt"
    PAD_ID: ClassVar[int] = 0
    _PASSED_OVER: ClassVar[frozenset[str]] = frozenset({"a", "an", "and", "the"})

    words: tuple[str, ...]

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read words.

        Args:
            path: The file, a word on each line.

        Returns:
            The tokenizer.

        Raises:
            CheckpointError: If it cannot be read.
        """
        try:
            return cls(tuple(path.read_text(encoding="utf-8").splitlines()))
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{path}: holds no words ({error}); save the processor again."
            ) from error

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, text: str) -> list[int]:
        """Turn a text into word numbers.

        Args:
            text: The text.

        Returns:
            Number of each word that counts.

        Raises:
            PromptError: If a word is unknown, or no word counts.
        """
        words = [word for word in re.findall(r"\w+", text.lower()) if word not in self._PASSED_OVER]
        unknown = [word for word in words if word not in self.words]
        if unknown or not words:
            known = ", ".join(word for word in self.words if word.isalpha())
            raise PromptError(
                f"text {text!r}: this model does not know {', '.join(unknown) or 'what is meant'}; "
                f"its words are {known}."
            )
        return [self.words.index(word) for word in words]

    def save(self, folder: Path) -> None:
        """Write the words, one on each line.

        Args:
            folder: A folder that is there.
        """
        (folder / self.FILE).write_text("\n".join(self.words) + "\n", encoding="utf-8")


def load_tokenizer(folder: Path) -> TextTokenizer:
    """Load the tokenizer that lies beside a model.

    Args:
        folder: The model's folder.

    Returns:
        The tokenizer.

    Raises:
        CheckpointError: If there is none, or it is damaged.
    """
    kinds = (SentencePieceTokenizer, WordTokenizer)
    for kind in kinds:
        if (folder / kind.FILE).is_file():
            return kind.from_file(folder / kind.FILE)
    raise CheckpointError(
        f"{folder}: has no tokenizer, neither {' nor '.join(kind.FILE for kind in kinds)}; save "
        "the processor with its tokenizer, or copy the file from where the weights come from."
    )


@dataclass(frozen=True)
class _Piece:
    """A piece of a SentencePiece model: message `SentencePiece` of its format."""

    text: str
    score: float
    kind: int

    @classmethod
    def read(cls, blob: bytes) -> Self:
        message = _Message(blob)
        (score,) = struct.unpack("<f", message.blob(2) or bytes(4))
        return cls(message.blob(1).decode(), score, message.number(3, default=_NORMAL))

    @property
    def entry(self) -> tuple[str, float]:
        """Its text and log probability; a text with a space is in no normalised text.

        So a text that spells out "</s>" does not end there.
        """
        is_matched = self.kind in (_NORMAL, _USER_DEFINED)
        return (self.text if is_matched else f" {self.text}", self.score)


class _Message:
    """Fields of a protocol buffer message, by their numbers."""

    def __init__(self, blob: bytes) -> None:
        self._fields: dict[int, list[int | bytes]] = {}
        for number, value in _read_fields(blob):
            self._fields.setdefault(number, []).append(value)

    def blobs(self, number: int) -> Sequence[bytes]:
        """Return the values of a field of texts, messages or floats."""
        return [value for value in self._fields.get(number, []) if isinstance(value, bytes)]

    def blob(self, number: int) -> bytes:
        """Return the last value of such a field, empty without one."""
        return self.blobs(number)[-1] if self.blobs(number) else b""

    def number(self, number: int, default: int) -> int:
        """Return the value of a field of whole numbers."""
        value = self._fields.get(number, [default])[-1]
        return value if isinstance(value, int) else default


def _read_fields(blob: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field of a protocol buffer message."""
    place = 0
    while place < len(blob):
        key, place = _read_varint(blob, place)
        if key & 7 == 0:
            number, place = _read_varint(blob, place)
            yield key >> 3, number
            continue
        size = {1: 8, 5: 4}.get(key & 7)
        if key & 7 == 2:
            size, place = _read_varint(blob, place)
        if size is None or place + size > len(blob):
            raise ValueError(f"it is damaged or cut short at byte {place} of {len(blob)}")
        yield key >> 3, blob[place : place + size]
        place += size


def _read_varint(blob: bytes, place: int) -> tuple[int, int]:
    """Return the number that begins at a place, seven bits in each byte, and the place after it."""
    value = 0
    for index in range(place, min(place + 10, len(blob))):
        value |= (blob[index] & 127) << 7 * (index - place)
        if blob[index] < 128:
            return value, index + 1
    raise ValueError(f"it is damaged or cut short at byte {place} of {len(blob)}")
