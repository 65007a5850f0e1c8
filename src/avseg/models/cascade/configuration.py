"""Configuration of a cascade: sizes, and the rule that selects the names of a frame."""

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

#: Placeholder for the name in a prompt.
NAME = "{name}"


@strict
class CascadeConfig(AvsegConfig):
    """Sizes and rule of a cascade; the defaults are MS-CLAP 2023 and EVF-SAM2 multitask.

    A name becomes a prompt in a frame under three conditions:

    1. The cosine of the embeddings of the name and of the audio exceeds `min_similarity`. So audio
       that matches no name gives no prompt.
    2. The probability of the name, by a softmax over the vocabulary with CLAP's trained scale,
       exceeds `min_probability`. The softmax separates similar sounds, but it also suppresses the
       quieter one of two sounds. So a low threshold is best.
    3. The name is one of the `max_names` most similar names.

    Args:
        sam_config: Image encoder and mask decoder, a `PromptedSam2Config` or a
            `PromptedSam1Config`. In a dictionary, `model_type` selects the class; the default is
            SAM 2.
        beit3_config: Image-text encoder, a `Beit3Config`.
        clap_config: Audio tower, a `ClapAudioTowerConfig`.
        text_config: Text tower, a `ClapTextTowerConfig` or a `ClipTextTowerConfig`. In a
            dictionary, `model_type` selects the class; the default is MS-CLAP's.
        window_s: Length of the audio window of a frame, in seconds.
        sound_prompt: Text for CLAP, with "{name}" as the placeholder; the default is that of
            MS-CLAP's examples.
        picture_prompt: Text for EVF-SAM, with "{name}" as the placeholder.
        min_similarity: Cosine that a name must exceed to become a prompt, in [-1, 1].
        min_probability: Softmax probability that a name must exceed, in [0, 1].
        max_names: Maximum number of names for a frame.
        keep_proportions: Whether a frame for SAM keeps its proportions and is padded on the right
            or at the bottom, as in the training of EVF-SAM on SAM 1; otherwise it is stretched to
            the square.
        multimask: Whether the output is the best of three masks instead of EVF-SAM's single mask.
        suppress_absent: Whether a mask is emptied if SAM 2's object score predicts that the object
            is absent; published EVF-SAM models never empty a mask. SAM 1 has no object score.
    """

    model_type = "avseg-cascade"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {
        "sam_config": PromptedSam2Config,
        "beit3_config": Beit3Config,
        "clap_config": ClapAudioTowerConfig,
        "text_config": ClapTextTowerConfig,
    }
    # These thresholds had the best result on the val split of SynthAVS; see README.md.
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

    # Each of the two fields allows two classes, between which `transformers` cannot choose.
    def __post_init__(self, **kwargs: Any) -> None:
        self.sam_config = as_sam_config(self.sam_config)
        self.text_config = config_of(
            self.text_config, (ClapTextTowerConfig, ClipTextTowerConfig), "a text tower"
        )
        super().__post_init__(**kwargs)

    @property
    def max_sound_tokens(self) -> int:
        """Maximum length of a text for the text tower, in tokens."""
        text = self.text_config
        limit = text.max_tokens if isinstance(text, ClapTextTowerConfig) else text.max_positions
        return int(limit)

    def validate_prompts(self) -> None:
        """Raise an error if a prompt does not have the placeholder exactly once."""
        for option in ("sound_prompt", "picture_prompt"):
            text = getattr(self, option)
            if text.count(NAME) != 1:
                raise ValueError(f"{option} must have {NAME} in it once, got {text!r}.")

    def validate_rule(self) -> None:
        """Raise an error if no value can exceed a threshold, or no name is allowed."""
        # The comparison with a threshold is strict, so the upper bound would reject every name.
        bounds = {"min_similarity": (-1.0, 1.0), "min_probability": (0.0, 1.0)}
        for option, (low, high) in bounds.items():
            value = getattr(self, option)
            if not low <= value < high:
                raise ValueError(f"{option} must be from {low} to below {high}, got {value}.")
        if self.max_names < 1:
            raise ValueError(f"max_names must be at least 1, got {self.max_names}.")

    def validate_window(self) -> None:
        """Raise an error if the audio window is too long for the audio tower."""
        if isinstance(self.clap_config, ClapAudioTowerConfig):
            self.clap_config.check_window(self.window_s)

    def validate_object_score(self) -> None:
        """Raise an error if an option needs an object score, which SAM 1 does not have."""
        check_suppress_absent(self.sam_config, self.suppress_absent)
