"""Configurations of the small backbones that the small models of all families share."""

from typing import Any

from avseg.backbones.beit3 import Beit3Config
from avseg.backbones.clap import ClapAudioTowerConfig
from avseg.backbones.clip import ClipTextTowerConfig
from avseg.backbones.sam2 import HieraConfig, PromptedSam2Config

#: Convolutional stem of the small BEiT-3 and CLIP.
TINY_STEM = [24, 48, 96, 160]

_HIERA: dict[str, Any] = {
    "image_size": 128,
    "blocks_per_stage": [1, 2, 3, 1],
    "embed_dims": [48, 96, 192, 384],
    "num_heads": [1, 2, 4, 8],
    "window_sizes": [8, 4, 8, 4],
    # With images of 128 pixels these windows cover the whole level anyway; with larger images the
    # two blocks still relate all positions.
    "global_blocks": [4, 5],
}
# TPAVI uses only the image encoder; the other families use SAM 2 with its mask decoder.
TINY_HIERA = HieraConfig(**_HIERA)
TINY_SAM = PromptedSam2Config(**_HIERA, prompt_dim=128, decoder_mlp_dim=256, iou_head_dim=128)
TINY_BEIT3 = Beit3Config(
    image_size=128,
    stem_channels=TINY_STEM,
    dim=160,
    num_layers=3,
    num_heads=5,
    ffn_dim=480,
    vocab_size=256,
    max_text_positions=34,
)
# One second of audio gives 16000 / 64 + 1 = 251 columns; the square has 128^2 / 64 = 256 columns.
TINY_CLAP = ClapAudioTowerConfig(
    sample_rate=16000,
    n_fft=512,
    hop=64,
    mel_sample_rate=16000,
    fmax=8000.0,
    spec_size=128,
    patch_size=8,
    window_size=4,
    depths=[2, 2, 2],
    num_heads=[2, 4, 8],
    embed_dim=48,
    dropout=0.0,
    projection_dim=128,
)


def tiny_text_tower(
    vocab_size: int, max_positions: int, projection_dim: int
) -> ClipTextTowerConfig:
    """Return the configuration of the text tower for contrastive pre-training of small towers.

    Args:
        vocab_size: Number of words; the last one is the end token.
        max_positions: Maximum length of a text in words, with the end token.
        projection_dim: Width of the embedding.

    Returns:
        The configuration.
    """
    # Names are one or two words, so one layer is enough.
    return ClipTextTowerConfig(
        vocab_size=vocab_size,
        max_positions=max_positions,
        eos_token_id=vocab_size - 1,
        dim=128,
        num_layers=1,
        num_heads=4,
        ffn_dim=256,
        projection_dim=projection_dim,
    )


#: Text tower of the small CLAP: the 37 words of SynthAVS's captions, padding and end token.
TINY_CLAP_TEXT = tiny_text_tower(39, 2, TINY_CLAP.projection_dim)


def _sam3_part(**options: int) -> dict[str, int]:
    """Return options of a part of the small SAM 3, with the widths that all parts share."""
    return {"hidden_size": 64, "num_attention_heads": 4, **options}


#: Options of the small SAM 3, a `Sam3Config` of `transformers`; its text encoder has the vocabulary
#: of CLIP.
TINY_SAM3: dict[str, Any] = {
    "vision_config": {
        "backbone_config": {
            "model_type": "sam3_vit_model",
            **_sam3_part(intermediate_size=128, num_hidden_layers=4),
            "image_size": 128,
            "patch_size": 16,
            "window_size": 4,
            "global_attn_indexes": [1, 3],
            "pretrain_image_size": 64,
        },
        "fpn_hidden_size": 64,
        "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
    },
    "text_config": {
        "model_type": "clip_text_model",
        **_sam3_part(intermediate_size=128, num_hidden_layers=2),
        "vocab_size": 49408,
        "max_position_embeddings": 32,
        "projection_dim": 64,
        "hidden_act": "gelu",
    },
    "geometry_encoder_config": _sam3_part(intermediate_size=128, num_layers=1),
    "detr_encoder_config": _sam3_part(intermediate_size=128, num_layers=2),
    "detr_decoder_config": _sam3_part(intermediate_size=128, num_layers=2, num_queries=10),
    "mask_decoder_config": _sam3_part(),
}

#: The small SAM 3 with the 37 words of SynthAVS's captions, padding and end token; a caption has at
#: most three words.
TINY_SAM3_OF_WORDS: dict[str, Any] = {
    **TINY_SAM3,
    "text_config": {
        **TINY_SAM3["text_config"],
        "vocab_size": 39,
        "max_position_embeddings": 3,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 38,
    },
}
