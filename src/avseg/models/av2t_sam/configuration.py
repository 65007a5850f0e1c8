"""Sizes of an AV2T-SAM model, published or small."""

from typing import Any, ClassVar, Literal

from huggingface_hub.dataclasses import strict

from avseg.backbones.beit3 import Beit3Config
from avseg.backbones.clap import ClapAudioTowerConfig
from avseg.backbones.clip import ClipImageTowerConfig
from avseg.backbones.evf_sam import as_sam_config, check_object_score
from avseg.backbones.sam2 import PromptedSam2Config
from avseg.models.model import AvsegConfig
from avseg.models.tiny import TINY_BEIT3, TINY_CLAP, TINY_SAM, TINY_STEM


@strict
class Av2tSamConfig(AvsegConfig):
    """Sizes of AV2T-SAM (Lee, Zhang, Duan 2025, arXiv:2502.16359); the defaults are the paper's.

    Args:
        sam_config: Image encoder and mask decoder, a `PromptedSam2Config` or a
            `PromptedSam1Config`; in a dictionary, `model_type` says which, SAM 2
            if it is not there.
        beit3_config: Image-text encoder, a `Beit3Config`.
        clip_config: Image tower, a `ClipImageTowerConfig`.
        clap_config: Audio tower, a `ClapAudioTowerConfig`.
        features: What becomes the prompt: the frame ("clip"), its sound ("clap"), or the product
            of both ("mul").
        adapters: Whether the same features also go into every block of the image encoder.
        num_text_tokens: Pseudo text tokens made of a frame and its sound.
        fused_dim: Width of the space in which frame and sound are multiplied.
        adapter_dim: Hidden width of an adapter.
        window_s: Sound that belongs to a frame, in seconds.
        inputs: How frames of another size are brought to a backbone's. With "whole_picture" each
            sees the whole frame, squeezed to a square. "published" is as in the paper's code: CLIP
            sees the middle square only, and BEiT-3's frame is resized without antialiasing. At
            AVSBench's 224 x 224 the two are the same. (The paper's sound: `read_segments`.)
        iou_head_weight: Weight of a loss that trains the decoder's IoU estimate; the paper's code
            has none, so its estimate stays as pre-trained.
        presence_weight: Weight of a loss that trains the decoder's object score; the paper's code
            has none.
        suppress_absent: Whether a frame gets no mask where the object score says that there is
            nothing to mark, as in SAM 2 (arXiv:2408.00714, appendix D); the paper's code does not
            ask. It needs a trained object score. SAM 1 has none, so neither of these two options.
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
        "clip_config": ClipImageTowerConfig(
            image_size=128,
            patch_size=16,
            stem_channels=TINY_STEM,
            dim=160,
            num_layers=2,
            num_heads=5,
            ffn_dim=480,
            projection_dim=128,
        ),
        "clap_config": TINY_CLAP,
        "fused_dim": 128,
        "adapter_dim": 64,
    }

    sam_config: Any = None  # a configuration, or its options in a dictionary
    beit3_config: Any = None
    clip_config: Any = None
    clap_config: Any = None
    features: Literal["clip", "clap", "mul"] = "mul"
    adapters: bool = True
    num_text_tokens: int = 3
    fused_dim: int = 512
    adapter_dim: int = 512
    window_s: float = 1.0
    inputs: Literal["whole_picture", "published"] = "whole_picture"
    iou_head_weight: float = 0.0
    presence_weight: float = 0.0
    suppress_absent: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        self.sam_config = as_sam_config(self.sam_config)
        super().__post_init__(**kwargs)

    @property
    def uses_clip(self) -> bool:
        """Whether the frame goes into the prompt."""
        return self.features != "clap"

    @property
    def uses_clap(self) -> bool:
        """Whether the sound goes into the prompt."""
        return self.features != "clip"

    def validate_object_score(self) -> None:
        """Refuse options that ask SAM 1 whether there is an object."""
        check_object_score(self.sam_config, self.presence_weight, self.suppress_absent)

    def validate_window(self) -> None:
        """Refuse a window of sound that the audio tower cannot hold."""
        if isinstance(self.clap_config, ClapAudioTowerConfig):
            self.clap_config.check_window(self.window_s)
