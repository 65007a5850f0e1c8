"""ImageBind: audio, image and text towers, audio front end and tokenizer."""

from avseg.backbones.imagebind.audio import clip_starts, cut_clips, spectrograms
from avseg.backbones.imagebind.configuration import (
    ImageBindAudioConfig,
    ImageBindConfig,
    ImageBindTextConfig,
    ImageBindVisionConfig,
)
from avseg.backbones.imagebind.modeling import ImageBind
from avseg.backbones.imagebind.tokenizing import ImageBindTokenizer
from avseg.backbones.imagebind.towers import TowerFeatures

__all__ = [
    "ImageBind",
    "ImageBindAudioConfig",
    "ImageBindConfig",
    "ImageBindTextConfig",
    "ImageBindTokenizer",
    "ImageBindVisionConfig",
    "TowerFeatures",
    "clip_starts",
    "cut_clips",
    "spectrograms",
]
