"""A recipe checked against what there is: its task's options, its model, the trainer's options."""

import difflib
import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import TrainingArguments

from avseg.backbones.config import StrictConfig, own_options
from avseg.errors import TrainingError
from avseg.training.memory import MemoryOptions
from avseg.training.parts import WHOLE, find_part
from avseg.training.recipe import SIZES, Recipe, SavedForm
from avseg.training.tasks.registry import TASKS
from avseg.training.tasks.task import Materials, TaskOptions

#: Folder beside the runs that keeps synthesised recordings.
_SOUNDS = "sounds"

#: Options of `TrainingArguments` that the run decides.
_RESERVED = ("output_dir", "remove_unused_columns", "use_cpu")

#: Where a run is reported, to what has to be installed.
_REPORTS = {"tensorboard": "avseg[train]", "wandb": "wandb"}


def resolve_recipe(recipe: Recipe) -> Recipe:
    """Write out everything that a recipe leaves to defaults, without building or finding anything.

    Args:
        recipe: The recipe.

    Returns:
        A recipe that does the same, with all options of its task, its model and its trainer.

    Raises:
        TrainingError: If the recipe has an unknown or wrong option.
    """
    options = read_task_options(recipe)
    check_trainer_options(recipe)
    model = _own_options(_model_config(recipe))
    known = {f.name: f.default for f in fields(TrainingArguments) if f.init}
    defaults = {
        name: value
        for name, value in known.items()
        if name not in _RESERVED and isinstance(value, bool | int | float | str)
    }
    return replace(
        recipe,
        data=_plain(asdict(options)),  # type: ignore[call-overload]  # every task is a dataclass
        model=_plain(model),
        memory=asdict(read_memory_options(recipe)),
        save=saved_form(recipe),
        trainer=_plain(defaults | {"report_to": "none"}) | recipe.trainer,
    )


def read_task_options(recipe: Recipe) -> TaskOptions:
    """Turn a recipe's `data` section into its task's options.

    Args:
        recipe: The recipe.

    Returns:
        The options.

    Raises:
        TrainingError: If the task is unknown, or an option is unknown, missing or of a wrong type.
    """
    options: TaskOptions = _read_section(recipe, "data", _task_class(recipe))
    return options


def read_memory_options(recipe: Recipe) -> MemoryOptions:
    """Read a recipe's `memory` section.

    Args:
        recipe: The recipe.

    Returns:
        The options.

    Raises:
        TrainingError: If one is unknown or of a wrong type.
    """
    options: MemoryOptions = _read_section(recipe, "memory", MemoryOptions)
    return options


def saved_form(recipe: Recipe) -> SavedForm:
    """Say which weights a run leaves.

    Args:
        recipe: The recipe.

    Returns:
        What the recipe says; otherwise "trained" for the published sizes, since the rest is
        gigabytes that are there already, and "whole" for small models.

    Raises:
        TrainingError: If it is neither.
    """
    if recipe.save is None:
        return "trained" if recipe.sizes == "published" else "whole"
    for form in get_args(SavedForm):
        if recipe.save == form:
            return form
    raise TrainingError(
        f"recipe {recipe.name}: save must be {' or '.join(get_args(SavedForm))}, got "
        f"{recipe.save!r}."
    )


def find_materials(recipe: Recipe, runs: Path, data: Path | None) -> Materials[Any]:
    """Find what a recipe builds on.

    Args:
        recipe: The recipe.
        runs: Folder of the runs.
        data: Folder of the data sets.

    Returns:
        Sizes of the model, weights to start from, and folders.

    Raises:
        TrainingError: If an option of the model is wrong, or a run is not there.
        CheckpointError: If a published file that it starts from cannot be had.
    """
    prefixes = {WHOLE: "", **_task_class(recipe).part_prefixes}
    _check_names(recipe, "start_from", prefixes)
    config = _model_config(recipe)
    in_file = read_memory_options(recipe).frozen_in_file
    sources = recipe.start_from
    if WHOLE in sources:  # in place of the others
        sources = {WHOLE: sources[WHOLE]}
    parts = {name: find_part(source, runs, prefixes[name]) for name, source in sources.items()}
    return Materials(
        config=config,
        parts={name: replace(part, in_file=in_file) for name, part in parts.items()},
        data=data,
        sounds=runs / _SOUNDS,
    )


def check_trainer_options(recipe: Recipe) -> None:
    """Refuse options of the trainer that it has not, that the run decides, or that mislead.

    Args:
        recipe: The recipe.

    Raises:
        TrainingError: If there is one, one is no number, the best checkpoint would be chosen on a
            test split, or what a run is to be reported to is not installed.
    """
    defaults = {f.name: f.default for f in fields(TrainingArguments) if f.init}
    _check_names(recipe, "trainer", {n: d for n, d in defaults.items() if n not in _RESERVED})
    for name, value in recipe.trainer.items():
        number = defaults[name] is not MISSING and isinstance(defaults[name], int | float)
        if number and isinstance(value, str):
            raise TrainingError(
                f"recipe {recipe.name}: trainer.{name} must be a number, got the text {value!r} "
                "(YAML takes 5e-4 for text, 5.0e-4 for a number)."
            )
    _check_choice(recipe)
    reports = recipe.trainer.get("report_to") or []
    for name in [reports] if isinstance(reports, str) else reports:
        if name in _REPORTS and find_spec(name) is None:
            raise TrainingError(
                f"recipe {recipe.name}: trainer.report_to: {name} is not installed; pip install "
                f"'{_REPORTS[name]}', or leave {name} out."
            )


def training_arguments(recipe: Recipe, output: Path) -> TrainingArguments:
    """Make the trainer's options.

    Args:
        recipe: The recipe.
        output: Folder of the run.

    Returns:
        The options.

    Raises:
        TrainingError: If the trainer does not take one.
    """
    options: dict[str, Any] = {"report_to": "none", "ddp_find_unused_parameters": True}
    try:
        return TrainingArguments(
            output_dir=str(output),
            remove_unused_columns=False,  # batches are made by the task, which knows the columns
            use_cpu=not (torch.cuda.is_available() or torch.backends.mps.is_available()),
            **(options | recipe.trainer),
        )
    except (TypeError, ValueError) as error:
        raise TrainingError(f"recipe {recipe.name}: trainer: {error}") from error


def _check_choice(recipe: Recipe) -> None:
    """Refuse to choose the best checkpoint on a test split, or on nothing."""
    metric = recipe.trainer.get("metric_for_best_model")
    if metric is None and recipe.trainer.get("load_best_model_at_end"):
        raise TrainingError(
            f"recipe {recipe.name}: trainer.load_best_model_at_end needs metric_for_best_model, "
            "DATASET_MEASURE, for instance ms3_val_j."
        )
    if "test" in str(metric).split("_"):
        raise TrainingError(
            f"recipe {recipe.name}: trainer.metric_for_best_model {metric} would choose the "
            "checkpoint on a test split, whose figures then say too much; choose on a val split, "
            "and name the test split in data.tested, which is measured once at the end."
        )


def _task_class(recipe: Recipe) -> type[TaskOptions]:
    if recipe.task not in TASKS:
        raise TrainingError(
            f"recipe {recipe.name}: there is no task {recipe.task!r}; there are {', '.join(TASKS)}."
        )
    return TASKS[recipe.task]


def _model_config(recipe: Recipe) -> Any:
    kind = _task_class(recipe).config_class
    if recipe.sizes not in SIZES:
        raise TrainingError(
            f"recipe {recipe.name}: sizes must be {' or '.join(SIZES)}, got {recipe.sizes!r}."
        )
    try:
        if recipe.sizes == "small":
            return kind.tiny(**recipe.model)
        return kind().replace(**recipe.model)
    except (TypeError, ValueError, StrictDataclassError) as error:
        raise TrainingError(f"recipe {recipe.name}: model: {error}") from error


def _own_options(config: StrictConfig) -> dict[str, Any]:
    """Return a configuration's options, its backbones' too, without those of `transformers`."""
    options: Any = config  # every configuration is a dataclass
    known = {f.name for f in fields(options)}  # but for class variables
    values = {name: getattr(config, name) for name in own_options(type(config)) if name in known}
    return {
        name: {"model_type": value.model_type, **_own_options(value)}
        if isinstance(value, StrictConfig)
        else value
        for name, value in values.items()
    }


def _read_section(recipe: Recipe, section: str, kind: type[Any]) -> Any:
    """Make a dataclass of a section's options."""
    given, types = getattr(recipe, section), get_type_hints(kind)
    options = fields(kind)
    _check_names(recipe, section, {option.name: None for option in options})
    missing = [o.name for o in options if o.default is MISSING and o.name not in given]
    if missing:
        raise TrainingError(f"recipe {recipe.name}: {section} lacks {', '.join(missing)}.")
    return kind(
        **{
            name: _read(f"recipe {recipe.name}: {section}.{name}", value, types[name])
            for name, value in given.items()
        }
    )


def _check_names(recipe: Recipe, section: str, known: Mapping[str, object]) -> None:
    for name in getattr(recipe, section):
        if name in known:
            continue
        near = difflib.get_close_matches(str(name), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}."
        if section == "trainer" and name in _RESERVED:
            hint = "the run decides it; leave it out."
        elif section == "trainer" and not near:
            hint = "it takes the options of Hugging Face's TrainingArguments."
        raise TrainingError(f"recipe {recipe.name}: {section} has no option {name!r}; {hint}")


def _read(option: str, value: Any, wanted: Any) -> Any:
    if get_origin(wanted) is tuple:
        if isinstance(value, list | tuple) and all(isinstance(v, str) for v in value):
            return tuple(value)
        words = "a list of names"
    else:
        if type(value) is wanted:
            return value
        words = f"of type {wanted.__name__}"
    raise TrainingError(f"{option} must be {words}, got {value!r}.")


def _plain(options: Any) -> Any:
    """Return options as YAML has them."""
    return json.loads(json.dumps(options))
