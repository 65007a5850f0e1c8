"""Adapters of a frozen image encoder."""

import pytest
import torch

from avseg.models.adapters import BlockAdapters


def test_every_block_gets_a_vector_of_its_width() -> None:
    vectors = BlockAdapters(16, 8, [4, 4, 6])(torch.randn(5, 16))
    assert [tuple(vector.shape) for vector in vectors] == [(5, 4), (5, 4), (5, 6)]


def test_blocks_of_one_width_share_the_last_layer() -> None:
    adapters = BlockAdapters(16, 8, [4, 4])
    assert {name for name, _ in adapters.named_parameters()} == {
        f"{layer}.{kind}"
        for layer in ("blocks.0.0", "blocks.1.0", "shared")
        for kind in ("weight", "bias")
    }
    torch.nn.init.ones_(adapters.shared.weight)  # type: ignore[union-attr]
    features = torch.randn(5, 16)
    for block, vector in zip(adapters.blocks, adapters(features), strict=True):
        torch.testing.assert_close(vector, block(features).sum(1, keepdim=True).expand(5, 4))


@pytest.mark.parametrize("block_dims", [[4, 6], [4, 4]])
def test_adapters_start_at_zero(block_dims: list[int]) -> None:
    assert not any(vector.any() for vector in BlockAdapters(16, 8, block_dims)(torch.randn(5, 16)))
