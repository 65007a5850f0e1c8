"""Configuration of AVSBench's model with audio-visual attention (TPAVI)."""

from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict

from avseg.backbones.clap import ClapAudioTowerConfig
from avseg.backbones.sam2 import HieraConfig
from avseg.models.frame_audio import FrameAudioConfig
from avseg.models.tiny import TINY_CLAP, TINY_HIERA


@strict
class TpaviConfig(FrameAudioConfig):
    """Configuration of AVSBench's model (Zhou et al., ECCV 2022, arXiv:2207.05042).

    Image size and decoder are those of the paper. The image encoder is Hiera instead of PVT-v2 or
    ResNet-50, and the audio tower is CLAP instead of VGGish.

    Args:
        hiera_config: Image encoder, a `HieraConfig`; None for Hiera-L and the paper's 224 pixels.
        clap_config: Audio tower, a `ClapAudioTowerConfig`.
        dim: Width of the decoder, a multiple of 8.
        window_s: Length of the audio window of a frame, in seconds.
        matching_weight: Weight of the loss that aligns masked image features with the audio. The
            paper uses this loss for MS3 only. In its code the loss is a sum over 4 clips of 5
            frames with the weight 0.5. Here the loss is a mean over frames, so the same weight is
            20 * 0.5 = 10.
    """

    model_type = "avseg-tpavi"
    image_config_name = "hiera_config"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {
        "hiera_config": HieraConfig,
        "clap_config": ClapAudioTowerConfig,
    }
    tiny_options: ClassVar[dict[str, Any]] = {
        "hiera_config": TINY_HIERA,
        "clap_config": TINY_CLAP,
        "dim": 32,
    }

    hiera_config: Any = None  # a configuration, or its options in a dictionary
    dim: int = 256
    matching_weight: float = 10.0

    def __post_init__(self, **kwargs: Any) -> None:
        if self.hiera_config is None:
            self.hiera_config = HieraConfig(image_size=224)
        super().__post_init__(**kwargs)

    def validate_dim(self) -> None:
        """Raise an error if the width is not a multiple of 8, by which the head divides it."""
        if self.dim <= 0 or self.dim % 8:
            raise ValueError(f"dim must be a multiple of 8, got {self.dim}.")
