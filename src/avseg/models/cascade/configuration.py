"""Sizes of a cascade, and the rule by which a sound prompts."""

from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict

from avseg.backbones.beit3 import Beit3Config
from avseg.backbones.clap import ClapAudioTowerConfig
from avseg.backbones.clap_text import ClapTextTowerConfig
from avseg.backbones.clip import ClipTextTowerConfig
from avseg.backbones.config import config_of
from avseg.backbones.evf_sam import as_sam_config, check_suppress_absent
from avseg.backbones.sam2 import PromptedSam2Config
from avseg.models.model import AvsegConfig
from avseg.models.tiny import TINY_BEIT3, TINY_CLAP, TINY_CLAP_TEXT, TINY_SAM

#: What stands for the name in a prompt.
NAME = "{name}"


@strict
class CascadeConfig(AvsegConfig):
    """Sizes and rule of a cascade; the defaults are MS-CLAP 2023 before EVF-SAM2 multitask.

    A name prompts in a frame if the cosine of its embedding with the sound's is above
    `min_similarity` (the sound is like nothing in the vocabulary: no prompt), its share of the
    softmax over the vocabulary is above `min_probability`, and at most `max_names` are better.
    The softmax is CLAP's own, with its trained scale; it makes names compete, which sorts out
    what sounds alike but also hides the quieter of two sounds, so it is best set low.

    Args:
        sam_config: Image encoder and mask decoder, a `PromptedSam2Config` or a
            `PromptedSam1Config`; in a dictionary, `model_type` says which, SAM 2 if it is not
            there.
        beit3_config: Image-text encoder, a `Beit3Config`.
        clap_config: Audio tower, a `ClapAudioTowerConfig`.
        text_config: Text tower, a `ClapTextTowerConfig` or a `ClipTextTowerConfig`; in a
            dictionary, `model_type` says which, MS-CLAP's if it is not there.
        window_s: Sound that belongs to a frame, in seconds.
        sound_prompt: What CLAP reads, with "{name}" where the name goes; the default is the one of
            MS-CLAP's examples.
        picture_prompt: What EVF-SAM reads, likewise.
        min_similarity: Cosine above which a name prompts, in [-1, 1].
        min_probability: Share of the softmax above which a name prompts, in [0, 1].
        max_names: Most names for a frame.
        keep_proportions: Whether SAM sees a frame in its own proportions, filled up to a square to
            the right or below, or squeezed into the square; EVF-SAMs on SAM 1 were trained on the
            former.
        multimask: Whether the best of three masks is taken, or EVF-SAM's single mask.
        suppress_absent: Whether a name marks nothing where SAM 2's object score says that there is
            no such object; published EVF-SAMs do not ask. SAM 1 has no such score.
    """

    model_type = "avseg-cascade"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {
        "sam_config": PromptedSam2Config,
        "beit3_config": Beit3Config,
        "clap_config": ClapAudioTowerConfig,
        "text_config": ClapTextTowerConfig,
    }
    # With the rule that serves it best on SynthAVS's val.
    tiny_options: ClassVar[dict[str, Any]] = {
        "sam_config": TINY_SAM,
        "beit3_config": TINY_BEIT3,
        "clap_config": TINY_CLAP,
        "text_config": TINY_CLAP_TEXT,
        "sound_prompt": NAME,
        "min_similarity": 0.1,
        "min_probability": 0.0,
        "suppress_absent": True,
    }

    sam_config: Any = None  # a configuration, or its options in a dictionary
    beit3_config: Any = None
    clap_config: Any = None
    text_config: Any = None
    window_s: float = 1.0
    sound_prompt: str = "this is the sound of {name}"
    picture_prompt: str = NAME
    min_similarity: float = 0.1
    min_probability: float = 0.05
    max_names: int = 3
    keep_proportions: bool = False
    multimask: bool = True
    suppress_absent: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        self.sam_config = as_sam_config(self.sam_config)
        self.text_config = config_of(
            self.text_config, (ClapTextTowerConfig, ClipTextTowerConfig), "a text tower"
        )
        super().__post_init__(**kwargs)

    @property
    def max_sound_tokens(self) -> int:
        """Longest text that the text tower takes, in tokens."""
        text = self.text_config
        limit = text.max_tokens if isinstance(text, ClapTextTowerConfig) else text.max_positions
        return int(limit)

    def validate_prompts(self) -> None:
        """Refuse prompts without a place for the name."""
        for option in ("sound_prompt", "picture_prompt"):
            text = getattr(self, option)
            if text.count(NAME) != 1:
                raise ValueError(f"{option} must have {NAME} in it once, got {text!r}.")

    def validate_rule(self) -> None:
        """Refuse thresholds that nothing can be above, and frames without a name."""
        bounds = {"min_similarity": (-1.0, 1.0), "min_probability": (0.0, 1.0)}
        for option, (low, high) in bounds.items():
            value = getattr(self, option)
            if not low <= value < high:
                raise ValueError(f"{option} must be from {low} to below {high}, got {value}.")
        if self.max_names < 1:
            raise ValueError(f"max_names must be at least 1, got {self.max_names}.")

    def validate_window(self) -> None:
        """Refuse a window of sound that the audio tower cannot hold."""
        if isinstance(self.clap_config, ClapAudioTowerConfig):
            self.clap_config.check_window(self.window_s)

    def validate_object_score(self) -> None:
        """Refuse to ask SAM 1 whether there is an object."""
        check_suppress_absent(self.sam_config, self.suppress_absent)
