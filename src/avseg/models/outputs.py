"""What every model of the package returns.

B clips, T frames, h x w size of the mask logits. A model prompted by texts has P prompts in the
place of (B, T).
"""

from dataclasses import dataclass

from torch import Tensor
from transformers.utils.generic import ModelOutput

from avseg.backbones.sam2_memory import MemoryBank


@dataclass
class AvsegOutput(ModelOutput):
    """Masks of the sounding objects in every frame, or of what texts name.

    Args:
        loss: Training loss, a scalar; None without targets.
        mask_logits: Mask of each frame before the sigmoid, at the model's size, (B, T, h, w).
        iou_predictions: The model's own estimate of each mask's IoU, (B, T) in [0, 1].
        object_score_logits: Whether there is anything to mark, before the sigmoid, (B, T); None of
            a model that does not say.
        memory: What the model remembers of these frames, to be given to it with those that
            follow; None of a model that takes every frame by itself.
    """

    loss: Tensor | None = None
    mask_logits: Tensor | None = None
    iou_predictions: Tensor | None = None
    object_score_logits: Tensor | None = None
    memory: MemoryBank | None = None


@dataclass
class NamedOutput(AvsegOutput):
    """Masks of the sounding objects by their names, and of all together.

    A prompt is a pair of a frame and a name that fits its sound; there are P.

    Args:
        mask_logits: Largest logit of a frame's prompts, (B, T, h, w); far below 0 without any.
        iou_predictions: Best score of a frame's prompts, (B, T) in [0, 1]; 0 without any.
        similarities: Cosine of each frame's sound with each of C names, (B, T, C).
        frame_index: Frame of each prompt, (P,) int64, counted through all clips.
        name_index: Name of each prompt, (P,) int64.
        named_logits: Mask of each prompt before the sigmoid, (P, h, w).
        named_scores: Predicted IoU of each prompt's mask times the probability that what it names
            is there, if the model says, (P,) in [0, 1].
    """

    similarities: Tensor | None = None
    frame_index: Tensor | None = None
    name_index: Tensor | None = None
    named_logits: Tensor | None = None
    named_scores: Tensor | None = None


@dataclass
class ContrastOutput(ModelOutput):
    """What contrastive pre-training returns for N items and C captions.

    Args:
        loss: Training loss, a scalar.
        logits: How true each caption is of each item, before the sigmoid, (N, C).
    """

    loss: Tensor | None = None
    logits: Tensor | None = None


@dataclass
class ClassOutput(ModelOutput):
    """What the pre-training of an image encoder returns for N pictures.

    Args:
        loss: Training loss, a scalar.
        logits: Of the background and each category, (N, 1 + num_classes, h, h).
    """

    loss: Tensor | None = None
    logits: Tensor | None = None


@dataclass
class TextPromptOutput(ModelOutput):
    """What text-prompted pre-training returns for N pictures with P prompts.

    Args:
        loss: Training loss, a scalar.
        mask_loss: Its part for the masks, a scalar.
        helper_loss: Its part for the helping heads, a scalar.
        mask_logits: Best mask of each prompt, before the sigmoid, (N, P, h, w).
    """

    loss: Tensor | None = None
    mask_loss: Tensor | None = None
    helper_loss: Tensor | None = None
    mask_logits: Tensor | None = None
