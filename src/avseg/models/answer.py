"""A mask decoder's answer, one prompt a frame, as the output of a model.

B clips, T frames, N = B * T.
"""

from typing import Protocol

from torch import Tensor

from avseg.backbones.sam import MaskPrediction
from avseg.models.losses import prediction_loss
from avseg.models.outputs import AvsegOutput


class AnswerOptions(Protocol):
    """What a model's configuration says of how its decoder's answer is read and trained."""

    @property
    def suppress_absent(self) -> bool:
        """Whether there is no mask where the object score says that there is nothing."""
        ...

    @property
    def iou_head_weight(self) -> float:
        """Weight of the loss that trains the estimate of each mask's IoU."""
        ...

    @property
    def presence_weight(self) -> float:
        """Weight of the loss that trains the object score."""
        ...


def as_output(
    prediction: MaskPrediction,
    options: AnswerOptions,
    shape: tuple[int, int],
    targets: Tensor | None,
    annotated: Tensor | None,
) -> AvsegOutput:
    """Choose each frame's mask, and compute the loss if there is a truth.

    Args:
        prediction: The decoder's answer for N frames.
        options: The model's configuration.
        shape: B and T.
        targets: True masks, (B, T, H, W) of 0 and 1.
        annotated: True for frames whose target counts, (B, T) bool; None counts all.

    Returns:
        The masks, and the loss if there are targets.
    """
    logits, ious = prediction.best(options.suppress_absent)  # (N, h, w), (N,)
    presence = prediction.object_score_logits  # (N, 1)
    loss = None
    if targets is not None:
        loss = prediction_loss(
            prediction,
            targets,
            annotated,
            iou_head_weight=options.iou_head_weight,
            presence_weight=options.presence_weight,
        )
    return AvsegOutput(
        loss=loss,
        mask_logits=logits.unflatten(0, shape),
        iou_predictions=ious.unflatten(0, shape),
        object_score_logits=None if presence is None else presence.view(shape),
    )
