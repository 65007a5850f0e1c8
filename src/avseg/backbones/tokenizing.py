"""Tokenizers of BEiT-3, published or small, and the base class of CLAP's and ImageBind's.

BEiT-3's are `SentencePieceTokenizer` and `WordTokenizer`, with the interface `TextTokenizer`. Each
is one file beside the model; `load_tokenizer` selects the class by the name of that file.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Protocol, Self

from sentencepiece import SentencePieceProcessor
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel

from avseg.errors import CheckpointError, PromptError


class TextTokenizer(Protocol):
    """Interface of BEiT-3's tokenizers."""

    #: Name of its file beside the model.
    FILE: ClassVar[str]
    #: Id of the padding, which is masked in the model.
    PAD_ID: ClassVar[int]

    def __len__(self) -> int:
        """Number of rows of the model's text table that the ids need."""
        ...

    def encode(self, text: str) -> list[int]:
        """Encode a text that is not blank as token ids."""
        ...

    def save(self, folder: Path) -> None:
        """Write `FILE` to an existing folder."""
        ...


@dataclass(frozen=True)
class SentencePieceTokenizer:
    """Tokenizer of BEiT-3 and EVF-SAM: a SentencePiece model (`beit3.spm`).

    Ids are those of XLM-RoBERTa, whose tokenizer both repositories use (microsoft/unilm, beit3;
    hustvl/EVF-SAM): a text is `<s> pieces </s>` with <s> = 0, <pad> = 1, </s> = 2, <unk> = 3. The
    id of any other piece is its number in the file plus 1.

    A repository may have a second file with added tokens, such as "[semantic]" of EVF-SAM's
    multitask models. A text is split at the added tokens before it is encoded.

    Args:
        model: Content of the SentencePiece model file.
        added: Ids of added tokens, which are not in the model file.

    Raises:
        ValueError: If the sentencepiece library cannot read the model, or its first pieces are not
            <unk>, <s> and </s>.
    """

    # The name that this file has in repositories of XLM-RoBERTa.
    FILE: ClassVar[str] = "sentencepiece.bpe.model"
    PAD_ID: ClassVar[int] = 1
    _ADDED_FILE: ClassVar[str] = "added_tokens.json"
    _START, _END, _UNKNOWN_ID, _OFFSET = 0, 2, 3, 1

    model: bytes = field(repr=False)
    added: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._processor  # noqa: B018 - parses the model now, so that a damaged file fails here

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read a SentencePiece model, and `added_tokens.json` beside it if it exists.

        Args:
            path: The file.

        Returns:
            The tokenizer.

        Raises:
            CheckpointError: If the file cannot be read, or is not such a model.
        """
        beside = path.with_name(cls._ADDED_FILE)
        try:
            added = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
            return cls(path.read_bytes(), {str(token): int(added[token]) for token in added})
        except (OSError, ValueError, TypeError) as error:
            raise CheckpointError(
                f"{path}: is not a usable SentencePiece model ({error}); copy it again from "
                f"where the model's weights come from, with {cls._ADDED_FILE} if there is one."
            ) from error

    def __len__(self) -> int:
        # The highest id counts, not the number of tokens: ids of added tokens may leave gaps.
        highest = self._processor.get_piece_size() - 1 + self._OFFSET
        return max([highest, *self.added.values()]) + 1

    def encode(self, text: str) -> list[int]:
        """Encode a text as token ids.

        Args:
            text: The text.

        Returns:
            Ids, with the start token first and the end token last; an unknown character has the id
            3.
        """
        ids = [self._START]
        for part in self._split(text):
            if part in self.added:
                ids.append(self.added[part])
                continue
            numbers = self._processor.encode(part)
            # An unknown piece is 0 in the library and 3 in XLM-RoBERTa; other ids are shifted by
            # one.
            ids += [n + self._OFFSET if n else self._UNKNOWN_ID for n in numbers]
        return [*ids, self._END]

    def save(self, folder: Path) -> None:
        """Write the model file and the added tokens.

        Args:
            folder: An existing folder.
        """
        (folder / self.FILE).write_bytes(self.model)
        if self.added:
            (folder / self._ADDED_FILE).write_text(json.dumps(dict(self.added)), encoding="utf-8")

    def _split(self, text: str) -> list[str]:
        """Split a text at its added tokens; each added token becomes an own item of the list."""
        if not self.added:
            return [text]
        # Because of the group in parentheses `re.split` keeps the separators.
        return re.split(f"({'|'.join(map(re.escape, self.added))})", text)

    @cached_property
    def _processor(self) -> SentencePieceProcessor:
        processor = SentencePieceProcessor()
        try:
            # The constructor would accept empty content and fail later, at the first text.
            processor.LoadFromSerializedProto(self.model)
        except RuntimeError as error:
            raise ValueError(str(error)) from error
        if [processor.unk_id(), processor.bos_id(), processor.eos_id()] != [0, 1, 2]:
            raise ValueError("it does not begin with <unk>, <s>, </s>")
        return processor


@dataclass(frozen=True)
class WordTokenizer:
    """Tokenizer of whole words, for a small model with a few dozen words.

    Articles, "and" and upper case are ignored: "a dog and the bus" is the caption "dog bus".

    Args:
        words: Every word by its id; the first is padding.
    """

    FILE: ClassVar[str] = "words.txt"
    PAD_ID: ClassVar[int] = 0
    _IGNORED: ClassVar[frozenset[str]] = frozenset({"a", "an", "and", "the"})

    words: tuple[str, ...]

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read a tokenizer.

        Args:
            path: The file, with one word on each line.

        Returns:
            The tokenizer.

        Raises:
            CheckpointError: If it cannot be read.
        """
        try:
            return cls(tuple(path.read_text(encoding="utf-8").splitlines()))
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{path}: contains no words ({error}); save the processor again."
            ) from error

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, text: str) -> list[int]:
        """Encode a text as word ids.

        Args:
            text: The text.

        Returns:
            Id of each word that is not ignored.

        Raises:
            PromptError: If a word is unknown, or all words are ignored.
        """
        words = [word for word in re.findall(r"\w+", text.lower()) if word not in self._IGNORED]
        unknown = [word for word in words if word not in self.words]
        if unknown or not words:
            known = ", ".join(word for word in self.words if word.isalpha())
            problem = f"unknown words ({', '.join(unknown)})" if unknown else "only ignored words"
            raise PromptError(f"text {text!r} has {problem}; the words of this model are {known}.")
        return [self.words.index(word) for word in words]

    def save(self, folder: Path) -> None:
        """Write the words, one on each line.

        Args:
            folder: An existing folder.
        """
        (folder / self.FILE).write_text("\n".join(self.words) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class JsonTokenizer:
    """A tokenizer of the `tokenizers` library, stored as the JSON text that the library writes.

    Every encoded text ends with the token "<|endoftext|>". A subclass sets `FILE` and adds
    `encode`.

    Args:
        content: The JSON text, such as the content of GPT-2's `tokenizer.json`.

    Raises:
        ValueError: If the content is not a tokenizer, or has no end token.
    """

    FILE: ClassVar[str]
    END: ClassVar[str] = "<|endoftext|>"

    content: str = field(repr=False)

    def __post_init__(self) -> None:
        self.end_id  # noqa: B018 - parses the content now, so that a wrong file fails here

    def save(self, folder: Path) -> None:
        """Write the tokenizer to `FILE`.

        Args:
            folder: An existing folder.
        """
        (folder / self.FILE).write_text(self.content, encoding="utf-8")

    @cached_property
    def end_id(self) -> int:
        """Id of the end token."""
        number = self.tokenizer.token_to_id(self.END)
        if number is None:
            raise ValueError(f"it has no token {self.END!r}")
        return number

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer as an object of the `tokenizers` library."""
        try:
            return Tokenizer.from_str(self.content)
        except Exception as error:  # the library raises no narrower class
            raise ValueError(str(error)) from error


def text_too_long(text: str, tokens: int, model: str, limit: int) -> PromptError:
    """Build the error for a text that is too long for a network.

    Args:
        text: The text.
        tokens: Its length, in tokens.
        model: Name of the network.
        limit: Maximum length, in tokens.

    Returns:
        The error.
    """
    return PromptError(
        f"{text!r} has {tokens} tokens for {model}, which takes {limit}; shorten it."
    )


def build_word_level(words: Sequence[str]) -> Tokenizer:
    """Build a tokenizer of whole words, split at white space, for a small model.

    Args:
        words: Every word by its id; the end token of `JsonTokenizer` is appended.

    Returns:
        The tokenizer. It encodes an unknown word as the end token, which no known word has.
    """
    numbers = {word: number for number, word in enumerate([*words, JsonTokenizer.END])}
    tokenizer = Tokenizer(WordLevel(numbers, unk_token=JsonTokenizer.END))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def load_tokenizer(folder: Path) -> TextTokenizer:
    """Load the tokenizer from a model's folder.

    Args:
        folder: The model's folder.

    Returns:
        The tokenizer.

    Raises:
        CheckpointError: If the folder has no tokenizer, or the tokenizer is damaged.
    """
    kinds = (SentencePieceTokenizer, WordTokenizer)
    for kind in kinds:
        if (folder / kind.FILE).is_file():
            return kind.from_file(folder / kind.FILE)
    raise CheckpointError(
        f"{folder}: has no tokenizer, neither {' nor '.join(kind.FILE for kind in kinds)}; save "
        "the processor with its tokenizer, or copy the file from where the weights come from."
    )
