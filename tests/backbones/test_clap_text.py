"""The CLAP text tower and its tokenizer."""

from pathlib import Path

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE

from avseg.backbones.clap_text import ClapTextTower, ClapTextTowerConfig, ClapTokenizer
from avseg.errors import CheckpointError, PromptError

CONFIG = ClapTextTowerConfig(
    vocab_size=12,
    max_positions=8,
    max_tokens=6,
    end_token_id=11,
    dim=16,
    num_layers=1,
    num_heads=2,
    projection_dim=20,
)
WORDS = ("<pad>", "dog", "cat")


@pytest.fixture(scope="module")
def tower() -> ClapTextTower:
    """Build a tower with random weights."""
    torch.manual_seed(0)
    return ClapTextTower(CONFIG).eval()


def test_the_defaults_are_gpt2_with_a_projection_to_1024() -> None:
    with torch.device("meta"):
        tower = ClapTextTower(ClapTextTowerConfig())
    assert sum(p.numel() for p in tower.gpt2.parameters()) == 124_439_808
    assert sum(p.numel() for p in tower.projection.parameters()) == 768 * 1024 + 1024**2 + 2048
    names = tower.state_dict().keys()
    assert {"gpt2.wte.weight", "gpt2.wpe.weight", "gpt2.h.11.attn.c_attn.weight"} <= names
    assert {"gpt2.ln_f.bias", "projection.linear1.weight", "projection.layer_norm.bias"} <= names


def test_the_embedding_is_the_projected_state_of_the_end_token(tower: ClapTextTower) -> None:
    ids = torch.tensor([[3, 4, 11]])
    states = tower.gpt2(input_ids=ids).last_hidden_state
    torch.testing.assert_close(tower(ids), tower.projection(states[:, 2]))


def test_padding_after_the_end_token_is_ignored(tower: ClapTextTower) -> None:
    embeddings = tower(torch.tensor([[3, 4, 11, 0, 0], [3, 4, 11, 7, 8], [3, 5, 11, 0, 0]]))
    torch.testing.assert_close(embeddings[0], embeddings[1])
    assert (embeddings[0] - embeddings[2]).abs().max() > 1e-4


def test_the_padding_token_in_a_text_is_a_token_like_others(tower: ClapTextTower) -> None:
    with_it, without = tower(torch.tensor([[3, 0, 4, 11], [3, 4, 11, 0]]))
    assert (with_it - without).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("ids", "message"),
    [([1, 1, 1, 1, 1, 1, 11], "7 tokens, .* at most 6"), ([1, 2], "needs the end token 11")],
)
def test_a_text_too_long_or_without_end_is_rejected(
    tower: ClapTextTower, ids: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        tower(torch.tensor([ids]))


def byte_level() -> str:
    """Build a tokenizer of GPT-2's kind without merges."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(BPE({letter: number for number, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<|endoftext|>", special=True)])
    return tokenizer.to_str()


def test_gpt2s_kind_of_tokenizer_has_a_space_and_the_end_token_after_the_text() -> None:
    tokenizer = ClapTokenizer(byte_level())
    known = Tokenizer.from_str(byte_level())
    ids = tokenizer.encode(["cat", "a!"])
    assert [known.id_to_token(i) for i in ids[0].tolist()] == ["c", "a", "t", "Ġ", "<|endoftext|>"]
    assert ids.shape == (2, 5)
    assert ids[1, -1] == 0


def test_whole_words_are_their_numbers() -> None:
    tokenizer = ClapTokenizer.from_words(WORDS)
    assert tokenizer.encode(["dog", "cat dog"]).tolist() == [[1, 3, 0], [2, 1, 3]]


@pytest.mark.parametrize("text", ["", " ", "horse", "dog <|endoftext|> cat"])
def test_blank_and_unknown_texts_are_rejected(text: str) -> None:
    with pytest.raises(PromptError, match="cannot be encoded"):
        ClapTokenizer.from_words(WORDS).encode(["dog", text])


def test_a_tokenizer_is_saved_and_read(tmp_path: Path) -> None:
    tokenizer = ClapTokenizer.from_words(WORDS)
    tokenizer.save(tmp_path)
    assert ClapTokenizer.from_file(tmp_path / ClapTokenizer.FILE) == tokenizer


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not a usable tokenizer"),
        (Tokenizer(BPE()).to_str(), "has no token '<.endoftext.>'"),
    ],
)
def test_a_file_that_is_no_such_tokenizer_is_rejected(
    content: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(CheckpointError, match=message):
        ClapTokenizer.from_file(path)
