"""Sizes of the small text-prompted SAM, which the small models of the families share."""

from avseg.backbones.beit3 import Beit3Config
from avseg.backbones.sam2 import PromptedSam2Config

#: Convolutional stem of the small BEiT-3 and CLIP.
TINY_STEM = [24, 48, 96, 160]

TINY_SAM = PromptedSam2Config(
    image_size=128,
    blocks_per_stage=[1, 2, 3, 1],
    embed_dims=[48, 96, 192, 384],
    num_heads=[1, 2, 4, 8],
    window_sizes=[8, 4, 8, 4],
    global_blocks=[],
    prompt_dim=128,
    decoder_mlp_dim=256,
    iou_head_dim=128,
)
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
