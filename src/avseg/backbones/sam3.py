"""SAM 3, prompted by texts or by embeddings (Carion et al. 2025, "Segment Anything with Concepts").

SAM 3 detects all instances of the concept that a short text names, each with a mask and a score,
and predicts whether the concept is in the image at all. It also predicts one mask of all instances
together. The network is that of `transformers`.

I images, P prompts, S side of the images, C width of the image encoder, g side of its grid of
patches, E width of a prompt token, Q instances of a prompt, h side of the mask logits, L tokens of
a text.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import Sam3Config, Sam3Model
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.sam3.modeling_sam3 import Sam3VisionEncoderOutput

from avseg.backbones.config import StrictConfig
from avseg.backbones.sam import (
    NO_OBJECT_LOGIT,
    MaskPrediction,
    check_encoder_inputs,
    is_recomputed,
    run_block,
)
from avseg.backbones.text_prompted import TextMasks, TextPromptedSegmenter


@strict
class Sam3SegmenterConfig(StrictConfig):
    """Sizes of SAM 3, and the rule that selects instances; the defaults are the published sizes.

    Args:
        sam3_config: The network, a `Sam3Config` of `transformers`.
        min_score: Score that an instance must exceed, in [0, 1): the probability that the concept
            is in the image, times the probability that the instance is of the concept. The default
            is the threshold of detections in the published video model.
    """

    model_type = "avseg-sam3-segmenter"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {"sam3_config": Sam3Config}

    sam3_config: Any = None  # a configuration, or its options in a dictionary
    min_score: float = 0.5

    @property
    def image_size(self) -> int:
        """Side of the square images, in pixels."""
        side: int = self.sam3_config.image_size
        return side

    @property
    def mask_size(self) -> int:
        """Side of the mask logits."""
        vision = self.sam3_config.vision_config
        patches = self.image_size // vision.backbone_config.patch_size
        return int(patches * vision.scale_factors[0])

    @property
    def max_text_tokens(self) -> int:
        """Maximum length of a text with its start and end token, in tokens."""
        limit: int = self.sam3_config.text_config.max_position_embeddings
        return limit

    def validate_score(self) -> None:
        """Raise an error if no instance can exceed the threshold."""
        if not 0 <= self.min_score < 1:
            raise ValueError(f"min_score must be in [0, 1), got {self.min_score}.")


class Sam3Segmenter(TextPromptedSegmenter):
    """Segments all instances of the concept of each text.

    The mask of a prompt is the union of the masks of its instances above `min_score`; its score is
    the highest of theirs.

    Args:
        config: Sizes and rule.
    """

    image_inputs = ("pixel_values_sam3",)
    text_inputs = ("prompt_ids", "prompt_mask")

    def __init__(self, config: Sam3SegmenterConfig) -> None:
        super().__init__()
        self.config = config
        self.sam3 = Sam3Model(config.sam3_config)

    def segment_prompts(
        self, images: Mapping[str, Tensor], texts: Mapping[str, Tensor], image_index: Tensor
    ) -> TextMasks:
        """Segment the object of each prompt; an image with several prompts is encoded once.

        Args:
            images: `pixel_values_sam3`, (I, 3, S, S).
            texts: `prompt_ids` (P, L) int64, and `prompt_mask` (P, L), True for tokens and False
                for padding.
            image_index: Index of the image of each prompt, (P,) int64, in any order.

        Returns:
            The masks.
        """
        pixel_values = images["pixel_values_sam3"]
        side = self.config.mask_size
        logits = pixel_values.new_full((len(image_index), side, side), NO_OBJECT_LOGIT)
        scores = pixel_values.new_zeros(len(image_index))
        for image in image_index.unique().tolist():
            features = self.sam3.get_vision_features(pixel_values[image : image + 1])
            # One prompt at a time, because each has 200 masks and attends to the whole image.
            for prompt in (image_index == image).nonzero()[:, 0].tolist():
                outputs = self.sam3(
                    vision_embeds=features,
                    input_ids=texts["prompt_ids"][prompt : prompt + 1],
                    attention_mask=texts["prompt_mask"][prompt : prompt + 1].long(),
                )
                logits[prompt], scores[prompt] = _unite(outputs, self.config.min_score)
        return TextMasks(logits, scores)


def _unite(outputs: Any, min_score: float) -> tuple[Tensor, Tensor]:
    """Unite the instances of one prompt above a score: mask logits (h, h) and score, a scalar."""
    # Float32, because half precision is too inexact for thresholds on scores.
    instances = outputs.pred_logits[0].float().sigmoid()  # (Q,)
    scores = instances * outputs.presence_logits[0].float().sigmoid()
    kept = scores > min_score
    masks = outputs.pred_masks[0].float()  # (Q, h, h)
    logits = torch.where(kept[:, None, None], masks, NO_OBJECT_LOGIT).amax(dim=0)
    return logits, torch.where(kept, scores, 0.0).amax()


class PromptedSam3(nn.Module):
    """SAM 3 with a prompt vector for each encoder block, and embeddings instead of a text.

    Args:
        config: Sizes.
    """

    def __init__(self, config: Sam3Config) -> None:
        super().__init__()
        self.config: Any = config
        self.sam3 = Sam3Model(config)
        #: Whether activations of blocks are recomputed in the backward pass instead of stored.
        self.gradient_checkpointing = False
        #: Number of recomputed blocks, from the first on; None for all.
        self.recomputed_blocks: int | None = None

    @property
    def block_dims(self) -> list[int]:
        """Input width of every encoder block, each C."""
        backbone = self.config.vision_config.backbone_config
        return [backbone.hidden_size] * backbone.num_hidden_layers

    def encode_patches(
        self, pixel_values: Tensor, block_prompts: list[Tensor] | None = None
    ) -> Tensor:
        """Encode images; a prompt vector is added to each block's input at every position.

        Args:
            pixel_values: Normalised images, (I, 3, S, S).
            block_prompts: One (I, C) tensor for every block; None adds nothing.

        Returns:
            Output of the last block, (I, C, g, g). The feature pyramid is computed from it by a few
            convolutions, and is five times as large at the published size.

        Raises:
            ValueError: If the images are of another size, or there is not one prompt for each
                block.
        """
        check_encoder_inputs(self.config.image_size, self.block_dims, pixel_values, block_prompts)
        encoder: Any = self.sam3.vision_encoder.backbone
        tokens: Tensor = encoder.embeddings(pixel_values)  # (I, g * g, C)
        side = pixel_values.shape[-1] // encoder.config.patch_size
        hidden: Tensor = encoder.layer_norm(tokens.unflatten(1, (side, side)))
        for i, block in enumerate(encoder.layers):
            prompt = block_prompts[i] if block_prompts else None
            hidden = run_block(block, hidden, prompt, is_recomputed(self, i))
        return hidden.permute(0, 3, 1, 2)

    def embed_texts(self, input_ids: Tensor, padding_mask: Tensor) -> Tensor:
        """Embed texts as prompt tokens.

        Args:
            input_ids: Token ids, (P, L) int64.
            padding_mask: True where the text is padding, (P, L) bool.

        Returns:
            Embeddings of the tokens, (P, L, E).
        """
        outputs: Any = self.sam3.get_text_features(input_ids, attention_mask=(~padding_mask).long())
        embeddings: Tensor = outputs.pooler_output
        return embeddings

    def forward(
        self,
        patches: Tensor,
        text_embeddings: Tensor,
        padding_mask: Tensor | None = None,
        image_index: Tensor | None = None,
    ) -> MaskPrediction:
        """Predict one mask of all instances of the concept that each text names.

        Args:
            patches: Output of `encode_patches`, (I, C, g, g).
            text_embeddings: Embeddings from `embed_texts`, or pseudo text tokens, (P, L, E).
            padding_mask: True where the text is padding, (P, L) bool; None masks nothing.
            image_index: Index of the image of each prompt, (P,) int64; None for one prompt for each
                image, in order.

        Returns:
            Mask logits, (P, 1, h, h), and the presence of the concept as the object score. SAM 3
            predicts no IoU of this mask, so the predicted IoU is 1.
        """
        levels, positions = self.sam3.vision_encoder.neck(patches)
        if image_index is not None:
            levels = tuple(level[image_index] for level in levels)
            positions = tuple(position[image_index] for position in positions)
        outputs: Any = self.sam3(
            vision_embeds=Sam3VisionEncoderOutput(
                fpn_hidden_states=levels, fpn_position_encoding=positions
            ),
            # `transformers` reads the embeddings from `pooler_output`, and takes no tensor.
            text_embeds=BaseModelOutputWithPooling(pooler_output=text_embeddings),
            attention_mask=None if padding_mask is None else (~padding_mask).long(),
        )
        presence: Tensor = outputs.presence_logits  # (P, 1)
        return MaskPrediction(outputs.semantic_seg, torch.ones_like(presence), presence)
