"""Example masks in TensorBoard, drawn after each evaluation during the training.

A clip has T frames of H x W pixels.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import TrainerControl, TrainerState, TrainingArguments
from transformers.integrations.integration_utils import TensorBoardCallback

from avseg.models.outputs import resize_logits
from avseg.training.trainer import to_device

#: Number of clips shown from each data set.
_SHOWN = 4

#: RGB colour of masks, which are drawn half transparent.
_COLOUR = np.array([230, 60, 40], np.float32)


class ExampleMasks(TensorBoardCallback):
    """The TensorBoard callback of `Trainer`, with the masks of a few clips after each evaluation.

    Args:
        measured: Name -> evaluation data.
        collate: Function from items to a batch of the model's inputs, with `targets` (1, T, H, W).
        frames_of: Function from an item to its frames, (T, H, W, 3) uint8.
    """

    def __init__(
        self,
        measured: dict[str, Dataset[Any]],
        collate: Callable[[list[Any]], dict[str, Any]],
        frames_of: Callable[[Any], NDArray[np.uint8]],
    ) -> None:
        super().__init__()
        self.measured = measured
        self.collate = collate
        self.frames_of = frames_of

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Draw a few clips, evenly spaced in each data set.

        Args:
            args: Options of the trainer.
            state: State of the training.
            control: No effect; an argument of `Trainer`.
            **kwargs: The `model`, and other objects of `Trainer`.
        """
        del control
        if self.tb_writer is None:  # only the first process writes
            return
        for name, dataset in self.measured.items():
            count = len(dataset)  # type: ignore[arg-type]
            # A set, since a data set with fewer clips gives the same index several times.
            for index in sorted({count * i // _SHOWN for i in range(_SHOWN)}):
                image = self._draw(kwargs["model"], dataset[index], args.device)
                self.tb_writer.add_image(
                    f"{name}/{index}", image, state.global_step, dataformats="HWC"
                )

    @torch.no_grad()
    def _draw(self, model: nn.Module, item: Any, device: torch.device) -> NDArray[np.uint8]:
        """Segment one item and draw its masks."""
        # The model is in evaluation mode: the evaluation that calls this callback has set it.
        batch = self.collate([item])
        targets: Tensor = batch["targets"][0].bool()  # (T, H, W)
        logits = model(**to_device(batch, device)).mask_logits[0].float().cpu()
        return draw_masks(
            self.frames_of(item),
            # A logit of 0 is a probability of 0.5.
            (resize_logits(logits, targets.shape[-2:]) > 0).numpy(),
            targets.numpy(),
        )


def draw_masks(
    frames: NDArray[np.uint8], masks: NDArray[np.bool_], targets: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Draw the predicted masks of a clip above the ground truth.

    Args:
        frames: RGB frames, (T, H, W, 3).
        masks: Predicted masks, (T, H, W).
        targets: Ground-truth masks, (T, H, W).

    Returns:
        Two rows of frames, (2 H, T W, 3).
    """
    rows = []
    for shown in (masks, targets):
        drawn = np.where(shown[..., None], 0.5 * frames + 0.5 * _COLOUR, frames)
        rows.append(np.concatenate(list(drawn), axis=1))
    return np.concatenate(rows).astype(np.uint8)
