"""Key map of SAM (github.com/facebookresearch/segment-anything)."""

from avseg.checkpoints.keymaps.key_map import KeyMap, drop, rename, repeat, same
from avseg.checkpoints.keymaps.sam import ATTENTION, MASK_DECODER, MASK_PROMPTS

_IMAGE_ENCODER = KeyMap(
    (
        same("pos_embed"),
        rename("patch_embed.proj.{part}", "patch_embed.projection.{part}"),
        rename("blocks.{i}.norm{k}.{part}", "layers.{i}.layer_norm{k}.{part}"),
        rename("blocks.{i}.attn.{name:qkv|proj}.{part}", "layers.{i}.attn.{name}.{part}"),
        rename("blocks.{i}.attn.rel_pos_{name:h|w}", "layers.{i}.attn.rel_pos_{name}"),
        rename("blocks.{i}.mlp.lin{k}.{part}", "layers.{i}.mlp.lin{k}.{part}"),
        rename("neck.0.{part}", "neck.conv1.{part}"),
        rename("neck.1.{part}", "neck.layer_norm1.{part}"),
        rename("neck.2.{part}", "neck.conv2.{part}"),
        rename("neck.3.{part}", "neck.layer_norm2.{part}"),
    )
)

_DECODER = KeyMap(
    (
        same(ATTENTION + ".{name:q|k|v|out}_proj.{part}"),
        same("transformer.layers.{i}.mlp.lin{k}.{part}"),
    )
)

SAM1 = (
    _IMAGE_ENCODER.under("image_encoder.", "vision_encoder.")
    + KeyMap(
        (
            # transformers has the random frequencies of the position encoding in two modules.
            repeat(
                "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
                "shared_image_embedding.positional_embedding",
                "prompt_encoder.shared_embedding.positional_embedding",
            ),
            rename(
                "prompt_encoder.point_embeddings.{i}.weight",
                "prompt_encoder.point_embed.{i}.weight",
            ),
            # In this package the processor has these constants.
            drop("{name:pixel_mean|pixel_std}"),
        )
    )
    + MASK_PROMPTS.under("prompt_encoder.", "prompt_encoder.")
    + (_DECODER + MASK_DECODER).under("mask_decoder.", "mask_decoder.")
)
