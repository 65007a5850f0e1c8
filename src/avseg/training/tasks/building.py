"""Building of tasks: from the options in a recipe to a model, its data and their measure."""

from collections.abc import Callable
from typing import Any

from avseg.training.pretraining.builders import (
    build_audio_image_text,
    build_audio_text,
    build_image_class,
    build_image_text,
    build_sam3_text_prompt,
    build_text_prompt,
)
from avseg.training.pretraining.options import (
    AudioImageText,
    AudioText,
    ImageClass,
    ImageText,
    Sam3TextPrompt,
    TextPrompt,
)
from avseg.training.tasks.audio_visual import build_audio_visual
from avseg.training.tasks.auralsam2 import build_auralsam2
from avseg.training.tasks.baselines import build_sama, build_tpavi
from avseg.training.tasks.options import (
    AudioVisual,
    AudioVisualSam3,
    AuralSam2,
    Sama,
    TaskOptions,
    TextBridge,
    Tpavi,
)
from avseg.training.tasks.task import Task, TaskInputs
from avseg.training.tasks.tavis import build_text_bridge

#: Class of a task's options -> function that builds the task.
BUILDERS: dict[type[TaskOptions], Callable[[Any, TaskInputs[Any]], Task]] = {
    ImageText: build_image_text,
    AudioText: build_audio_text,
    ImageClass: build_image_class,
    TextPrompt: build_text_prompt,
    Sam3TextPrompt: build_sam3_text_prompt,
    AudioImageText: build_audio_image_text,
    AudioVisual: build_audio_visual,
    AudioVisualSam3: build_audio_visual,
    TextBridge: build_text_bridge,
    Sama: build_sama,
    Tpavi: build_tpavi,
    AuralSam2: build_auralsam2,
}


def build_task(options: TaskOptions, inputs: TaskInputs[Any]) -> Task:
    """Build the model and the data of a task.

    Args:
        options: Options of the task.
        inputs: Configuration of the model, weights to start from, and folders.

    Returns:
        The task.

    Raises:
        TrainingError: If weights to start from do not fit the model.
        DatasetError: If a file of the data is missing or damaged.
    """
    return BUILDERS[type(options)](options, inputs)
