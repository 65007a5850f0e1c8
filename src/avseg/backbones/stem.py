"""Convolutional stem instead of a vision transformer's single patch convolution.

Small vision transformers train faster and better on little data if a stack of stride-2 convolutions
computes the patches (Xiao et al., NeurIPS 2021, arXiv:2106.14881). The published models have no
such stem: an empty list of channels means the patch convolution.

N images, S side in pixels, P patch side, D width of the transformer.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F


class ConvStem(nn.Module):
    """Stride-2 stages with residual blocks after all but the first, and a patch convolution.

    Args:
        channels: Output channels of each stride-2 stage.
        dim: Width of the transformer.
        patch_size: Side of a patch, in pixels; a multiple of 2 ** len(channels).
        in_channels: Channels of the image, 3 for RGB.

    Raises:
        ValueError: If the total stride of the stages does not divide the patch.
    """

    def __init__(
        self, channels: Sequence[int], dim: int, patch_size: int, in_channels: int = 3
    ) -> None:
        super().__init__()
        stride = 2 ** len(channels)
        if patch_size % stride:
            raise ValueError(
                f"patch_size must be a multiple of {stride} for {len(channels)} stem_channels "
                f"(each halves the image), got {patch_size}."
            )
        stages: list[nn.Module] = []
        for out_channels in channels:
            stages.append(_halving(in_channels, out_channels))
            # No residual block at the finest resolution, where it would cost most.
            if len(stages) > 1:
                stages.append(ResidualBlock(out_channels))
            in_channels = out_channels
        self.stages = nn.Sequential(*stages)
        side = patch_size // stride
        self.projection = nn.Conv2d(in_channels, dim, kernel_size=side, stride=side)
        # Without this mark `transformers` would initialise the stem a second time, by the rule of
        # the surrounding model; the default initialisation of torch is wanted here.
        for module in self.modules():
            module._is_hf_initialized = True  # type: ignore[assignment]

    @property
    def weight(self) -> Tensor:
        """Weight of the patch convolution, whose dtype CLIP of `transformers` reads."""
        return self.projection.weight

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Compute a grid of patch vectors.

        Args:
            pixel_values: Normalised images, (N, 3, S, S).

        Returns:
            Patch vectors, (N, D, S / P, S / P).
        """
        patches: Tensor = self.projection(self.stages(pixel_values))
        return patches


class ResidualBlock(nn.Module):
    """Residual block of two 3x3 convolutions.

    Args:
        channels: Channels of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Transform features, (N, C, h, w)."""
        return F.relu(features + self.layers(features))


def patch_convolution(channels: Sequence[int], dim: int, patch_size: int) -> nn.Module:
    """Build a patch convolution or a convolutional stem.

    Args:
        channels: Output channels of the stem's stages; empty for a single patch convolution.
        dim: Width of the transformer.
        patch_size: Side of a patch, in pixels.

    Returns:
        A module from (N, 3, S, S) to (N, D, S / P, S / P).
    """
    if not channels:
        return nn.Conv2d(3, dim, kernel_size=patch_size, stride=patch_size)
    return ConvStem(channels, dim, patch_size)


def _halving(in_channels: int, out_channels: int) -> nn.Sequential:
    # The batch norm has a bias, so the convolution needs none.
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )
