"""What a task is built from, and what the trainer is given: a model, its data, their measure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import nn
from torch.utils.data import Dataset

from avseg.models.av2t_sam.configuration import Av2tSamConfig
from avseg.training.trainer import Measure


@dataclass(frozen=True)
class Materials:
    """What a task may build on.

    Attributes:
        config: Sizes of the model.
        parts: Part of the model, a key of `parts.PREFIXES`, to the weights that it starts from.
        data: Folder of the data sets; None if none was given.
        sounds: Folder that keeps synthesised recordings from run to run.
    """

    config: Av2tSamConfig
    parts: Mapping[str, Path]
    data: Path | None
    sounds: Path


@dataclass(frozen=True)
class Task:
    """Everything the trainer needs.

    Attributes:
        model: Untrained, or started from earlier runs.
        train: Training data.
        measured: Evaluation data by name.
        collate: Items to a batch of the model's inputs.
        measure: Model and batches to numbers.
        finish: Called with the run's folder when the weights lie in it, to make of it what can be
            loaded and used; None for parts that are of no use by themselves.
    """

    model: nn.Module
    train: Dataset[Any]
    measured: dict[str, Dataset[Any]]
    collate: Callable[[list[Any]], dict[str, Any]]
    measure: Measure
    finish: Callable[[Path], None] | None = None


class TaskOptions(Protocol):
    """A recipe's `data` section: a dataclass of options that knows how to build its task."""

    def build(self, materials: Materials) -> Task:
        """Build the task."""
