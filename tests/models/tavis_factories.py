"""The smallest TAViS with all modules, and inputs for it."""

from typing import Any

import torch
from torch import Tensor

from avseg.backbones.imagebind import (
    ImageBindAudioConfig,
    ImageBindConfig,
    ImageBindTextConfig,
    ImageBindVisionConfig,
)
from avseg.backbones.imagebind.tokenizing import ImageBindTokenizer
from avseg.backbones.sam2 import PromptedSam2Config
from avseg.backbones.sam2_memory import Sam2MemoryConfig
from avseg.models.tavis import TavisConfig, TavisModel, TavisProcessor
from tests.models.factories import SAM2, randomise

SAM = PromptedSam2Config(**(SAM2.to_dict() | {"prompt_dim": 64}))
MEMORY = Sam2MemoryConfig(frames=3, pointers=3, layers=1, ffn_dim=32, presence_cut=-2.0)
IMAGEBIND = ImageBindConfig(
    vision=ImageBindVisionConfig(image_size=28, width=24, blocks=1, heads=2),
    audio=ImageBindAudioConfig(
        sample_rate=8000,
        clip_s=0.5,
        mel_bins=26,
        target_length=36,
        width=32,
        blocks=1,
        heads=2,
    ),
    text=ImageBindTextConfig(vocab=10, context=12, width=16, blocks=2, heads=2),
    dim=20,
)
TAVIS = TavisConfig(
    sam_config=SAM,
    memory_config=MEMORY,
    imagebind_config=IMAGEBIND,
    decomposition_layers=2,
    adapter_input_dim=12,
    adapter_dim=8,
    imagebind_size=28,
    blur_kernel=21,
    prompt="{name}",
    background="nothing",
    a_scale=1.0,
    losses={"match_points": 64},
)

TOKENIZER = ImageBindTokenizer.from_words(
    ("<pad>", "nothing", "dog", "cat", "bus", "car", "cow", "pig", "bee")
)
PROCESSOR = TavisProcessor.from_config(TAVIS, TOKENIZER).with_vocabulary(["dog", "cat", "bus"])

#: Background, dog, cat and bus: a word and the end, of ten.
NAME_IDS = torch.tensor([[1, 9], [2, 9], [3, 9], [4, 9]])


def build(seed: int = 0, **changes: Any) -> TavisModel:
    """Build the model with random weights, in evaluation mode."""
    torch.manual_seed(seed)
    model = TavisModel(TAVIS.replace(**changes))
    randomise(model, seed)
    return model.eval()


def given(clips: int = 1, frames: int = 1) -> dict[str, Tensor]:
    """Draw random frames and audio."""
    generator = torch.Generator().manual_seed(1)
    return {
        "pixel_values": torch.rand(clips, frames, 3, 64, 64, generator=generator),
        "audio_values": torch.randn(clips, frames, 1, 26, 36, generator=generator),
        "name_ids": NAME_IDS,
    }


def labels(clips: int = 1, frames: int = 1) -> Tensor:
    """Draw a dog in the upper left and a bus in the lower right of every frame."""
    drawn = torch.zeros(clips, frames, 64, 64, dtype=torch.uint8)
    drawn[..., :24, :32] = 1
    drawn[..., 40:, 30:] = 3
    return drawn
