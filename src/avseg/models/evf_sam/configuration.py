"""Configuration of an EVF-SAM model, published or small."""

from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict

from avseg.backbones.beit3 import Beit3Config
from avseg.backbones.evf_sam import as_sam_config, check_suppress_absent
from avseg.backbones.sam2 import PromptedSam2Config
from avseg.models.model import AvsegConfig
from avseg.models.tiny import TINY_BEIT3, TINY_SAM


@strict
class EvfSamConfig(AvsegConfig):
    """Configuration of EVF-SAM (Zhang et al. 2024, arXiv:2406.20076); defaults: EVF-SAM2 multitask.

    The published models (hustvl/EVF-SAM) differ in sizes and in two options. The models on SAM 1
    were trained with the single mask and with padded frames (`multimask=False,
    keep_proportions=True`). The older model on SAM 2 was trained with the single mask
    (`multimask=False`).

    Args:
        sam_config: Image encoder and mask decoder, a `PromptedSam2Config` or a
            `PromptedSam1Config`. In a dictionary, `model_type` selects the class; the default is
            SAM 2.
        beit3_config: Image-text encoder, a `Beit3Config`.
        max_text_tokens: Maximum length of a text, in tokens.
        multimask: Whether the output is the best of three masks instead of the single mask.
        keep_proportions: Whether a frame for SAM keeps its proportions and is padded on the right
            or at the bottom; otherwise it is stretched to the square.
        suppress_absent: Whether a mask is emptied if the object score predicts that the object is
            absent, as in SAM 2; the published models never empty a mask. SAM 1 has no object score.
    """

    model_type = "avseg-evf-sam"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {
        "sam_config": PromptedSam2Config,
        "beit3_config": Beit3Config,
    }
    # The small model is trained with captions of at most three words.
    tiny_options: ClassVar[dict[str, Any]] = {
        "sam_config": TINY_SAM,
        "beit3_config": TINY_BEIT3,
        "max_text_tokens": 3,
        "suppress_absent": True,
    }

    sam_config: Any = None  # a configuration, or its options in a dictionary
    beit3_config: Any = None
    max_text_tokens: int = 512
    multimask: bool = True
    keep_proportions: bool = False
    suppress_absent: bool = False

    # `transformers` builds the other backbones, but cannot choose between SAM 1 and SAM 2.
    def __post_init__(self, **kwargs: Any) -> None:
        self.sam_config = as_sam_config(self.sam_config)
        super().__post_init__(**kwargs)

    def validate_text(self) -> None:
        """Raise an error if `max_text_tokens` is larger than the position table of BEiT-3."""
        beit3 = self.beit3_config
        if isinstance(beit3, Beit3Config) and not 0 < self.max_text_tokens <= beit3.max_text_tokens:
            raise ValueError(
                f"max_text_tokens must be 1 to {beit3.max_text_tokens}, for which BEiT-3 has "
                f"positions, got {self.max_text_tokens}."
            )

    def validate_object_score(self) -> None:
        """Raise an error if an option needs an object score, which SAM 1 does not have."""
        check_suppress_absent(self.sam_config, self.suppress_absent)
