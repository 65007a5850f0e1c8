"""Key maps of CLIP's image tower (github.com/openai/CLIP); its text tower is not used."""

from avseg.checkpoints.keymaps.key_map import KeyMap, drop, rename, same, split, transpose

#: Key map of files that transformers saved (`openai/clip-vit-base-patch32`).
CLIP = KeyMap(
    (
        drop("vision_model.embeddings.position_ids"),
        same("vision_model.{rest}"),
        same("visual_projection.weight"),
        drop("text_model.{rest}"),
        drop("text_projection.weight"),
        drop("logit_scale"),
    )
)

_BLOCK = "transformer.resblocks.{i}"
_LAYER = "vision_model.encoder.layers.{i}"

#: Key map of OpenAI's state dict (that of `ViT-B-32.pt`).
CLIP_OPENAI = KeyMap(
    (
        rename("visual.class_embedding", "vision_model.embeddings.class_embedding"),
        rename("visual.positional_embedding", "vision_model.embeddings.position_embedding.weight"),
        rename("visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight"),
        # transformers misspells this name.
        rename("visual.ln_pre.{part}", "vision_model.pre_layrnorm.{part}"),
        rename("visual.ln_post.{part}", "vision_model.post_layernorm.{part}"),
        # OpenAI multiplies x @ proj; the weight of a linear layer is the transposed matrix.
        transpose("visual.proj", "visual_projection.weight"),
        split(
            f"visual.{_BLOCK}.attn.in_proj_{{part}}",
            _LAYER + ".self_attn.q_proj.{part}",
            _LAYER + ".self_attn.k_proj.{part}",
            _LAYER + ".self_attn.v_proj.{part}",
        ),
        rename(f"visual.{_BLOCK}.attn.out_proj.{{part}}", _LAYER + ".self_attn.out_proj.{part}"),
        rename(f"visual.{_BLOCK}.ln_{{k}}.{{part}}", _LAYER + ".layer_norm{k}.{part}"),
        rename(f"visual.{_BLOCK}.mlp.c_fc.{{part}}", _LAYER + ".mlp.fc1.{part}"),
        rename(f"visual.{_BLOCK}.mlp.c_proj.{{part}}", _LAYER + ".mlp.fc2.{part}"),
        # The text tower, and constants.
        drop("transformer.{rest}"),
        drop("{name:token_embedding.weight|positional_embedding|text_projection|logit_scale}"),
        drop("ln_final.{part}"),
        drop("{name:input_resolution|context_length|vocab_size}"),
    )
)
