"""What a model says of a clip, before any threshold."""

import torch
from torch import Tensor

from avseg.models.losses import resize_logits
from avseg.segmenter import Segmenter
from avseg.types import Clip


@torch.inference_mode()
def predict(segmenter: Segmenter, clip: Clip) -> Tensor:
    """Ask the model for the probability of every pixel.

    The model is asked whatever the sound; the rule by which a `Segmenter` marks nothing in digital
    silence would hide whether the model has learned silence.

    Args:
        segmenter: The model and its processor.
        clip: The clip, with T frames of H x W pixels.

    Returns:
        Probabilities, (T, H, W) float32 on the CPU.

    Raises:
        ClipError: If the sound is at another rate than the model needs.
    """
    inputs = {name: v.to(segmenter.device) for name, v in segmenter.processor(clip).items()}
    logits: Tensor = segmenter.model(**inputs).mask_logits[0].float()
    return resize_logits(logits, clip.frames.shape[1:3]).sigmoid().cpu()
