"""The smallest recipes that train: 64-pixel frames, few steps, and data to match."""

from dataclasses import replace
from typing import Any

from avseg.training.recipe import Recipe


def changed(recipe: Recipe, section: str, **options: Any) -> Recipe:
    """Return a recipe with options of one section changed."""
    return replace(recipe, **{section: getattr(recipe, section) | options})


#: Sizes that differ from the small model's.
MODEL: dict[str, Any] = {
    "sam_config": {
        "image_size": 64,
        "blocks_per_stage": [1, 2, 1, 1],
        "embed_dims": [16, 32, 48, 64],
        "num_heads": [1, 2, 2, 4],
        "window_sizes": [8, 4, 4, 2],
        "global_blocks": [2],
        "prompt_dim": 32,
        "decoder_heads": 2,
        "decoder_mlp_dim": 32,
        "iou_head_dim": 16,
    },
    "beit3_config": {
        "image_size": 64,
        "stem_channels": [8, 16],
        "dim": 32,
        "num_layers": 1,
        "num_heads": 2,
        "ffn_dim": 32,
    },
    "clip_config": {
        "image_size": 32,
        "stem_channels": [8, 16],
        "dim": 32,
        "num_layers": 1,
        "num_heads": 2,
        "ffn_dim": 32,
        "projection_dim": 16,
    },
    "clap_config": {
        "hop": 160,
        "spec_size": 64,
        "num_mel_bins": 32,
        "depths": [1, 1],
        "num_heads": [1, 1],
        "embed_dim": 8,
        "projection_dim": 16,
    },
    "fused_dim": 16,
    "adapter_dim": 8,
}

#: The same with SAM 3 instead of EVF-SAM.
MODEL_SAM3: dict[str, Any] = {
    name: options for name, options in MODEL.items() if name not in {"sam_config", "beit3_config"}
} | {
    "sam3_config": {
        "vision_config": {
            "backbone_config": {
                "image_size": 64,
                "num_hidden_layers": 2,
                "global_attn_indexes": [1],
            }
        },
        "text_config": {"num_hidden_layers": 1},
    },
}

TRAINER: dict[str, Any] = {
    "max_steps": 2,
    "per_device_train_batch_size": 2,
    "per_device_eval_batch_size": 4,
    "learning_rate": 1e-3,
    "seed": 3,
    "save_strategy": "no",
    "disable_tqdm": True,
}

CLIP = Recipe(
    name="clip",
    task="image-text",
    data={"size": 40, "seed": 1, "measured_size": 4},
    trainer=TRAINER,
    model=MODEL,
)
CLAP = replace(CLIP, name="clap", task="audio-text", data=CLIP.data | {"recordings": 1})
SAM = replace(CLIP, name="sam", task="image-class")
SEGMENTER = replace(
    CLIP,
    name="segmenter",
    task="text-prompt",
    data=CLIP.data | {"prompts": 2, "learn_encoders": True},
)
BRIDGE = replace(
    CLIP,
    name="bridge",
    task="audio-visual",
    data={"train": ["s4/train", "ms3/train"], "measured": ["ms3/val"], "off_screen": 0.2},
    start_from={"clip": "clip", "clap": "clap", "segmenter": "segmenter"},
)
SAM3 = replace(
    CLIP,
    name="sam3",
    task="text-prompt-sam3",
    data=CLIP.data | {"prompts": 2},
    model=MODEL_SAM3,
)
BRIDGE_SAM3 = replace(
    BRIDGE,
    name="bridge_sam3",
    task="audio-visual-sam3",
    model=MODEL_SAM3,
    start_from={"clip": "clip", "clap": "clap", "segmenter": "sam3"},
)
#: ImageBind's sizes that differ from the small model's.
IMAGEBIND_MODEL: dict[str, Any] = {
    "vision": {
        "image_size": 32,
        "patch_size": 16,
        "stem_channels": [8, 16],
        "width": 32,
        "blocks": 1,
        "heads": 2,
    },
    "audio": {
        "mel_bins": 32,
        "kernel": 16,
        "stem_channels": [8, 16],
        "width": 16,
        "blocks": 1,
        "heads": 2,
    },
    "text": {"width": 16, "blocks": 1, "heads": 2},
    "dim": 16,
}
IMAGEBIND = Recipe(
    name="imagebind",
    task="audio-image-text",
    data=CLAP.data,
    trainer=TRAINER,
    model=IMAGEBIND_MODEL,
)
