"""Configuration of a cascade: its two parts, and the rule that selects the names of a frame."""

from typing import Any, ClassVar, Self

from huggingface_hub.dataclasses import strict

from avseg.backbones.clap_namer import ClapNamerConfig
from avseg.backbones.config import StrictConfig, config_of
from avseg.backbones.evf_sam_segmenter import EvfSamSegmenterConfig
from avseg.models.cascade.parts import NAMERS, SEGMENTERS
from avseg.models.model import AvsegConfig
from avseg.models.tiny import TINY_BEIT3, TINY_CLAP, TINY_CLAP_TEXT, TINY_SAM

#: Placeholder for the name in a prompt.
NAME = "{name}"


@strict
class CascadeConfig(AvsegConfig):
    """Parts and rule of a cascade; the defaults are MS-CLAP 2023 and EVF-SAM2 multitask.

    A name becomes a prompt in a frame under three conditions:

    1. Its score, the mean over the times within `smoothing_s` around the frame, exceeds
       `min_score`. So audio that matches no name gives no prompt.
    2. Its share among all names of the vocabulary exceeds `min_share`. The share separates similar
       sounds, but it also suppresses the quieter one of two sounds. So a low threshold is best.
    3. The name is one of the `max_names` names with the highest scores.

    Args:
        namer_config: Sound namer, a configuration of a class in `NAMERS`. In a dictionary,
            `model_type` selects the class; the default is a `ClapNamerConfig`.
        segmenter_config: Text-prompted segmenter, a configuration of a class in `SEGMENTERS`. In a
            dictionary, `model_type` selects the class; the default is an `EvfSamSegmenterConfig`.
        window_s: Length of the audio window of a frame, in seconds.
        smoothing_s: Length of the interval around the middle of a window in which the scores of a
            name are averaged, in seconds; a namer with one score for each window ignores it.
        sound_prompt: Text for the sound namer, with "{name}" as the placeholder; the default is
            that of MS-CLAP's examples.
        picture_prompt: Text for the segmenter, with "{name}" as the placeholder.
        object_captions: Whether the segmenter gets the caption of a name's object instead of the
            name itself ("a dog barking": "dog"), see `object_caption`.
        min_score: Score that a name must exceed to become a prompt: a cosine for CLAP, in [-1, 1],
            a probability for other namers, in [0, 1].
        min_share: Share among all names that a name must exceed, in [0, 1].
        max_names: Maximum number of names for a frame.
        min_object_score: Score of a mask that a prompt must exceed, in [0, 1). An object with a
            lower score counts as off-screen: it gets no mask and is no source.
    """

    model_type = "avseg-cascade"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {
        "namer_config": ClapNamerConfig,
        "segmenter_config": EvfSamSegmenterConfig,
    }
    # These thresholds had the best result on the val split of SynthAVS; see README.md.
    tiny_options: ClassVar[dict[str, Any]] = {
        "namer_config": {"clap_config": TINY_CLAP, "text_config": TINY_CLAP_TEXT},
        "segmenter_config": {
            "sam_config": TINY_SAM,
            "beit3_config": TINY_BEIT3,
            "suppress_absent": True,
        },
        "sound_prompt": NAME,
        "min_score": 0.1,
        "min_share": 0.0,
    }

    namer_config: Any = None  # a configuration, or its options in a dictionary
    segmenter_config: Any = None
    window_s: float = 1.0
    smoothing_s: float = 0.2
    sound_prompt: str = "this is the sound of {name}"
    picture_prompt: str = NAME
    object_captions: bool = False
    min_score: float = 0.1
    min_share: float = 0.05
    max_names: int = 3
    min_object_score: float = 0.0

    # Each of the two fields allows several classes, between which `transformers` cannot choose.
    def __post_init__(self, **kwargs: Any) -> None:
        namers = [part.config for part in NAMERS.values()]
        self.namer_config = config_of(self.namer_config, namers, "a sound namer")
        segmenters = [part.config for part in SEGMENTERS.values()]
        self.segmenter_config = config_of(
            self.segmenter_config, segmenters, "a text-prompted segmenter"
        )
        super().__post_init__(**kwargs)

    @property
    def sam_config(self) -> StrictConfig | None:
        """Configuration of the segmenter's SAM; None if it has none."""
        return getattr(self.segmenter_config, "sam_config", None)

    def with_image_size(self, image_size: int) -> Self:
        """Copy the configuration with another side of SAM 2's input.

        Args:
            image_size: Side of the images, in pixels.

        Returns:
            The configuration.
        """
        return self.replace(segmenter_config={"sam_config": {"image_size": image_size}})

    def validate_prompts(self) -> None:
        """Raise an error if a prompt does not have the placeholder exactly once."""
        for option in ("sound_prompt", "picture_prompt"):
            text = getattr(self, option)
            if text.count(NAME) != 1:
                raise ValueError(f"{option} must have {NAME} in it once, got {text!r}.")

    def validate_rule(self) -> None:
        """Raise an error if no value can exceed a threshold, or no name is allowed."""
        # The comparison with a threshold is strict, so the upper bound would reject every name.
        bounds = {
            "min_score": (-1.0, 1.0),
            "min_share": (0.0, 1.0),
            "min_object_score": (0.0, 1.0),
        }
        for option, (low, high) in bounds.items():
            value = getattr(self, option)
            if not low <= value < high:
                raise ValueError(f"{option} must be from {low} to below {high}, got {value}.")
        if self.max_names < 1:
            raise ValueError(f"max_names must be at least 1, got {self.max_names}.")
        if self.smoothing_s < 0:
            raise ValueError(f"smoothing_s must be at least 0, got {self.smoothing_s}.")

    def validate_window(self) -> None:
        """Raise an error if the audio window does not fit the sound namer."""
        self.namer_config.check_window(self.window_s)
