"""RoBERTa's text encoder (Liu et al. 2019, arXiv:1907.11692): text to one vector for each token.

The transformer is `RobertaModel` of `transformers`. The tokenizer is the file `tokenizer.json` that
is published beside the weights.

N texts, L tokens, W width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import RobertaConfig, RobertaModel

from avseg.backbones.config import StrictConfig
from avseg.backbones.tokenizing import JsonTokenizer, text_too_long
from avseg.errors import CheckpointError, PromptError

#: Id of the padding token, in every vocabulary of RoBERTa.
PAD_ID = 1


@strict
class RobertaTextConfig(StrictConfig):
    """Sizes of the text encoder; the defaults are DistilRoBERTa's.

    Args:
        vocab_size: Rows of the token table.
        max_positions: Rows of the position table, two more than the longest text has tokens.
        dim: Width W of the transformer.
        num_layers: Transformer layers.
        num_heads: Attention heads of a layer.
        ffn_dim: Hidden width of a layer.
    """

    model_type = "avseg-roberta-text"

    vocab_size: int = 50265
    max_positions: int = 514
    dim: int = 768
    num_layers: int = 6
    num_heads: int = 12
    ffn_dim: int = 3072

    def to_transformers(self) -> RobertaConfig:
        """Convert this configuration to the matching `transformers` configuration."""
        return RobertaConfig(
            vocab_size=self.vocab_size,
            max_position_embeddings=self.max_positions,
            hidden_size=self.dim,
            num_hidden_layers=self.num_layers,
            num_attention_heads=self.num_heads,
            intermediate_size=self.ffn_dim,
            # RoBERTa has one type of tokens, and its own constant in the layer norms.
            type_vocab_size=1,
            layer_norm_eps=1e-5,
            pad_token_id=PAD_ID,
        )


class RobertaText(nn.Module):
    """Text encoder: computes the state of every token after the last layer.

    Args:
        config: Sizes.
    """

    def __init__(self, config: RobertaTextConfig) -> None:
        super().__init__()
        self.roberta = RobertaModel(config.to_transformers(), add_pooling_layer=False)

    def forward(self, text_ids: Tensor, text_mask: Tensor) -> Tensor:
        """Encode texts.

        Args:
            text_ids: Token ids, (N, L) int64.
            text_mask: True for tokens, False for padding, (N, L) bool. No token attends to padding.

        Returns:
            States, (N, L, W). Those of padding are computed too.
        """
        states: Tensor = self.roberta(
            input_ids=text_ids, attention_mask=text_mask.long()
        ).last_hidden_state
        return states


@dataclass(frozen=True)
class RobertaTokenizer(JsonTokenizer):
    """Tokenizer of RoBERTa, which adds the start and the end token to every text.

    Args:
        content: The JSON text of the published `tokenizer.json`.

    Raises:
        ValueError: If the content is not a tokenizer, or has no end token.
    """

    FILE: ClassVar[str] = "roberta_tokenizer.json"
    END: ClassVar[str] = "</s>"

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read a tokenizer.

        Args:
            path: The file.

        Returns:
            The tokenizer.

        Raises:
            CheckpointError: If the file cannot be read, or is not such a tokenizer.
        """
        try:
            return cls(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{path}: is not a usable tokenizer ({error}); for DistilRoBERTa it is "
                "tokenizer.json of the repository distilbert/distilroberta-base."
            ) from error

    def encode(self, texts: Sequence[str], length: int) -> tuple[Tensor, Tensor]:
        """Encode texts as token ids, padded to a fixed length.

        Args:
            texts: At least one text.
            length: Length L of every row, in tokens with start and end token.

        Returns:
            Token ids (N, L) int64, and a mask (N, L) bool, False for padding.

        Raises:
            PromptError: If a text is blank, too long, or has no word that the tokenizer knows.
        """
        ids = torch.full((len(texts), length), PAD_ID)
        mask = torch.zeros(len(texts), length, dtype=torch.bool)
        unknown = self.tokenizer.token_to_id("<unk>")
        # The file may ask for padding or cutting, which are done here.
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        for row, text in enumerate(texts):
            numbers = self.tokenizer.encode(text).ids
            if not text.strip() or set(numbers[1:-1]) <= {unknown}:
                raise PromptError(
                    f"{text!r} cannot be encoded: it is blank, or no word of it is in this model's "
                    "vocabulary; describe the object in English."
                )
            if len(numbers) > length:
                raise text_too_long(text, len(numbers), "RoBERTa", length)
            ids[row, : len(numbers)] = torch.tensor(numbers)
            mask[row, : len(numbers)] = True
        return ids, mask
