"""Callback that records how long a training run takes."""

import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from avseg.training.starts import record_time


class TimeRecorder(TrainerCallback):
    """Records the time since the start with each checkpoint and at the end of the training.

    Args:
        output: Folder of the run.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self.started, self.started_cpu = time.monotonic(), time.process_time()

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Record the time at a checkpoint; `Trainer` calls it.

        Args:
            args: Options of the trainer.
            state: State of the training.
            control: What the trainer does next.
            **kwargs: Further objects of the trainer.
        """
        del args, control, kwargs
        if state.is_world_process_zero:
            record_time(
                self.output,
                time.monotonic() - self.started,
                time.process_time() - self.started_cpu,
            )

    on_train_end = on_save
