"""Configurations of AV2T-SAM models, published or small: on EVF-SAM, and on SAM 3."""

from typing import Any, ClassVar, Literal

from huggingface_hub.dataclasses import strict
from transformers import Sam3Config

from avseg.backbones.beit3 import Beit3Config
from avseg.backbones.clap import ClapAudioTowerConfig
from avseg.backbones.clip import ClipImageTowerConfig
from avseg.backbones.evf_sam import as_sam_config, check_object_score
from avseg.backbones.sam2 import PromptedSam2Config
from avseg.models.model import AvsegConfig
from avseg.models.tiny import TINY_BEIT3, TINY_CLAP, TINY_SAM, TINY_SAM3_OF_WORDS, TINY_STEM

_TINY_CLIP = ClipImageTowerConfig(
    image_size=128,
    patch_size=16,
    stem_channels=TINY_STEM,
    dim=160,
    num_layers=2,
    num_heads=5,
    ffn_dim=480,
    projection_dim=128,
)


@strict
class BridgeConfig(AvsegConfig):
    """Options of the bridge from audio and image to a segmenter's text space.

    Args:
        clip_config: Image tower, a `ClipImageTowerConfig`.
        clap_config: Audio tower, a `ClapAudioTowerConfig`.
        features: Features of the prompt: the CLIP embedding of the frame ("clip"), the CLAP
            embedding of its audio ("clap"), or the product of both ("mul").
        adapters: Whether adapters add the same features to every block of the image encoder.
        num_text_tokens: Number of pseudo text tokens.
        fused_dim: Width of the space in which image and audio embeddings are multiplied.
        adapter_dim: Hidden width of an adapter.
        window_s: Length of the audio window of a frame, in seconds.
        presence_weight: Weight of a loss that trains the object score; not in the paper's code.
        suppress_absent: Whether the mask of a frame is emptied if the object score predicts no
            object, as in SAM 2 (arXiv:2408.00714, appendix D); not in the paper's code. It needs a
            trained object score.
    """

    clip_config: Any = None  # a configuration, or its options in a dictionary
    clap_config: Any = None
    features: Literal["clip", "clap", "mul"] = "mul"
    adapters: bool = True
    num_text_tokens: int = 3
    fused_dim: int = 512
    adapter_dim: int = 512
    window_s: float = 1.0
    presence_weight: float = 0.0
    suppress_absent: bool = False

    # Each segmenter has a text space of its own width.
    @property
    def text_dim(self) -> int:
        """Width of a pseudo text token."""
        raise NotImplementedError

    @property
    def uses_clip(self) -> bool:
        """Whether the prompt uses the image embedding."""
        return self.features != "clap"

    @property
    def uses_clap(self) -> bool:
        """Whether the prompt uses the audio embedding."""
        return self.features != "clip"

    def validate_window(self) -> None:
        """Raise an error if the audio window is too long for the audio tower."""
        if isinstance(self.clap_config, ClapAudioTowerConfig):
            self.clap_config.check_window(self.window_s)


@strict
class Av2tSamConfig(BridgeConfig):
    """Configuration of AV2T-SAM (Lee et al. 2025, arXiv:2502.16359); defaults as in the paper.

    The other options are those of `BridgeConfig`. SAM 1 has no object score, so with it neither
    `presence_weight` nor `suppress_absent` is possible.

    Args:
        sam_config: Image encoder and mask decoder, a `PromptedSam2Config` or a
            `PromptedSam1Config`. In a dictionary, `model_type` selects the class; the default is
            SAM 2.
        beit3_config: Image-text encoder, a `Beit3Config`.
        inputs: Preprocessing of the frames. "whole_picture" stretches the whole frame to a square
            for every backbone. "published" is that of the paper's code: CLIP gets only the central
            square, and the frame for BEiT-3 is resized without antialiasing. For AVSBench's frames
            of 224 x 224 pixels the two are equal. (For the audio of the paper's code see
            `read_segments`.)
        iou_head_weight: Weight of a loss that trains the predicted IoU. The paper's code has no
            such loss, so there the IoU head keeps its pretrained weights.
    """

    model_type = "avseg-av2t-sam"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {
        "sam_config": PromptedSam2Config,
        "beit3_config": Beit3Config,
        "clip_config": ClipImageTowerConfig,
        "clap_config": ClapAudioTowerConfig,
    }
    tiny_options: ClassVar[dict[str, Any]] = {
        "sam_config": TINY_SAM,
        "beit3_config": TINY_BEIT3,
        "clip_config": _TINY_CLIP,
        "clap_config": TINY_CLAP,
        # Narrower than the published 512: the small towers have 128 features.
        "fused_dim": 128,
        "adapter_dim": 64,
    }

    sam_config: Any = None  # a configuration, or its options in a dictionary
    beit3_config: Any = None
    inputs: Literal["whole_picture", "published"] = "whole_picture"
    iou_head_weight: float = 0.0

    # `transformers` builds the other backbones, but cannot choose between SAM 1 and SAM 2.
    def __post_init__(self, **kwargs: Any) -> None:
        self.sam_config = as_sam_config(self.sam_config)
        super().__post_init__(**kwargs)

    @property
    def text_dim(self) -> int:
        """Width of a pseudo text token: that of BEiT-3."""
        width: int = self.beit3_config.dim
        return width

    def validate_object_score(self) -> None:
        """Raise an error if an option needs an object score, which SAM 1 does not have."""
        check_object_score(self.sam_config, self.presence_weight, self.suppress_absent)


@strict
class Av2tSam3Config(BridgeConfig):
    """Configuration of AV2T-SAM on SAM 3; the defaults are the published sizes of all parts.

    The other options are those of `BridgeConfig`.

    Args:
        sam3_config: Segmenter, a `Sam3Config` of `transformers`.
    """

    model_type = "avseg-av2t-sam3"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {
        "sam3_config": Sam3Config,
        "clip_config": ClipImageTowerConfig,
        "clap_config": ClapAudioTowerConfig,
    }
    tiny_options: ClassVar[dict[str, Any]] = {
        "sam3_config": TINY_SAM3_OF_WORDS,
        "clip_config": _TINY_CLIP,
        "clap_config": TINY_CLAP,
        "fused_dim": 128,
        "adapter_dim": 64,
    }

    sam3_config: Any = None  # a configuration, or its options in a dictionary

    @property
    def text_dim(self) -> int:
        """Width of a pseudo text token: that of the encoder that fuses text and image."""
        width: int = self.sam3_config.detr_encoder_config.hidden_size
        return width

    @property
    def iou_head_weight(self) -> float:
        """Weight of the loss of the predicted IoU: always 0, since SAM 3 predicts no IoU."""
        return 0.0
