"""Example masks in TensorBoard, so that one can see what a model learns while it learns.

T frames of H x W pixels.
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
from avseg.training.tasks.task import Task
from avseg.training.trainer import AvsegTrainer, to_device

#: Clips shown of each data set.
_SHOWN = 4

#: What is marked is drawn in this colour, half over the picture.
_COLOUR = np.array([230, 60, 40], np.float32)


class ExampleMasks(TensorBoardCallback):
    """Writes to TensorBoard what `Trainer` does, and after each evaluation a few clips' masks.

    Args:
        measured: Evaluation data by name.
        collate: Items to a batch of the model's inputs, with `targets` (1, T, H, W).
        frames_of: The frames of an item, (T, H, W, 3) uint8.
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
        """Draw clips spread over each data set.

        Args:
            args: The trainer's options.
            state: Where the training is.
            control: Of the trainer.
            **kwargs: The `model`, and what else `Trainer` gives.
        """
        del control
        if self.tb_writer is None:  # another process writes
            return
        for name, dataset in self.measured.items():
            count = len(dataset)  # type: ignore[arg-type]
            for index in sorted({count * i // _SHOWN for i in range(_SHOWN)}):
                picture = self._draw(kwargs["model"], dataset[index], args.device)
                self.tb_writer.add_image(
                    f"{name}/{index}", picture, state.global_step, dataformats="HWC"
                )

    @torch.no_grad()
    def _draw(self, model: nn.Module, item: Any, device: torch.device) -> NDArray[np.uint8]:
        batch = self.collate([item])
        truth: Tensor = batch["targets"][0].bool()  # (T, H, W)
        logits = model(**to_device(batch, device)).mask_logits[0].float().cpu()
        return draw_masks(
            self.frames_of(item),
            (resize_logits(logits, truth.shape[-2:]) > 0).numpy(),
            truth.numpy(),
        )


def show_masks(trainer: AvsegTrainer, task: Task) -> None:
    """Add example masks to a trainer that reports to TensorBoard, if its task predicts masks.

    Args:
        trainer: The trainer; changed in place.
        task: The task that it trains.
    """
    if task.frames_of is not None and "tensorboard" in (trainer.args.report_to or ()):
        trainer.remove_callback(TensorBoardCallback)  # the new callback does the same and more
        trainer.add_callback(ExampleMasks(task.measured, task.collate, task.frames_of))


def draw_masks(
    frames: NDArray[np.uint8], masks: NDArray[np.bool_], targets: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Draw the masks of a clip over the true ones.

    Args:
        frames: (T, H, W, 3).
        masks: Of the model, (T, H, W).
        targets: The true ones, (T, H, W).

    Returns:
        Two rows of frames, (2 H, T W, 3).
    """
    rows = []
    for marked in (masks, targets):
        drawn = np.where(marked[..., None], 0.5 * frames + 0.5 * _COLOUR, frames)
        rows.append(np.concatenate(list(drawn), axis=1))
    return np.concatenate(rows).astype(np.uint8)
