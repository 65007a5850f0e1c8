"""What every model of the package returns.

B clips, T frames, h x w size of the mask logits. A model prompted by texts has P prompts in the
place of (B, T).
"""

from dataclasses import dataclass

from torch import Tensor
from transformers.utils.generic import ModelOutput


@dataclass
class AvsegOutput(ModelOutput):
    """Masks of the sounding objects in every frame, or of what texts name.

    Args:
        loss: Training loss, a scalar; None without targets.
        mask_logits: Mask of each frame before the sigmoid, at the model's size, (B, T, h, w).
        iou_predictions: The model's own estimate of each mask's IoU, (B, T) in [0, 1].
        object_score_logits: Whether there is anything to mark, before the sigmoid, (B, T); None of
            a model that does not say.
    """

    loss: Tensor | None = None
    mask_logits: Tensor | None = None
    iou_predictions: Tensor | None = None
    object_score_logits: Tensor | None = None


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
