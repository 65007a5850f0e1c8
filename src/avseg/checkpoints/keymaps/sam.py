"""Key maps that SAM 1 and SAM 2 share."""

from avseg.checkpoints.keymaps.key_map import KeyMap, rename, same

#: Encoder of mask prompts. No model here uses it, but it is a part of the module in transformers.
MASK_PROMPTS = KeyMap(
    (
        rename("mask_downscaling.0.{part}", "mask_embed.conv1.{part}"),
        rename("mask_downscaling.1.{part}", "mask_embed.layer_norm1.{part}"),
        rename("mask_downscaling.3.{part}", "mask_embed.conv2.{part}"),
        rename("mask_downscaling.4.{part}", "mask_embed.layer_norm2.{part}"),
        rename("mask_downscaling.6.{part}", "mask_embed.conv3.{part}"),
        same("{name:not_a_point_embed|no_mask_embed}.weight"),
    )
)

#: The perceptrons of the decoder: the first and the last layer have names of their own in
#: transformers.
_HEAD = "{head:output_hypernetworks_mlps[.][0-9]+|iou_prediction_head|pred_obj_score_head}"

#: The mask decoder without its attention layers, whose names differ.
MASK_DECODER = KeyMap(
    (
        rename(
            "transformer.layers.{i}.norm{k}.{part}", "transformer.layers.{i}.layer_norm{k}.{part}"
        ),
        rename("transformer.norm_final_attn.{part}", "transformer.layer_norm_final_attn.{part}"),
        same("{name:iou_token|mask_tokens|obj_score_token}.weight"),
        rename("output_upscaling.0.{part}", "upscale_conv1.{part}"),
        rename("output_upscaling.1.{part}", "upscale_layer_norm.{part}"),
        rename("output_upscaling.3.{part}", "upscale_conv2.{part}"),
        rename(_HEAD + ".layers.0.{part}", "{head}.proj_in.{part}"),
        rename(_HEAD + ".layers.1.{part}", "{head}.layers.0.{part}"),
        rename(_HEAD + ".layers.2.{part}", "{head}.proj_out.{part}"),
    )
)

#: Template of the names of the mask decoder's attention layers.
ATTENTION = (
    "transformer.{where:layers[.][0-9]+[.]self_attn|layers[.][0-9]+[.]cross_attn_token_to_image|"
    "layers[.][0-9]+[.]cross_attn_image_to_token|final_attn_token_to_image}"
)
