"""Options of the tasks that pre-train the small backbones on SynthAVS.

A recipe's `data` section has the fields of one of these classes. This module needs no
torch, so that a wrong recipe is reported at once; `tasks/building.py` builds the tasks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from avseg.training.parts import CLIP_STEM, SEGMENTER

if TYPE_CHECKING:
    from avseg.backbones.imagebind import ImageBindConfig
    from avseg.models.av2t_sam.configuration import Av2tSam3Config, Av2tSamConfig
    from avseg.synthavs.generators import GeneratorVersion


@dataclass(frozen=True, kw_only=True)
class CorpusOptions:
    """Options of every corpus that SynthAVS's generator draws.

    Attributes:
        size: Items in the training corpus.
        seed: Seed of the training corpus.
        measured_size: Items in each evaluation corpus.
        generator_version: Version of SynthAVS's generator, 2 or 3; "both" trains with both in turn
            and evaluates each.
    """

    size: int
    seed: int
    measured_size: int
    generator_version: Literal[2, 3, "both"] = 2

    @property
    def versions(self) -> "tuple[GeneratorVersion, ...]":
        """Versions of the generator, in the order of the items."""
        return (2, 3) if self.generator_version == "both" else (self.generator_version,)


class _BackbonesOfAv2tSam:
    """Base of the tasks that pre-train a backbone of the small AV2T-SAM."""

    part_prefixes: ClassVar[Mapping[str, str]] = {}

    @staticmethod
    def config_class() -> "type[Av2tSamConfig]":
        """Return the configuration class with the sizes of all backbones."""
        from avseg.models.av2t_sam.configuration import Av2tSamConfig

        return Av2tSamConfig


@dataclass(frozen=True, kw_only=True)
class ImageOptions(_BackbonesOfAv2tSam, CorpusOptions):
    """Options of a task that trains with images but no audio."""


@dataclass(frozen=True, kw_only=True)
class ImageText(ImageOptions):
    """Pre-training of the small CLIP."""


@dataclass(frozen=True, kw_only=True)
class AudioText(_BackbonesOfAv2tSam, CorpusOptions):
    """Pre-training of the small CLAP.

    Attributes:
        recordings: Recordings of each category, from which the training mixtures are made.
    """

    recordings: int


@dataclass(frozen=True, kw_only=True)
class ImageClass(ImageOptions):
    """Pre-training of the image encoder of the small SAM 2."""


@dataclass(frozen=True, kw_only=True)
class TextPrompt(_BackbonesOfAv2tSam, CorpusOptions):
    """Pre-training of the small EVF-SAM.

    Attributes:
        prompts: Captions of each image.
        learn_encoders: Whether the image encoders are trained too, or the mask decoder alone.
        boundary_weight: Additional weight of the pixels near the boundary in the mask loss,
            relative to the weight of the others.
    """

    # "sam" comes from a run of image-class and "stem" from the small CLIP. "segmenter" replaces
    # both: an EVF-SAM of an earlier run of this task.
    part_prefixes: ClassVar[Mapping[str, str]] = {
        "segmenter": SEGMENTER,
        "sam": "sam.",
        "stem": CLIP_STEM,
    }

    prompts: int
    learn_encoders: bool
    boundary_weight: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Sam3TextPrompt(CorpusOptions):
    """Pre-training of the small SAM 3.

    Attributes:
        prompts: Captions of each image.
    """

    part_prefixes: ClassVar[Mapping[str, str]] = {"segmenter": SEGMENTER}

    prompts: int

    @staticmethod
    def config_class() -> "type[Av2tSam3Config]":
        """Return the configuration class with the sizes of SAM 3."""
        from avseg.models.av2t_sam.configuration import Av2tSam3Config

        return Av2tSam3Config


@dataclass(frozen=True, kw_only=True)
class AudioImageText(CorpusOptions):
    """Pre-training of the small ImageBind.

    Attributes:
        recordings: Recordings of each category, from which the training mixtures are made.
    """

    part_prefixes: ClassVar[Mapping[str, str]] = {"stem": CLIP_STEM}

    recordings: int

    @staticmethod
    def config_class() -> "type[ImageBindConfig]":
        """Return the configuration class of ImageBind."""
        from avseg.backbones.imagebind import ImageBindConfig

        return ImageBindConfig
