"""Sizes of an EVF-SAM model, published or small."""

from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict

from avseg.backbones.beit3 import Beit3Config
from avseg.backbones.evf_sam import as_sam_config, check_suppress_absent
from avseg.backbones.sam2 import PromptedSam2Config
from avseg.models.model import AvsegConfig
from avseg.models.tiny import TINY_BEIT3, TINY_SAM


@strict
class EvfSamConfig(AvsegConfig):
    """Sizes of EVF-SAM (Zhang et al. 2024, arXiv:2406.20076); the defaults are EVF-SAM2 multitask.

    Published models differ in more than sizes, in hustvl/EVF-SAM's code: those on SAM 1 were
    trained on their single mask and on frames that keep their proportions (`multimask=False,
    keep_proportions=True`), the first one on SAM 2 on its single mask (`multimask=False`).

    Args:
        sam_config: Image encoder and mask decoder, a `PromptedSam2Config` or a
            `PromptedSam1Config`; in a dictionary, `model_type` says which, SAM 2 if it is not
            there.
        beit3_config: Image-text encoder, a `Beit3Config`.
        max_text_tokens: Longest text, in tokens.
        multimask: Whether the best of three masks is the answer, or the single mask.
        keep_proportions: Whether SAM sees a frame in its own proportions, filled up to a square to
            the right or below, or squeezed into the square.
        suppress_absent: Whether there is no mask where the object score says that what is named is
            not there, as in SAM 2; published models do not ask. SAM 1 has no such score.
    """

    model_type = "avseg-evf-sam"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {
        "sam_config": PromptedSam2Config,
        "beit3_config": Beit3Config,
    }
    # For captions of three words.
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

    def __post_init__(self, **kwargs: Any) -> None:
        self.sam_config = as_sam_config(self.sam_config)
        super().__post_init__(**kwargs)

    def validate_text(self) -> None:
        """Refuse texts that BEiT-3 has no positions for."""
        beit3 = self.beit3_config
        if isinstance(beit3, Beit3Config) and not 0 < self.max_text_tokens <= beit3.max_text_tokens:
            raise ValueError(
                f"max_text_tokens must be 1 to {beit3.max_text_tokens}, for which BEiT-3 has "
                f"positions, got {self.max_text_tokens}."
            )

    def validate_object_score(self) -> None:
        """Refuse to ask SAM 1 whether there is an object."""
        check_suppress_absent(self.sam_config, self.suppress_absent)
