"""Decoder of AVSBench's model: computes one mask per frame from a feature pyramid.

See arXiv:2207.05042, sections 3.2 and 4.

N frames, C channels, C_i width of encoder stage i, h_i x w_i size of its feature maps.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: Dilations of the convolutions, in steps of the grid of a stage.
_DILATIONS = (3, 6, 12, 18)


class DilatedConvolutions(nn.Module):
    """Sum of dilated convolutions that project a stage to the decoder's width.

    Args:
        in_dim: Channels of the stage.
        dim: Channels C.
    """

    def __init__(self, in_dim: int, dim: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(in_dim, dim, 3, padding=dilation, dilation=dilation)
            for dilation in _DILATIONS
        )
        for conv in self.convs:
            nn.init.normal_(conv.weight, std=0.01)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        """Project feature maps (N, C_i, h, w) to (N, C, h, w)."""
        return torch.stack([conv(features) for conv in self.convs]).sum(dim=0)


class ResidualUnit(nn.Module):
    """Residual unit of two 3x3 convolutions, as the released code computes it.

    Args:
        dim: Channels C.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(dim, dim, 3, padding=1)
        self.conv2 = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Refine feature maps, (N, C, h, w)."""
        # The released code applies ReLU in place. So its skip connection adds the rectified
        # features, not the input.
        features = features.relu()
        return features + self.conv2(self.conv1(features).relu())


class PyramidDecoder(nn.Module):
    """Feature pyramid decoder: from coarse to fine, refine, upsample and add the next stage.

    Args:
        dim: Channels C, a multiple of 8.
        num_stages: Stages of the pyramid.
    """

    def __init__(self, dim: int, num_stages: int) -> None:
        super().__init__()
        # A lateral unit prepares a stage for the sum with the coarser stages. The coarsest stage
        # has no coarser ones, so it has no lateral unit.
        self.lateral = nn.ModuleList(ResidualUnit(dim) for _ in range(num_stages - 1))
        self.refine = nn.ModuleList(ResidualUnit(dim) for _ in range(num_stages))
        self.head = nn.ModuleList(
            [
                nn.Conv2d(dim, dim // 2, 3, padding=1),
                nn.Conv2d(dim // 2, dim // 8, 3, padding=1),
                nn.Conv2d(dim // 8, 1, 1),
            ]
        )

    def forward(self, stages: Sequence[Tensor]) -> Tensor:
        """Decode one mask for each frame.

        Args:
            stages: Feature maps from fine to coarse, (N, C, h_i, w_i); each stage has half the
                size of the one before.

        Returns:
            Mask logits, (N, 4 h_0, 4 w_0).
        """
        maps = stages[-1]
        for i in reversed(range(len(stages))):
            if i < len(self.lateral):
                maps = maps + self.lateral[i](stages[i])
            maps = self.refine[i](maps)
            # As in the released code, this upsampling aligns the corners, but the last one does
            # not.
            maps = F.interpolate(maps, scale_factor=2, mode="bilinear", align_corners=True)
        maps = F.interpolate(self.head[0](maps), scale_factor=2, mode="bilinear")
        logits: Tensor = self.head[2](self.head[1](maps).relu())
        return logits.squeeze(1)
