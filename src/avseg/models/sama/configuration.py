"""Configuration of a SAMA-AVS model, published or small."""

from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict

from avseg.backbones.clap import ClapAudioTowerConfig
from avseg.backbones.evf_sam import as_sam_config, check_object_score
from avseg.backbones.sam1 import PromptedSam1Config
from avseg.backbones.sam2 import PromptedSam2Config
from avseg.models.frame_audio import FrameAudioConfig
from avseg.models.tiny import TINY_CLAP, TINY_SAM


@strict
class SamaConfig(FrameAudioConfig):
    """Configuration of SAMA-AVS (Liu et al., WACV 2024, arXiv:2305.11019).

    The defaults are those of the paper, except for the audio tower: CLAP instead of VGGish.

    Args:
        sam_config: Image encoder and mask decoder, a `PromptedSam1Config` or a
            `PromptedSam2Config`; None for SAM ViT-H.
        clap_config: Audio tower, a `ClapAudioTowerConfig`.
        adapter_dim: Hidden width of an adapter.
        window_s: Length of the audio window of a frame, in seconds.
        iou_head_weight: Weight of a loss that trains the predicted IoU; not in the paper.
        presence_weight: Weight of a loss that trains the object score; not in the paper.
        suppress_absent: Whether the mask of a frame is emptied if the object score predicts no
            object, as in SAM 2 (arXiv:2408.00714, appendix D). It needs a trained object score.
            SAM 1 has no object score, so it supports neither of these two options.
    """

    model_type = "avseg-sama"
    image_config_name = "sam_config"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {
        "sam_config": PromptedSam1Config,
        "clap_config": ClapAudioTowerConfig,
    }
    tiny_options: ClassVar[dict[str, Any]] = {
        "sam_config": TINY_SAM,
        "clap_config": TINY_CLAP,
        "adapter_dim": 64,
    }

    sam_config: Any = None  # a configuration, or its options in a dictionary
    adapter_dim: int = 512
    iou_head_weight: float = 0.0
    presence_weight: float = 0.0
    suppress_absent: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        # The paper uses SAM ViT-H. For None `as_sam_config` would choose SAM 2.
        if self.sam_config is None:
            self.sam_config = PromptedSam1Config()
        self.sam_config = as_sam_config(self.sam_config)
        super().__post_init__(**kwargs)

    @property
    def multimask(self) -> bool:
        """Whether the output is the best of the decoder's three masks instead of the single mask.

        With SAM 1 the output is the single mask, as in the paper's code. In evaluation, but not in
        training, SAM 2 replaces an unstable single mask by one of the three. So training on the
        single mask would leave some masks of the evaluation untrained.
        """
        return isinstance(self.sam_config, PromptedSam2Config)

    def validate_object_score(self) -> None:
        """Raise an error if an option needs an object score, which SAM 1 does not have."""
        check_object_score(self.sam_config, self.presence_weight, self.suppress_absent)
