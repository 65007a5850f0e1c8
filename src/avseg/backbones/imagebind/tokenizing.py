"""Tokenizer of ImageBind's text tower: CLIP's byte pairs, or a small model's words."""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import torch
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import BPE
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from avseg.backbones.tokenizing import JsonTokenizer, build_word_level
from avseg.errors import CheckpointError, PromptError

_START = "<|startoftext|>"
_END_OF_WORD = "</w>"

#: Number of merges that CLIP uses; its file has more lines. With 2 x 256 bytes and two special
#: tokens the vocabulary has 49408 tokens.
_MERGES = 49152 - 256 - 2

#: CLIP's definition of a word: an English suffix, letters, one digit, or other characters.
_CLIP_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"

#: Words that a small model ignores.
_IGNORED = r"\b(a|an|and|the)\b"


@dataclass(frozen=True)
class ImageBindTokenizer(JsonTokenizer):
    """Tokenizer of a text tower; it appends the end token, which has the highest id, to every text.

    The published code first repairs wrongly decoded characters (with ftfy) and HTML entities. This
    tokenizer does not.

    Args:
        content: The JSON text of CLIP's `tokenizer.json`, or of a small model's words. If it has
            the token "<|startoftext|>", texts begin with it.

    Raises:
        ValueError: If the content is not a tokenizer, or its last token is not the end token.
    """

    FILE: ClassVar[str] = "imagebind_tokenizer.json"

    def __post_init__(self) -> None:
        super().__post_init__()
        # The text tower finds the end of a text as its highest id.
        if self.end_id != self.tokenizer.get_vocab_size() - 1:
            raise ValueError(f"its last token is not {self.END!r}")

    @classmethod
    def from_words(cls, words: Sequence[str]) -> Self:
        """Build a tokenizer of whole words, for a small model with a small vocabulary.

        Upper case and articles are ignored.

        Args:
            words: Every word by its id; the end token gets the next one.

        Returns:
            The tokenizer.
        """
        tokenizer = build_word_level(words)
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.Lowercase(), normalizers.Replace(Regex(_IGNORED), " ")]
        )
        return cls(tokenizer.to_str())

    @classmethod
    def from_merges(cls, lines: Sequence[str]) -> Self:
        """Build CLIP's tokenizer.

        Args:
            lines: Lines of its file of merges (`bpe_simple_vocab_16e6.txt`); the first is a title.

        Returns:
            The tokenizer.

        Raises:
            ValueError: If a line is not a pair.
        """
        pairs = [line.split() for line in lines[1 : 1 + _MERGES] if line.strip()]
        if not pairs or any(len(pair) != 2 for pair in pairs):
            raise ValueError("its lines are not pairs of letters")
        merges = [(first, second) for first, second in pairs]
        # The order of CLIP's vocabulary: bytes, bytes that end a word, merges, start, end.
        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        tokens = [*letters, *(letter + _END_OF_WORD for letter in letters)]
        tokens += ["".join(pair) for pair in merges] + [_START, cls.END]
        tokenizer = Tokenizer(
            BPE(
                {token: i for i, token in enumerate(tokens)},
                merges,
                end_of_word_suffix=_END_OF_WORD,
            )
        )
        # NFC, because ftfy in the published code also normalises to NFC.
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                # Inverted: the matches are the words, and the characters between them are removed.
                pre_tokenizers.Split(Regex(_CLIP_WORDS), "removed", invert=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        return cls(tokenizer.to_str())

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read a tokenizer.

        Args:
            path: A tokenizer.json, or CLIP's merges, .txt or .txt.gz.

        Returns:
            The tokenizer.

        Raises:
            CheckpointError: If the file cannot be read, or is not such a tokenizer.
        """
        try:
            if path.suffix == ".json":
                return cls(path.read_text(encoding="utf-8"))
            content = path.read_bytes()
            text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
            return cls.from_merges(text.splitlines())
        except (OSError, EOFError, ValueError) as error:
            raise CheckpointError(
                f"{path}: is not a usable tokenizer ({error}); for ImageBind it is "
                "bpe_simple_vocab_16e6.txt.gz of its repository, or tokenizer.json of "
                "openai/clip-vit-base-patch32."
            ) from error

    def __len__(self) -> int:
        return self.end_id + 1

    def encode(self, texts: Sequence[str], context: int = 77) -> Tensor:
        """Encode texts as token ids.

        Args:
            texts: At least one text.
            context: Longest text, in tokens; a longer one is cut before its end token.

        Returns:
            Ids with the end token after each text, padded with 0, (P, L) int64.

        Raises:
            PromptError: If a text is blank, or has a word outside the vocabulary.
        """
        start = self.tokenizer.token_to_id(_START)
        rows = []
        for text in texts:
            ids = self.tokenizer.encode(text, add_special_tokens=False).ids
            # The tokenizer of a small model encodes an unknown word as the end token.
            if not ids or self.end_id in ids:
                raise PromptError(
                    f"{text!r} cannot be encoded: it is blank, or a word of it is not in this "
                    "model's vocabulary; use words that it was trained with."
                )
            # The tokenizer of a small model has no start token.
            ids = ids if start is None else [start, *ids]
            rows.append(torch.tensor([*ids[: context - 1], self.end_id]))
        # Padding with 0 as in CLIP. 0 is the id of a real token, but it follows the end token.
        return pad_sequence(rows, batch_first=True)
