"""The parts that a cascade can be made of: sound namers and text-prompted segmenters."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from avseg.backbones.box_segmenter import BoxSegmenter, BoxSegmenterConfig
from avseg.backbones.clap_namer import ClapNamer, ClapNamerConfig
from avseg.backbones.config import StrictConfig
from avseg.backbones.evf_sam_segmenter import EvfSamSegmenter, EvfSamSegmenterConfig
from avseg.backbones.laion_clap import LaionClapConfig, LaionClapNamer
from avseg.backbones.pe_a_frame import PeAFrameConfig, PeAFrameNamer
from avseg.backbones.sam3 import Sam3Segmenter, Sam3SegmenterConfig
from avseg.backbones.sound_namer import SoundNamer
from avseg.backbones.text_prompted import TextPromptedSegmenter
from avseg.models.picture_inputs import BoxInputs, EvfSamInputs, PictureInputs, Sam3Inputs
from avseg.models.sound_inputs import ClapInputs, LaionClapInputs, PeAFrameInputs, SoundInputs


class NamerClasses(NamedTuple):
    """The three classes of a sound namer."""

    config: type[StrictConfig]
    module: type[SoundNamer]
    inputs: type[SoundInputs]


class SegmenterClasses(NamedTuple):
    """The three classes of a text-prompted segmenter."""

    config: type[StrictConfig]
    module: type[TextPromptedSegmenter]
    inputs: type[PictureInputs]


#: The sound namers, by the `model_type` of their configurations; the first is the default.
NAMERS: Mapping[str, NamerClasses] = {
    part.config.model_type: part
    for part in (
        NamerClasses(ClapNamerConfig, ClapNamer, ClapInputs),
        NamerClasses(PeAFrameConfig, PeAFrameNamer, PeAFrameInputs),
        NamerClasses(LaionClapConfig, LaionClapNamer, LaionClapInputs),
    )
}
#: The text-prompted segmenters, by the `model_type` of their configurations; the first is the
#: default.
SEGMENTERS: Mapping[str, SegmenterClasses] = {
    part.config.model_type: part
    for part in (
        SegmenterClasses(EvfSamSegmenterConfig, EvfSamSegmenter, EvfSamInputs),
        SegmenterClasses(BoxSegmenterConfig, BoxSegmenter, BoxInputs),
        SegmenterClasses(Sam3SegmenterConfig, Sam3Segmenter, Sam3Inputs),
    )
}


def build_namer(config: Any) -> SoundNamer:
    """Build the sound namer of a configuration."""
    module: Any = NAMERS[config.model_type].module
    namer: SoundNamer = module(config)
    return namer


def build_segmenter(config: Any) -> TextPromptedSegmenter:
    """Build the text-prompted segmenter of a configuration."""
    module: Any = SEGMENTERS[config.model_type].module
    segmenter: TextPromptedSegmenter = module(config)
    return segmenter
