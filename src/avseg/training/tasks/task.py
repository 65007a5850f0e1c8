"""Inputs and result of building a task: a model, its data, and the measure of its outputs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import Dataset

from avseg.atomic import add_when_complete
from avseg.training.feature_cache import FeaturesInMemory, FeatureStore
from avseg.training.measures import Measure
from avseg.training.parts import Part

#: Function that writes files to a folder, which need not exist.
Save = Callable[[Path], None]

#: A constant, since the default of a dataclass field should not be a function call.
_CPU = torch.device("cpu")

#: Configuration class of a task's model.
Config = TypeVar("Config")


@dataclass(frozen=True)
class TaskInputs(Generic[Config]):
    """Inputs from which a task is built, besides its own options.

    Attributes:
        config: Configuration of the model, of the task's `config_class`.
        parts: Part of the model, a key of the task's `part_prefixes` or `parts.WHOLE` -> weights
            that it starts from.
        data: Folder of the data sets; None if none was given.
        sounds: Folder that stores synthesised recordings for later runs.
        features: Store of the features that frozen parts compute from the data.
        device: Device on which these features are computed.
    """

    config: Config
    parts: Mapping[str, Part]
    data: Path | None
    sounds: Path
    features: FeatureStore = field(default_factory=FeaturesInMemory)
    device: torch.device = _CPU


def write_when_complete(save: Save) -> Save:
    """Return a function that adds the files of `save` to a folder when all of them are complete.

    Args:
        save: Function that writes the files.

    Returns:
        The function.
    """

    def add(folder: Path) -> None:
        with add_when_complete(folder) as partial:
            save(partial)

    return add


@dataclass(frozen=True)
class Task:
    """A model, its data, and the measure of its outputs: everything that the trainer needs.

    Attributes:
        model: The model; untrained, or with weights of earlier runs.
        train: Training data.
        measured: Name -> evaluation data that is evaluated during and after the training.
        collate: Function from items to a batch of the model's inputs.
        measure: Function that returns an empty measure, which computes numbers from the model's
            outputs.
        finish: Function that is called with the run's folder after the weights were written, and
            writes the other files of a loadable model, such as its processor; None for a model
            that serves only as a start for other recipes.
        tested: Name -> evaluation data that is evaluated after the training only.
        frames_of: Function from an item of the evaluation data to its frames, (T, H, W, 3), on
            which masks can be drawn; None if the model predicts no masks.
    """

    model: nn.Module
    train: Dataset[Any]
    measured: dict[str, Dataset[Any]]
    collate: Callable[[list[Any]], dict[str, Any]]
    measure: Callable[[], Measure]
    finish: Callable[[Path], None] | None = None
    tested: dict[str, Dataset[Any]] = field(default_factory=dict)
    frames_of: Callable[[Any], NDArray[np.uint8]] | None = None
