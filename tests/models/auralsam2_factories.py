"""The smallest AuralSAM2 with all modules, with and without texts, and inputs for it."""

from typing import Any

import torch
from tokenizers import Tokenizer, pre_tokenizers, processors
from tokenizers.models import WordLevel
from torch import Tensor

from avseg.backbones.config import own_options
from avseg.backbones.roberta import RobertaTextConfig, RobertaTokenizer
from avseg.backbones.sam2_memory import Sam2MemoryConfig
from avseg.backbones.vggish import VggishConfig
from avseg.models.auralsam2 import (
    AuralSam2Config,
    AuralSam2Model,
    AuralSam2Processor,
    AuralSam2TextConfig,
    AuralSam2TextModel,
    AuralSam2TextProcessor,
)
from tests.models.factories import randomise
from tests.models.tavis_factories import SAM

VGGISH = VggishConfig(columns=16, mel_bins=16, channels=[4, 4, 8, 8], hidden_dim=16, dim=32)
AURALSAM2 = AuralSam2Config(
    sam_config=SAM,
    memory_config=Sam2MemoryConfig(frames=3, pointers=3, layers=1, ffn_dim=32, binary_masks=True),
    vggish_config=VGGISH,
    image_blocks=[1, 1, 2],
    audio_blocks=1,
    mlp_ratio=2,
    key_stride=2,
    contrast_dim=8,
    window_frames=3,
)
AURAL_PROCESSOR = AuralSam2Processor.from_config(AURALSAM2)


def build(seed: int = 0, **changes: Any) -> AuralSam2Model:
    """Build the model with random weights, in evaluation mode."""
    torch.manual_seed(seed)
    model = AuralSam2Model(AURALSAM2.replace(**changes))
    randomise(model, seed)
    return model.eval()


def given(clips: int = 1, frames: int = 2, channels: int = 1) -> dict[str, Tensor]:
    """Draw random frames and spectrograms."""
    generator = torch.Generator().manual_seed(1)
    return {
        "pixel_values": torch.randn(clips, frames, 3, 64, 64, generator=generator),
        "audio_values": torch.randn(clips, frames, channels, 16, 16, generator=generator),
    }


def masks(clips: int = 1, frames: int = 2) -> Tensor:
    """Draw the same square in every frame."""
    drawn = torch.zeros(clips, frames, 32, 32, dtype=torch.uint8)
    drawn[..., :20, :16] = 1
    return drawn


TEXT = AuralSam2TextConfig(
    **{name: getattr(AURALSAM2, name) for name in own_options(AuralSam2Config)},
    text_config=RobertaTextConfig(
        vocab_size=9, max_positions=9, dim=16, num_layers=1, num_heads=2, ffn_dim=16
    ),
    text_hidden_dim=8,
    max_text_tokens=7,
)
_WORDS = ("<s>", "<pad>", "</s>", "<unk>", "the", "left", "dog", "cat", "guitar")


def text_tokenizer() -> RobertaTokenizer:
    """Build a tokenizer of whole words in the published form, with start and end token."""
    numbers = {word: number for number, word in enumerate(_WORDS)}
    tokenizer = Tokenizer(WordLevel(numbers, unk_token=_WORDS[3]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return RobertaTokenizer(tokenizer.to_str())


def build_text(seed: int = 0, **changes: Any) -> AuralSam2TextModel:
    """Build the model for texts with random weights, in evaluation mode."""
    torch.manual_seed(seed)
    model = AuralSam2TextModel(TEXT.replace(**changes))
    randomise(model, seed)
    return model.eval()


def text_processor() -> AuralSam2TextProcessor:
    """Build the processor of the model for texts, without texts."""
    return AuralSam2TextProcessor.from_config(TEXT, text_tokenizer())
