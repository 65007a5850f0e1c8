"""Adapters: add audio features to the input of every block of a frozen image encoder.

B frames, D width of the features, C_i input width of block i.
"""

from collections.abc import Sequence

from torch import Tensor, nn


class BlockAdapters(nn.Module):
    """One small network for each block of the image encoder (SAMA-AVS, arXiv:2305.11019).

    If all blocks have the same width, as in SAM 1, they share the last layer, as in the released
    code of SAMA-AVS and of AV2T-SAM (arXiv:2502.16359, 3.4).

    Args:
        in_dim: Width D of the features.
        hidden_dim: Hidden width of each network.
        block_dims: Input width of each block.
    """

    def __init__(self, in_dim: int, hidden_dim: int, block_dims: Sequence[int]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(in_dim, hidden_dim), nn.GELU()) for _ in block_dims
        )
        # SAM 2's stages have different widths, so there each network has a last layer of its own.
        self.shared: nn.Linear | None = None
        if len(set(block_dims)) == 1:
            self.shared = _zero_linear(hidden_dim, block_dims[0])
            return
        for block, dim in zip(self.blocks, block_dims, strict=True):
            block.append(_zero_linear(hidden_dim, dim))  # type: ignore[operator]

    def forward(self, features: Tensor) -> list[Tensor]:
        """Compute the vector that is added to the input of each block.

        Args:
            features: Features of each frame, (B, D).

        Returns:
            One (B, C_i) tensor for each block i.
        """
        vectors = [block(features) for block in self.blocks]
        return vectors if self.shared is None else [self.shared(vector) for vector in vectors]


def _zero_linear(in_dim: int, out_dim: int) -> nn.Linear:
    """Build a last layer with output 0, so that training starts from the pretrained encoder."""
    linear = nn.Linear(in_dim, out_dim)
    # With weights of 0 the earlier layers get no gradient in the first step, but this layer does.
    # So they get one from the second step on.
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
