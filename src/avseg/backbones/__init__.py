"""Foundation models without task code: they compute features of images, texts and audio.

A module wraps the model of `transformers` if there is one, and follows the paper otherwise (BEiT-3,
the front end and projection of MS-CLAP). The defaults of a configuration class are the published
sizes; a small model has the same class with smaller numbers.
"""

from avseg.backbones.beit3 import Beit3Config, Beit3Model
from avseg.backbones.clap import ClapAudioTower, ClapAudioTowerConfig
from avseg.backbones.clap_text import ClapTextTower, ClapTextTowerConfig, ClapTokenizer
from avseg.backbones.clip import (
    ClipImageTower,
    ClipImageTowerConfig,
    ClipTextTower,
    ClipTextTowerConfig,
)
from avseg.backbones.evf_sam import TextPromptedSam
from avseg.backbones.sam import ImageFeatures, MaskPrediction, PromptedSam
from avseg.backbones.sam1 import PromptedSam1, PromptedSam1Config
from avseg.backbones.sam2 import PromptedSam2, PromptedSam2Config
from avseg.backbones.tokenizing import (
    SentencePieceTokenizer,
    TextTokenizer,
    WordTokenizer,
    load_tokenizer,
)

__all__ = [
    "Beit3Config",
    "Beit3Model",
    "ClapAudioTower",
    "ClapAudioTowerConfig",
    "ClapTextTower",
    "ClapTextTowerConfig",
    "ClapTokenizer",
    "ClipImageTower",
    "ClipImageTowerConfig",
    "ClipTextTower",
    "ClipTextTowerConfig",
    "ImageFeatures",
    "MaskPrediction",
    "PromptedSam",
    "PromptedSam1",
    "PromptedSam1Config",
    "PromptedSam2",
    "PromptedSam2Config",
    "SentencePieceTokenizer",
    "TextPromptedSam",
    "TextTokenizer",
    "WordTokenizer",
    "load_tokenizer",
]
