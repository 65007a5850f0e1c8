"""Key map of TAViS (github.com/Sssssuperior/TAViS): SAM 2, ImageBind and the layers between them.

The released code declares many layers that it never uses.
"""

from avseg.checkpoints.keymaps.imagebind import IMAGEBIND
from avseg.checkpoints.keymaps.key_map import KeyMap, drop, rename
from avseg.checkpoints.keymaps.sam2 import SAM2_IMAGES, SAM2_MEMORY

#: Published name of each linear layer, and its name here. "seperate" is spelled as published. The
#: index of a layer doubles, because a ReLU follows each layer in a `Sequential`.
_LINEARS = {
    "seperate_audio": "decomposition.bias",
    "audio_to_texte": "pseudo_text.to_words",
    "audio_to_text1": "pseudo_text.choose",
    "mlp": "prompts.query_proj",
    "token_all": "prompts.whole_proj",
    "text_a": "prompts.text_proj",
    "down": "prompts.dense_proj",
    "mlp_audio": "adapters.heard",
    **{f"audio_MLP.layers.{i}": f"prompts.query_mlp.{2 * i}" for i in range(3)},
    **{f"aggregate.layers.{i}": f"prompts.fuse.{2 * i}" for i in range(3)},
}

#: Published name of each stack of cross-attention layers, and its name here.
_STACKS = {
    "transformer_cross_attention_layers_W": "decomposition.gather",
    "transformer_cross_attention_audio": "decomposition.refine",
}


def tavis(readout: str) -> KeyMap:
    """Build the key map of TAViS.

    Args:
        readout: Readout of the pseudo words: "argmax" uses the layer that selects a word, which
            never received a gradient; "last" drops it.

    Returns:
        The key map.
    """
    linears = [
        rename(f"{published}.{{part}}", f"{ours}.{{part}}")
        for published, ours in _LINEARS.items()
        if readout == "argmax" or published != "audio_to_text1"
    ]
    choose = [] if readout == "argmax" else [drop("audio_to_text1.{part}")]
    stacks = [
        entry
        for published, ours in _STACKS.items()
        for entry in (
            rename(
                f"{published}.{{i}}.multihead_attn.in_proj_{{part}}",
                f"{ours}.{{i}}.attention.in_proj_{{part}}",
            ),
            rename(
                f"{published}.{{i}}.multihead_attn.out_proj.{{part}}",
                f"{ours}.{{i}}.attention.out_proj.{{part}}",
            ),
            rename(f"{published}.{{i}}.norm.{{part}}", f"{ours}.{{i}}.norm.{{part}}"),
        )
    ]
    adapters = KeyMap(
        (
            rename("lightweight_mlp_{i}.0.{part}", "blocks.{i}.0.{part}"),
            rename("shared_mlp.{i}.{part}", "blocks.{i}.2.{part}"),
        )
    )
    return (
        KeyMap(
            (
                *linears,
                *choose,
                *stacks,
                rename("query_fea_W.weight", "decomposition.queries.weight"),
                rename("query_embed_W.weight", "decomposition.query_positions.weight"),
            )
        )
        + _UNUSED
        + adapters.under("image_encoder.prompt_generator.", "adapters.")
        + SAM2_IMAGES.under("", "sam.sam2.")
        + SAM2_MEMORY.under("", "memory.")
        + IMAGEBIND.under("imagebind.", "imagebind.")
    )


#: Layers that the released code declares and never uses, and constants.
_UNUSED = KeyMap(
    (
        drop("{name:query_fea_H|query_embed_H|text_prompt_all|no_mask_embed}.weight"),
        drop("{stack:transformer_cross_attention_layers_H|transformer_CA}.{i}.norm.{part}"),
        drop(
            "{stack:transformer_cross_attention_layers_H|transformer_CA}.{i}.multihead_attn"
            ".{name:in_proj_weight|in_proj_bias}"
        ),
        drop(
            "{stack:transformer_cross_attention_layers_H|transformer_CA}.{i}.multihead_attn"
            ".out_proj.{part}"
        ),
        drop("sam_mask_decoder.decoder_norm.{part}"),
        drop("sam_mask_decoder.audio_score.{i}.layers.{k}.{part}"),
        drop("CEloss.weight"),
    )
)
