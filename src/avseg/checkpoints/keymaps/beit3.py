"""Key map of BEiT-3 (github.com/microsoft/unilm/tree/master/beit3); our names are the same."""

from avseg.checkpoints.keymaps.key_map import KeyMap, drop, same

#: `A` for image tokens, `B` for text tokens.
_WAY = "{way:A|B}"

BEIT3 = KeyMap(
    (
        same("text_embed.weight"),
        same("vision_embed.cls_token"),
        same("vision_embed.proj.{part}"),
        drop("vision_embed.mask_token"),
        same("encoder.embed_positions." + _WAY + ".weight"),
        same(
            "encoder.layers.{i}.self_attn.{name:[qkv]_proj|out_proj|inner_attn_ln}."
            + _WAY
            + ".{part}"
        ),
        same("encoder.layers.{i}.{name:self_attn_layer_norm|final_layer_norm}." + _WAY + ".{part}"),
        same("encoder.layers.{i}.ffn." + _WAY + ".{name:fc1|fc2|ffn_layernorm}.{part}"),
        same("encoder.layer_norm." + _WAY + ".{part}"),
    )
)

#: Key map of the project's own files, which contain the heads of the training tasks.
BEIT3_FILE = BEIT3.under("beit3.", "") + KeyMap(
    (
        drop("{name:pooler|head|mlm_head|mim_head|scorer|language_head|vision_head}.{part}"),
        drop("logit_scale"),
    )
)
