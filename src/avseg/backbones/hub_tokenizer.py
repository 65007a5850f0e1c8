"""Tokenizers of `transformers`, stored beside a model in the files of the Hugging Face Hub.

C texts, L tokens of the longest text.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from transformers import AutoTokenizer

from avseg.backbones.tokenizing import text_too_long
from avseg.errors import CheckpointError, PromptError


@dataclass(frozen=True)
class HubTokenizer:
    """A tokenizer of `transformers` and the folder in a model's folder for its files.

    A cascade has two such tokenizers, so each has a folder of its own.

    Args:
        tokenizer: The tokenizer.
        subfolder: Name of the folder.
    """

    tokenizer: Any = field(repr=False)
    subfolder: str

    @classmethod
    def from_folder(cls, folder: Path, subfolder: str) -> Self:
        """Load the tokenizer from the folder of a model.

        Args:
            folder: Folder of the model.
            subfolder: Name of the folder in it that has the tokenizer's files.

        Returns:
            The tokenizer.

        Raises:
            CheckpointError: If the files are missing or damaged.
        """
        return cls(_load(folder / subfolder), subfolder)

    @classmethod
    def from_files(cls, folder: Path, subfolder: str) -> Self:
        """Load a published tokenizer, to be saved beside a model.

        Args:
            folder: Folder with the published files.
            subfolder: Name of the folder for its files beside the model.

        Returns:
            The tokenizer.

        Raises:
            CheckpointError: If the files are missing or damaged.
        """
        return cls(_load(folder), subfolder)

    def save(self, folder: Path) -> None:
        """Write the files of the tokenizer.

        Args:
            folder: Folder of the model.
        """
        self.tokenizer.save_pretrained(folder / self.subfolder)

    def encode(self, texts: Sequence[str], max_tokens: int, model: str) -> tuple[Tensor, Tensor]:
        """Encode texts with start and end token.

        Args:
            texts: The texts.
            max_tokens: Maximum length of a text, in tokens.
            model: Name of the network, for error messages.

        Returns:
            Token ids (C, L) int64, and a mask (C, L) bool, False for padding.

        Raises:
            PromptError: If a text is too long, or the tokenizer has no token for it.
        """
        encoded = self.tokenizer(list(texts), padding=True, return_tensors="pt")
        ids, mask = encoded["input_ids"], encoded["attention_mask"].bool()
        lengths = mask.sum(dim=1)
        if int(lengths.max()) > max_tokens:
            text, tokens = texts[int(lengths.argmax())], int(lengths.max())
            raise text_too_long(text, tokens, model, max_tokens)
        # Start, end and unknown tokens carry no meaning: such a text would match anything.
        empty = torch.tensor([*self.tokenizer.all_special_ids])
        is_known = (~torch.isin(ids, empty) & mask).any(dim=1)
        if not bool(is_known.all()):
            text = texts[int((~is_known).int().argmax())]
            raise PromptError(
                f"{text!r} has no token that {model} knows; give a name in the language and script "
                "of the model, such as 'dog'."
            )
        return ids, mask


def _load(folder: Path) -> Any:
    # Without this check the library would look for a repository of this name on the Hub.
    if not folder.is_dir():
        raise CheckpointError(
            f"{folder}: there is no such folder with a tokenizer; copy the model again."
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the libraries raise no narrower class for damaged files
        raise CheckpointError(
            f"{folder}: is not a usable tokenizer ({error}); copy the model again."
        ) from error
    # Texts are padded on the right, and a text has a row of the same length as its neighbours.
    tokenizer.padding_side = "right"
    return tokenizer
