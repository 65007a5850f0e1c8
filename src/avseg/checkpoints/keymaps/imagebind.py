"""Key map of ImageBind (github.com/facebookresearch/ImageBind): three of its six towers.

The towers of depth, thermal images and motion are not used.
"""

from avseg.checkpoints.keymaps.key_map import KeyMap, drop, rename

_STEM = "modality_preprocessors.{tower:vision|audio}"
_BLOCK = "modality_trunks.{tower:vision|audio|text}.blocks.{i}"
_OUR_BLOCK = "{tower}_tower.trunk.blocks.{i}"

_USED = KeyMap(
    (
        # Module 0 of the image stem repeats the image as two frames, and has no weights.
        rename("modality_preprocessors.vision.rgbt_stem.proj.1.weight", "vision_tower.stem.weight"),
        rename("modality_preprocessors.audio.rgbt_stem.proj.weight", "audio_tower.stem.weight"),
        rename(
            "modality_preprocessors.audio.rgbt_stem.norm_layer.{part}",
            "audio_tower.stem_norm.{part}",
        ),
        rename(_STEM + ".cls_token", "{tower}_tower.cls_token"),
        rename(_STEM + ".pos_embedding_helper.pos_embed", "{tower}_tower.positions"),
        rename(
            "modality_preprocessors.text.token_embedding.weight",
            "text_tower.token_embedding.weight",
        ),
        rename("modality_preprocessors.text.pos_embed", "text_tower.positions"),
        # The causal mask, which attention computes here.
        drop("modality_preprocessors.text.mask"),
        rename(
            "modality_trunks.vision.pre_transformer_layer.0.{part}", "vision_tower.pre_norm.{part}"
        ),
        rename(_BLOCK + ".attn.in_proj_{part}", _OUR_BLOCK + ".attention.in_proj.{part}"),
        rename(_BLOCK + ".attn.out_proj.{part}", _OUR_BLOCK + ".attention.out_proj.{part}"),
        rename(_BLOCK + ".attn.bias_{name:k|v}", _OUR_BLOCK + ".attention.bias_{name}"),
        rename(_BLOCK + ".norm_{k}.{part}", _OUR_BLOCK + ".norm_{k}.{part}"),
        rename(_BLOCK + ".mlp.fc{k}.{part}", _OUR_BLOCK + ".fc{k}.{part}"),
        # Module 1 of these heads selects the class token, and has no weights.
        rename("modality_heads.{tower:vision|audio}.0.{part}", "{tower}_head.norm.{part}"),
        rename("modality_heads.{tower:vision|audio}.2.weight", "{tower}_head.proj.weight"),
        rename("modality_heads.text.proj.0.{part}", "text_head.norm.{part}"),
        rename("modality_heads.text.proj.1.weight", "text_head.proj.weight"),
        rename("modality_postprocessors.{tower:text|audio}.1.log_logit_scale", "{tower}_log_scale"),
    )
)

_OTHERS = "{tower:depth|thermal|imu}"

#: Every key is listed, so that an unknown key in a file is still an error.
_UNUSED = KeyMap(
    (
        drop(f"modality_preprocessors.{_OTHERS}.{{name:cls_token|pos_embed}}"),
        drop(f"modality_preprocessors.{_OTHERS}.pos_embedding_helper.pos_embed"),
        drop(f"modality_preprocessors.{_OTHERS}.{{stem:depth|rgbt|imu}}_stem.proj.weight"),
        drop(f"modality_preprocessors.{_OTHERS}.{{stem:depth|rgbt|imu}}_stem.norm_layer.{{part}}"),
        drop(f"modality_trunks.{_OTHERS}.blocks.{{i}}.attn.{{name:in_proj_weight|in_proj_bias}}"),
        drop(f"modality_trunks.{_OTHERS}.blocks.{{i}}.attn.{{name:bias_k|bias_v}}"),
        drop(f"modality_trunks.{_OTHERS}.blocks.{{i}}.attn.out_proj.{{part}}"),
        drop(f"modality_trunks.{_OTHERS}.blocks.{{i}}.norm_{{k}}.{{part}}"),
        drop(f"modality_trunks.{_OTHERS}.blocks.{{i}}.mlp.fc{{k}}.{{part}}"),
        drop(f"modality_heads.{_OTHERS}.{{i}}.{{part}}"),
        drop(f"modality_postprocessors.{_OTHERS}.1.log_logit_scale"),
    )
)

IMAGEBIND = _USED + _UNUSED
