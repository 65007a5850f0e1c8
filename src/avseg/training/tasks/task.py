"""What a task is built from, and what the trainer is given: a model, its data, their measure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import Dataset

from avseg.training.feature_cache import FeaturesInMemory, FeatureStore
from avseg.training.measures import Measure
from avseg.training.parts import Part

#: Configuration class of a task's model.
Config = TypeVar("Config")


@dataclass(frozen=True)
class Materials(Generic[Config]):
    """What a task may build on.

    Attributes:
        config: Sizes and options of the model, of the task's `config_class`.
        parts: Part of the model, a key of the task's `part_prefixes` or `parts.WHOLE`, to the
            weights that it starts from.
        data: Folder of the data sets; None if none was given.
        sounds: Folder that keeps synthesised recordings from run to run.
        features: Keeps what frozen parts say of the data.
        device: What computes it.
    """

    config: Config
    parts: Mapping[str, Part]
    data: Path | None
    sounds: Path
    features: FeatureStore = field(default_factory=FeaturesInMemory)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))


@dataclass(frozen=True)
class Task:
    """Everything the trainer needs.

    Attributes:
        model: Untrained, or started from earlier runs.
        train: Training data.
        measured: Evaluation data by name, measured on the way and at the end.
        collate: Items to a batch of the model's inputs.
        measure: Makes an empty measure, which turns the model's outputs to numbers.
        finish: Called with the run's folder when the weights lie in it, to make of it what can be
            loaded and used; None for parts that are of no use by themselves.
        tested: Evaluation data by name, measured at the end only.
        frames_of: The frames (T, H, W, 3) of an item of the evaluation data, to show masks on; None
            if the model makes none.
    """

    model: nn.Module
    train: Dataset[Any]
    measured: dict[str, Dataset[Any]]
    collate: Callable[[list[Any]], dict[str, Any]]
    measure: Callable[[], Measure]
    finish: Callable[[Path], None] | None = None
    tested: dict[str, Dataset[Any]] = field(default_factory=dict)
    frames_of: Callable[[Any], NDArray[np.uint8]] | None = None


class TaskOptions(Protocol):
    """A recipe's `data` section: a dataclass of options that knows how to build its task.

    Attributes:
        config_class: Configuration class of the task's model. A recipe's `model` section has the
            options that differ from those of the small model, `config_class.tiny()`.
        part_prefixes: Part of the model that a recipe's `start_from` may name, to what the names of
            its weights begin with in the run that trained it.
    """

    config_class: ClassVar[type[Any]]
    part_prefixes: ClassVar[Mapping[str, str]]

    def build(self, materials: Materials[Any]) -> Task:
        """Build the task."""
