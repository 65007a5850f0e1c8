"""Configuration of ImageBind: the published sizes, and a small model's."""

from dataclasses import field
from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict

from avseg.backbones.config import StrictConfig


@strict
class ImageBindVisionConfig(StrictConfig):
    """Sizes of the image tower; the defaults are ImageBind-Huge's, a ViT-H/14.

    Args:
        image_size: Side of the images for which the position table is stored, in pixels; for
            another side the table is interpolated.
        patch_size: Side of a patch, in pixels.
        stem_channels: Output channels of the stages of a convolutional stem; empty for the
            published convolution over two frames.
        width: Width of the transformer.
        blocks: Number of blocks of the transformer.
        heads: Attention heads of a block.
    """

    model_type = "avseg-imagebind-vision"

    image_size: int = 224
    patch_size: int = 14
    stem_channels: list[int] = field(default_factory=list)
    width: int = 1280
    blocks: int = 32
    heads: int = 16

    def validate_sizes(self) -> None:
        """Validate that patches tile the image, and that the heads divide the width."""
        if self.image_size % self.patch_size:
            raise ValueError(
                f"image_size must be a multiple of patch_size {self.patch_size}, "
                f"got {self.image_size}."
            )
        _check_heads(self.width, self.heads)

    @property
    def side(self) -> int:
        """Number of patches along a side of the position table."""
        return self.image_size // self.patch_size


@strict
class ImageBindAudioConfig(StrictConfig):
    """Sizes and front end of the audio tower; the defaults are ImageBind-Huge's, a ViT-B.

    Args:
        sample_rate: Sample rate of the audio, in Hz.
        clip_s: Length of an audio clip, in seconds.
        mel_bins: Mel bands M of the spectrogram.
        target_length: Columns T of the spectrogram, 10 ms apart; a shorter one is padded.
        kernel: Side of a patch of the spectrogram; with a stem also the distance between patches.
        stride: Distance between two patches, without a stem.
        stem_channels: Stages of a convolutional stem; empty for the published convolution.
        width: Width of the transformer.
        blocks: Number of blocks of the transformer.
        heads: Attention heads of a block.
    """

    model_type = "avseg-imagebind-audio"

    sample_rate: int = 16000
    clip_s: float = 2.0
    mel_bins: int = 128
    target_length: int = 204
    kernel: int = 16
    stride: int = 10
    stem_channels: list[int] = field(default_factory=list)
    width: int = 768
    blocks: int = 12
    heads: int = 12

    def validate_sizes(self) -> None:
        """Validate that a patch fits the spectrogram, and that the heads divide the width."""
        if min(self.mel_bins, self.target_length) < self.kernel:
            raise ValueError(
                f"mel_bins {self.mel_bins} and target_length {self.target_length} must be at least "
                f"the kernel, {self.kernel}."
            )
        _check_heads(self.width, self.heads)

    @property
    def clip_samples(self) -> int:
        """Number of samples of an audio clip."""
        return round(self.clip_s * self.sample_rate)

    @property
    def grid(self) -> tuple[int, int]:
        """Number of patches over frequency and over time."""
        sides = (self.mel_bins, self.target_length)
        # Each stage of a stem halves the spectrogram and rounds up; -(-a // b) is the ceiling.
        if self.stem_channels:
            halvings = 2 ** len(self.stem_channels)
            high, long = (-(-side // halvings) // (self.kernel // halvings) for side in sides)
        else:
            high, long = ((side - self.kernel) // self.stride + 1 for side in sides)
        return high, long


@strict
class ImageBindTextConfig(StrictConfig):
    """Sizes of the text tower; the defaults are ImageBind-Huge's.

    Args:
        vocab: Rows of the token table; the last one is the end token.
        context: Longest text, in tokens.
        width: Width of the transformer.
        blocks: Number of blocks of the transformer.
        heads: Attention heads of a block.
    """

    model_type = "avseg-imagebind-text"

    vocab: int = 49408
    context: int = 77
    width: int = 1024
    blocks: int = 24
    heads: int = 16

    def validate_sizes(self) -> None:
        """Validate that the heads divide the width."""
        _check_heads(self.width, self.heads)


@strict
class ImageBindConfig(StrictConfig):
    """Sizes of an ImageBind (Girdhar et al., CVPR 2023, arXiv:2305.05665); default ImageBind-Huge.

    Args:
        vision: Sizes of the image tower, an `ImageBindVisionConfig`.
        audio: Sizes of the audio tower, an `ImageBindAudioConfig`.
        text: Sizes of the text tower, an `ImageBindTextConfig`.
        dim: Width D of the joint embedding space.
    """

    model_type = "avseg-imagebind"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {
        "vision": ImageBindVisionConfig,
        "audio": ImageBindAudioConfig,
        "text": ImageBindTextConfig,
    }

    vision: Any = None  # a configuration, or its options in a dictionary
    audio: Any = None
    text: Any = None
    dim: int = 1024

    @classmethod
    def tiny(cls, **changes: Any) -> "ImageBindConfig":
        """Return the sizes of the small model for 128-pixel images and 1-second audio clips.

        Args:
            **changes: Options that differ from the small model's; a tower's may be a dictionary of
                the changed ones.

        Returns:
            The configuration.
        """
        return _TINY.replace(**changes)


def _check_heads(width: int, heads: int) -> None:
    if width % heads:
        raise ValueError(f"width must be a multiple of heads {heads}, got {width}.")


_TINY = ImageBindConfig(
    vision=ImageBindVisionConfig(
        image_size=128,
        patch_size=16,
        # As in the small CLIP, so that its trained stem can be loaded.
        stem_channels=[24, 48, 96, 160],
        width=160,
        blocks=3,
        heads=5,
    ),
    audio=ImageBindAudioConfig(
        clip_s=1.0,
        mel_bins=64,
        target_length=98,
        stem_channels=[24, 48, 96, 128],
        width=160,
        blocks=4,
        heads=5,
    ),
    text=ImageBindTextConfig(vocab=39, context=8, width=128, blocks=2, heads=4),
    dim=128,
)
