"""RoBERTa's text encoder and its tokenizer."""

from pathlib import Path

import pytest
import torch

from avseg.backbones.roberta import RobertaText, RobertaTextConfig, RobertaTokenizer
from avseg.errors import CheckpointError
from tests.models.auralsam2_factories import text_tokenizer

CONFIG = RobertaTextConfig(
    vocab_size=9, max_positions=12, dim=16, num_layers=2, num_heads=2, ffn_dim=16
)


@torch.no_grad()
def test_padding_does_not_change_the_tokens_before_it() -> None:
    torch.manual_seed(0)
    encoder = RobertaText(CONFIG).eval()
    short = encoder(*text_tokenizer().encode(["the dog"], 4))
    padded = encoder(*text_tokenizer().encode(["the dog"], 8))
    torch.testing.assert_close(padded[:, :4], short)
    assert padded.shape == (1, 8, 16)


def test_the_length_of_the_file_is_not_used() -> None:
    tokenizer = text_tokenizer()
    tokenizer.tokenizer.enable_padding(length=20)
    tokenizer.tokenizer.enable_truncation(3)
    ids, mask = RobertaTokenizer(tokenizer.tokenizer.to_str()).encode(["the left dog"], 6)
    assert ids.tolist() == [[0, 4, 5, 6, 2, 1]]
    assert mask.tolist() == [[True] * 5 + [False]]


def test_a_damaged_tokenizer_raises_an_error(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"tokenizer.json: is not a usable tokenizer"):
        RobertaTokenizer.from_file(tmp_path / "tokenizer.json")
