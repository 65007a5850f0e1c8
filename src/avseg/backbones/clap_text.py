"""MS-CLAP 2023's text tower (Elizalde et al. 2023, arXiv:2309.05767): text to an embedding.

The transformer is GPT-2, `GPT2Model` of `transformers`. A projection like that of the audio tower
maps the state of the end token to the embedding. Text and audio embeddings have one space: the
cosine of the two, times exp(logit scale of the model), is the logit of "this text describes this
audio".

N texts, L tokens, D embedding width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import torch
from huggingface_hub.dataclasses import strict
from tokenizers import AddedToken
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import GPT2Config, GPT2Model

from avseg.backbones.clap import ClapProjection
from avseg.backbones.config import StrictConfig
from avseg.backbones.tokenizing import JsonTokenizer, build_word_level
from avseg.errors import CheckpointError, PromptError


@strict
class ClapTextTowerConfig(StrictConfig):
    """Sizes of a CLAP text tower; the defaults are MS-CLAP 2023.

    Args:
        vocab_size: Rows of the token table.
        max_positions: Rows of the position table.
        max_tokens: Longest text in training, in tokens with the end token.
        end_token_id: Token whose state is projected to the embedding; every text needs one.
        dim: Width of the transformer.
        num_layers: Transformer layers.
        num_heads: Attention heads of a layer.
        dropout: Dropout rate of embeddings, attention and feed-forward.
        projection_dim: Width D of the embedding.
    """

    model_type = "avseg-clap-text-tower"

    vocab_size: int = 50257
    max_positions: int = 1024
    max_tokens: int = 77
    end_token_id: int = 50256
    dim: int = 768
    num_layers: int = 12
    num_heads: int = 12
    dropout: float = 0.1
    projection_dim: int = 1024

    def to_transformers(self) -> GPT2Config:
        """Convert this configuration to the matching `transformers` configuration."""
        return GPT2Config(
            vocab_size=self.vocab_size,
            n_positions=self.max_positions,
            n_embd=self.dim,
            n_layer=self.num_layers,
            n_head=self.num_heads,
            resid_pdrop=self.dropout,
            embd_pdrop=self.dropout,
            attn_pdrop=self.dropout,
            # GPT-2 has one special token, which is both the start and the end of a text.
            bos_token_id=self.end_token_id,
            eos_token_id=self.end_token_id,
        )


class ClapTextTower(nn.Module):
    """Text tower: computes embeddings in the audio tower's space.

    The embedding is computed from the state of the end token. The published code finds the end
    token by the number of tokens that are not padding, and its padding is the token "!". If a text
    contains the token "!", the published code therefore uses the state of an earlier token. This
    class always uses the end token.

    Args:
        config: Sizes.
    """

    def __init__(self, config: ClapTextTowerConfig) -> None:
        super().__init__()
        self.config = config
        self.gpt2 = GPT2Model(config.to_transformers())
        self.projection = ClapProjection(config.dim, config.projection_dim, config.dropout)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Embed texts. Padding after the end token has no effect, since attention is causal.

        Args:
            input_ids: Token ids, each text with an end token, (N, L) int64.

        Returns:
            Embeddings, not normalised, (N, D).

        Raises:
            ValueError: If a text is too long, or has no end token.
        """
        if input_ids.shape[-1] > self.config.max_tokens:
            raise ValueError(
                f"texts have {input_ids.shape[-1]} tokens, the model was trained with at most "
                f"{self.config.max_tokens}; shorten them."
            )
        is_end = input_ids == self.config.end_token_id
        if not is_end.any(dim=-1).all():
            raise ValueError(
                f"each text needs the end token {self.config.end_token_id}, {input_ids.tolist()} "
                "do not all have it; encode them with ClapTokenizer."
            )
        states = self.gpt2(input_ids=input_ids).last_hidden_state  # (N, L, W)
        rows = torch.arange(len(states), device=states.device)
        # argmax returns the first of equal values: the position of the first end token.
        embeddings: Tensor = self.projection(states[rows, is_end.int().argmax(dim=-1)])
        return embeddings


@dataclass(frozen=True)
class ClapTokenizer(JsonTokenizer):
    """Tokenizer of a text tower, which appends the end token to every text.

    A space precedes the end token, as in the published code.

    Args:
        content: The JSON text of GPT-2's `tokenizer.json`, or of a small model's words.

    Raises:
        ValueError: If the content is not a tokenizer, or has no end token.
    """

    FILE: ClassVar[str] = "clap_tokenizer.json"

    @classmethod
    def from_words(cls, words: Sequence[str]) -> Self:
        """Build a tokenizer of whole words, for a small model with a small vocabulary.

        Args:
            words: Every word by its id; the end token gets the next one.

        Returns:
            The tokenizer.
        """
        tokenizer = build_word_level(words)
        tokenizer.add_special_tokens([AddedToken(cls.END, special=True)])
        return cls(tokenizer.to_str())

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
                f"{path}: is not a usable tokenizer ({error}); for MS-CLAP it is "
                "tokenizer.json of the repository openai-community/gpt2."
            ) from error

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Encode texts as token ids.

        Args:
            texts: At least one text.

        Returns:
            Ids with the end token after each text, padded with 0, (N, L) int64.

        Raises:
            PromptError: If a text is blank, or has a word outside the vocabulary.
        """
        rows = []
        for text in texts:
            ids = self.tokenizer.encode(f"{text.strip()} {self.END}").ids
            # A tokenizer of whole words encodes a word outside the vocabulary as the end token.
            if ids.count(self.end_id) != 1 or not text.strip():
                raise PromptError(
                    f"{text!r} cannot be encoded: it is blank, or a word of it is not in this "
                    "model's vocabulary; use words that it was trained with."
                )
            rows.append(torch.tensor(ids))
        # The padding 0 is the token "!" of GPT-2; after the end token it has no effect.
        return pad_sequence(rows, batch_first=True)
