"""The CLIP towers."""

import pytest
import torch

from avseg.backbones.clip import (
    ClipImageTower,
    ClipImageTowerConfig,
    ClipTextTower,
    ClipTextTowerConfig,
)
from avseg.backbones.stem import ConvStem
from tests.models.factories import CLIP

TEXT = ClipTextTowerConfig(
    vocab_size=12,
    max_positions=6,
    eos_token_id=1,
    dim=16,
    num_layers=1,
    num_heads=2,
    ffn_dim=32,
    projection_dim=24,
)


def test_the_defaults_are_vit_b_32() -> None:
    with torch.device("meta"):
        tower = ClipImageTower(ClipImageTowerConfig())
    assert sum(p.numel() for p in tower.parameters()) == 87_849_216


def test_a_stem_replaces_the_patch_convolution() -> None:
    tower = ClipImageTower(CLIP).eval()
    assert isinstance(tower.clip.vision_model.embeddings.patch_embedding, ConvStem)
    assert tower(torch.randn(2, 3, 64, 64)).shape == (2, 24)


def test_texts_and_images_have_one_embedding_space() -> None:
    assert ClipTextTower(TEXT)(torch.tensor([[3, 4, 1]])).shape == (1, CLIP.projection_dim)


def test_padding_after_the_end_token_is_ignored() -> None:
    tower = ClipTextTower(TEXT).eval()
    embeddings = tower(torch.tensor([[3, 4, 1, 0, 0], [3, 4, 1, 7, 8], [3, 5, 1, 0, 0]]))
    torch.testing.assert_close(embeddings[0], embeddings[1])
    assert (embeddings[0] - embeddings[2]).abs().max() > 1e-4


def test_token_two_cannot_end_a_text() -> None:
    with pytest.raises(Exception, match=r"eos_token_id must not be 2, .*; give the end token"):
        ClipTextTowerConfig(eos_token_id=2)
