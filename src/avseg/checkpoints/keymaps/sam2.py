"""Key maps of SAM 2 (github.com/facebookresearch/sam2): image part, and memory over frames."""

from avseg.checkpoints.keymaps.key_map import KeyMap, drop, join, rename, repeat, same
from avseg.checkpoints.keymaps.sam import ATTENTION, MASK_DECODER, MASK_PROMPTS

_TRUNK = KeyMap(
    (
        same("pos_embed"),
        same("pos_embed_window"),
        rename("patch_embed.proj.{part}", "patch_embed.projection.{part}"),
        rename("blocks.{i}.norm{k}.{part}", "blocks.{i}.layer_norm{k}.{part}"),
        same("blocks.{i}.attn.{name:qkv|proj}.{part}"),
        rename("blocks.{i}.mlp.layers.0.{part}", "blocks.{i}.mlp.proj_in.{part}"),
        rename("blocks.{i}.mlp.layers.1.{part}", "blocks.{i}.mlp.proj_out.{part}"),
        same("blocks.{i}.proj.{part}"),
    )
)

#: The embeddings of the four kinds of point prompts are one table in transformers.
_PROMPT_ENCODER = KeyMap(
    (join([f"point_embeddings.{i}.weight" for i in range(4)], "point_embed.weight"),)
)

_DECODER = KeyMap(
    (
        same(ATTENTION + ".{name:[qkv]}_proj.{part}"),
        rename(ATTENTION + ".out_proj.{part}", "transformer.{where}.o_proj.{part}"),
        rename(
            "transformer.layers.{i}.mlp.layers.0.{part}",
            "transformer.layers.{i}.mlp.proj_in.{part}",
        ),
        rename(
            "transformer.layers.{i}.mlp.layers.1.{part}",
            "transformer.layers.{i}.mlp.proj_out.{part}",
        ),
        same("conv_s{k}.{part}"),
    )
)

#: SAM 2's memory, for models without it. A layer scale of the memory encoder is called `gamma` in
#: SAM 2's own files and `weight` in EVF-SAM's.
_DROPPED_MEMORY = KeyMap(
    (
        drop("memory_encoder.fuser.layers.{i}.{name:gamma|weight}"),
        drop("memory_encoder.fuser.layers.{i}.{name:dwconv|norm|pwconv1|pwconv2}.{part}"),
        drop("memory_encoder.mask_downsampler.encoder.{i}.{part}"),
        drop("memory_encoder.{name:pix_feat_proj|out_proj}.{part}"),
        drop("memory_attention.layers.{i}.{name:self_attn|cross_attn_image}.{proj}.{part}"),
        drop("memory_attention.layers.{i}.{name:linear[12]|norm[123]}.{part}"),
        drop("memory_attention.norm.{part}"),
        drop("{name:maskmem_tpos_enc|no_mem_pos_enc|no_obj_ptr|no_obj_embed_spatial}"),
        drop("obj_ptr_proj.layers.{i}.{part}"),
        drop("{name:mask_downsample|obj_ptr_tpos_proj}.{part}"),
    )
)

#: SAM 2 without its memory.
SAM2_IMAGES = (
    _TRUNK.under("image_encoder.trunk.", "vision_encoder.backbone.")
    + KeyMap(
        (
            rename(
                "image_encoder.neck.convs.{i}.conv.{part}", "vision_encoder.neck.convs.{i}.{part}"
            ),
            rename("no_mem_embed", "no_memory_embedding"),
            # transformers has the random frequencies of the position encoding in two modules.
            repeat(
                "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
                "shared_image_embedding.positional_embedding",
                "prompt_encoder.shared_embedding.positional_embedding",
            ),
        )
    )
    + (_PROMPT_ENCODER + MASK_PROMPTS).under("sam_prompt_encoder.", "prompt_encoder.")
    + (_DECODER + MASK_DECODER).under("sam_mask_decoder.", "mask_decoder.")
)

_DOWNSAMPLER = "memory_encoder.mask_downsampler.encoder"

#: SAM 2's memory, for models with it.
SAM2_MEMORY = KeyMap(
    (
        rename(
            "memory_attention.layers.{i}.{which:self_attn|cross_attn_image}.{name:[qkv]}_proj.{part}",
            "attention.layers.{i}.{which}.{name}_proj.{part}",
        ),
        rename(
            "memory_attention.layers.{i}.{which:self_attn|cross_attn_image}.out_proj.{part}",
            "attention.layers.{i}.{which}.o_proj.{part}",
        ),
        rename(
            "memory_attention.layers.{i}.linear{k}.{part}", "attention.layers.{i}.linear{k}.{part}"
        ),
        rename(
            "memory_attention.layers.{i}.norm{k}.{part}",
            "attention.layers.{i}.layer_norm{k}.{part}",
        ),
        rename("memory_attention.norm.{part}", "attention.layer_norm.{part}"),
        # Each stage of the published `Sequential` is a convolution, a norm and an activation.
        *(
            rename(
                f"{_DOWNSAMPLER}.{3 * stage + place}.{{part}}",
                f"encoder.mask_downsampler.layers.{stage}.{layer}.{{part}}",
            )
            for stage in range(4)
            for place, layer in enumerate(("conv", "layer_norm"))
        ),
        rename(f"{_DOWNSAMPLER}.12.{{part}}", "encoder.mask_downsampler.final_conv.{part}"),
        rename("memory_encoder.pix_feat_proj.{part}", "encoder.feature_projection.{part}"),
        rename("memory_encoder.out_proj.{part}", "encoder.projection.{part}"),
        rename("memory_encoder.fuser.layers.{i}.gamma", "encoder.memory_fuser.layers.{i}.scale"),
        rename(
            "memory_encoder.fuser.layers.{i}.dwconv.{part}",
            "encoder.memory_fuser.layers.{i}.depthwise_conv.{part}",
        ),
        rename(
            "memory_encoder.fuser.layers.{i}.norm.{part}",
            "encoder.memory_fuser.layers.{i}.layer_norm.{part}",
        ),
        rename(
            "memory_encoder.fuser.layers.{i}.pwconv{k}.{part}",
            "encoder.memory_fuser.layers.{i}.pointwise_conv{k}.{part}",
        ),
        rename("obj_ptr_proj.layers.0.{part}", "pointer_projection.proj_in.{part}"),
        rename("obj_ptr_proj.layers.1.{part}", "pointer_projection.layers.0.{part}"),
        rename("obj_ptr_proj.layers.2.{part}", "pointer_projection.proj_out.{part}"),
        rename("maskmem_tpos_enc", "time_embeddings"),
        rename("no_obj_ptr", "no_object_pointer"),
        # For a first frame that attends to a dummy memory; here it skips the attention.
        drop("no_mem_pos_enc"),
        # For frames with a mask as their prompt.
        drop("mask_downsample.{part}"),
    )
)

#: All tensors of a file of SAM 2, for models without memory.
SAM2 = SAM2_IMAGES + _DROPPED_MEMORY

#: All tensors of a file of SAM 2, for the memory alone.
SAM2_MEMORY_ALONE = SAM2_MEMORY + KeyMap(
    (
        drop("{part:image_encoder|sam_prompt_encoder|sam_mask_decoder}.{rest}"),
        drop("no_mem_embed"),
    )
)
