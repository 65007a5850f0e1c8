"""The smallest models with all modules: 64-pixel frames, a quarter second of 8 kHz audio."""

from typing import Any

import torch
from torch import Tensor, nn

from avseg.backbones.beit3 import Beit3Config
from avseg.backbones.clap import ClapAudioTowerConfig
from avseg.backbones.clap_namer import ClapNamerConfig
from avseg.backbones.clap_text import ClapTextTowerConfig, ClapTokenizer
from avseg.backbones.clip import ClipImageTowerConfig
from avseg.backbones.evf_sam_segmenter import EvfSamSegmenterConfig
from avseg.backbones.sam1 import PromptedSam1Config
from avseg.backbones.sam2 import HieraConfig, PromptedSam2Config
from avseg.backbones.tokenizing import WordTokenizer
from avseg.models.av2t_sam import Av2tSamConfig
from avseg.models.cascade import CascadeConfig
from avseg.models.evf_sam import EvfSamConfig
from avseg.models.sama import SamaConfig
from avseg.models.tpavi import TpaviConfig

_HIERA: dict[str, Any] = {
    "image_size": 64,
    "blocks_per_stage": [1, 2, 1, 1],
    "embed_dims": [16, 32, 48, 64],
    "num_heads": [1, 2, 2, 4],
    "window_sizes": [8, 4, 4, 2],
    "global_blocks": [2],
}
HIERA = HieraConfig(**_HIERA)
SAM2 = PromptedSam2Config(
    **_HIERA,
    prompt_dim=32,
    decoder_heads=2,
    decoder_mlp_dim=64,
    iou_head_dim=32,
)
SAM1 = PromptedSam1Config(
    image_size=64,
    patch_size=8,
    dim=24,
    num_layers=3,
    num_heads=2,
    ffn_dim=48,
    window_size=3,
    global_blocks=[1],
    prompt_dim=32,
    decoder_heads=2,
    decoder_mlp_dim=64,
    iou_head_dim=32,
)
BEIT3 = Beit3Config(
    image_size=64,
    stem_channels=[8, 16],
    dim=32,
    num_layers=2,
    num_heads=2,
    ffn_dim=64,
    vocab_size=20,
    max_text_positions=10,
)
CLIP = ClipImageTowerConfig(
    image_size=64,
    patch_size=16,
    stem_channels=[8, 16],
    dim=32,
    num_layers=1,
    num_heads=2,
    ffn_dim=64,
    projection_dim=24,
)
CLAP = ClapAudioTowerConfig(
    sample_rate=8000,
    n_fft=256,
    hop=32,
    num_mel_bins=32,
    mel_sample_rate=8000,
    fmax=4000.0,
    spec_size=64,
    patch_size=4,
    window_size=4,
    depths=[1, 2],
    num_heads=[2, 2],
    embed_dim=16,
    dropout=0.0,
    projection_dim=20,
)
CONFIG = Av2tSamConfig(
    sam_config=SAM2,
    beit3_config=BEIT3,
    clip_config=CLIP,
    clap_config=CLAP,
    fused_dim=16,
    adapter_dim=8,
    window_s=0.25,
)
TEXT = ClapTextTowerConfig(
    vocab_size=6,
    max_positions=8,
    max_tokens=4,
    end_token_id=5,
    dim=16,
    num_layers=1,
    num_heads=2,
    projection_dim=20,
)
CASCADE = CascadeConfig(
    namer_config=ClapNamerConfig(clap_config=CLAP, text_config=TEXT),
    segmenter_config=EvfSamSegmenterConfig(sam_config=SAM2, beit3_config=BEIT3),
    window_s=0.25,
    sound_prompt="{name}",
    min_score=-1.0,  # random weights give any cosine
    min_share=0.0,
    max_names=2,
)
SAMA = SamaConfig(sam_config=SAM2, clap_config=CLAP, adapter_dim=8, window_s=0.25)
TPAVI = TpaviConfig(hiera_config=HIERA, clap_config=CLAP, dim=16, window_s=0.25)
EVF_CONFIG = EvfSamConfig(sam_config=SAM2, beit3_config=BEIT3, max_text_tokens=3)
WORDS = WordTokenizer(("<pad>", "nothing", "dog", "cat", "bus"))
CLAP_WORDS = ClapTokenizer.from_words(WORDS.words)


def inputs(clips: int = 1, frames: int = 2) -> dict[str, Tensor]:
    """Draw random frames and audio for `CONFIG`."""
    images = torch.randn(clips, frames, 3, 64, 64)
    return {
        "pixel_values_sam": images,
        "pixel_values_beit3": images,
        "pixel_values_clip": images,
        "audio_values": 0.1 * torch.randn(clips, frames, 2000),
    }


def frames_and_audio(clips: int = 1, frames: int = 2) -> dict[str, Tensor]:
    """Draw random frames and audio for `SAMA` and `TPAVI`."""
    made = inputs(clips, frames)
    return {"pixel_values": made["pixel_values_sam"], "audio_values": made["audio_values"]}


def randomise(module: nn.Module, seed: int = 0) -> None:
    """Add noise to every parameter, so that none is zero by initialisation."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
