"""Run a recipe: check it, build its task, train, save; resume where a run stopped."""

import difflib
import json
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any, get_origin, get_type_hints

import torch
from huggingface_hub.errors import StrictDataclassError
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import TrainingArguments, set_seed

from avseg.errors import TrainingError
from avseg.training.environment import describe_environment, hash_file
from avseg.training.parts import WHOLE, Part, find_weights
from avseg.training.recipe import Recipe
from avseg.training.task import Materials, TaskOptions
from avseg.training.tasks import TASKS
from avseg.training.trainer import AvsegTrainer

#: What was run, as it was resolved.
RECIPE_FILE = "recipe.json"
#: With what, one entry for each time the run was started.
ENVIRONMENT_FILE = "environment.json"
#: The measures at the end; a run that has this file is complete.
METRICS_FILE = "metrics.json"

#: Written last into a checkpoint: one without it was cut short.
_STATE_FILE = "trainer_state.json"
#: A pickle of the options; the same are in `RECIPE_FILE`, for which nobody has to unpickle.
_PICKLED_ARGUMENTS = "training_args.bin"

#: Folder beside the runs that keeps synthesised recordings.
_SOUNDS = "sounds"

#: Options of `TrainingArguments` that the run decides.
_RESERVED = ("output_dir", "remove_unused_columns", "use_cpu")


def run_recipe(recipe: Recipe, output: Path, data: Path | None = None) -> dict[str, float]:
    """Train what a recipe says; a run that was stopped goes on from its last checkpoint.

    Everything in the recipe is checked before anything is built or written.

    Args:
        recipe: The recipe.
        output: Folder of the run: `checkpoint-*` on the way; at the end `model.safetensors`, for a
            whole model also its configuration and processor, and `metrics.json`; of a text-prompted
            model the usable part is in the folder `evf_sam`. `recipe.json` and
            `environment.json` say what was run, and with what. Runs that `start_from` names, and
            synthesised recordings, lie beside it.
        data: Folder of the data sets, for tasks that read some.

    Returns:
        The measures at the end.

    Raises:
        TrainingError: If the recipe has an unknown or wrong option, names a run that is not there,
            or the folder holds a run of another recipe.
    """
    options = read_task_options(recipe)
    materials = find_materials(recipe, output.parent, data)
    check_trainer_options(recipe)
    _check_same_recipe(recipe, output)
    arguments = _training_arguments(recipe, output)
    set_seed(arguments.seed)
    with arguments.main_process_first():  # the others then find the recordings it made
        task = options.build(materials)
    trainer = AvsegTrainer(
        model=task.model,
        args=arguments,
        train_dataset=task.train,
        measured=task.measured,
        measure=task.measure,
        data_collator=task.collate,
    )
    checkpoint = find_checkpoint(output)
    if trainer.is_world_process_zero():
        _record_start(recipe, materials, output, checkpoint, arguments.device)
    with _attention(arguments.device):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        metrics = trainer.evaluate()
    trainer.save_model(str(output))
    trainer.save_state()
    if trainer.is_world_process_zero():
        (output / _PICKLED_ARGUMENTS).unlink(missing_ok=True)
        if task.finish is not None:
            task.finish(output)
        _write_json(output / METRICS_FILE, metrics)
    return metrics


def read_task_options(recipe: Recipe) -> TaskOptions:
    """Turn a recipe's `data` section into its task's options.

    Args:
        recipe: The recipe.

    Returns:
        The options.

    Raises:
        TrainingError: If the task is unknown, or an option is unknown, missing or of a wrong type.
    """
    kind = _task_class(recipe)
    types = get_type_hints(kind)
    options: Any = fields(kind)  # type: ignore[arg-type]  # every task is a dataclass
    _check_names(recipe, "data", {option.name: None for option in options})
    missing = [
        option.name
        for option in options
        if option.default is MISSING and option.name not in recipe.data
    ]
    if missing:
        raise TrainingError(
            f"recipe {recipe.name}: data lacks {', '.join(missing)}, which the task {recipe.task} "
            "needs."
        )
    return kind(**{name: _read(recipe, name, types[name]) for name in recipe.data})


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
    """
    kind = _task_class(recipe)
    prefixes = {WHOLE: "", **kind.part_prefixes}
    _check_names(recipe, "start_from", prefixes)
    try:
        config = kind.config_class.tiny(**recipe.model)
    except (TypeError, ValueError, StrictDataclassError) as error:
        raise TrainingError(f"recipe {recipe.name}: model: {error}") from error
    parts = recipe.start_from
    if WHOLE in parts:  # in place of the others
        parts = {WHOLE: parts[WHOLE]}
    return Materials(
        config=config,
        parts={part: Part(find_weights(run, runs), prefixes[part]) for part, run in parts.items()},
        data=data,
        sounds=runs / _SOUNDS,
    )


def check_trainer_options(recipe: Recipe) -> None:
    """Refuse options of the trainer that it has not, that the run decides, or that are no numbers.

    Args:
        recipe: The recipe.

    Raises:
        TrainingError: If there is one.
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


def find_checkpoint(output: Path) -> Path | None:
    """Find the last checkpoint of a run that was written to its end.

    Args:
        output: Folder of the run.

    Returns:
        The checkpoint, or None.
    """
    complete = [path.parent for path in output.glob(f"checkpoint-*/{_STATE_FILE}") if _loads(path)]
    return max(complete, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def _task_class(recipe: Recipe) -> type[TaskOptions]:
    if recipe.task not in TASKS:
        raise TrainingError(
            f"recipe {recipe.name}: there is no task {recipe.task!r}; there are {', '.join(TASKS)}."
        )
    return TASKS[recipe.task]


def _training_arguments(recipe: Recipe, output: Path) -> TrainingArguments:
    try:
        return TrainingArguments(
            output_dir=str(output),
            remove_unused_columns=False,  # batches are made by the task, which knows the columns
            use_cpu=not (torch.cuda.is_available() or torch.backends.mps.is_available()),
            **({"report_to": "none"} | recipe.trainer),
        )
    except (TypeError, ValueError) as error:
        raise TrainingError(f"recipe {recipe.name}: trainer: {error}") from error


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


def _read(recipe: Recipe, name: str, wanted: Any) -> Any:
    value = recipe.data[name]
    if get_origin(wanted) is tuple:
        if isinstance(value, list | tuple) and value and all(isinstance(v, str) for v in value):
            return tuple(value)
        words = "a list of names"
    else:
        if type(value) is wanted:
            return value
        words = f"of type {wanted.__name__}"
    raise TrainingError(f"recipe {recipe.name}: data.{name} must be {words}, got {value!r}.")


def _check_same_recipe(recipe: Recipe, output: Path) -> None:
    """Refuse to go on with a run of another recipe, whose checkpoints would not fit or mislead."""
    there = _loads(output / RECIPE_FILE)
    if not there:
        return
    now = json.loads(json.dumps(asdict(recipe)))
    differing = [
        f"{section}.{name} {old.get(name)!r}, now {new.get(name)!r}"
        for section in ("data", "trainer", "model", "start_from")
        for old, new in [(there.get(section, {}), now[section])]
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]
    if there.get("task") != recipe.task:
        differing.insert(0, f"task {there.get('task')!r}, now {recipe.task!r}")
    if differing:
        raise TrainingError(
            f"{output}: holds a run of another recipe ({'; '.join(differing[:3])}); name another "
            "folder, or remove that one."
        )


def _record_start(
    recipe: Recipe,
    materials: Materials[Any],
    output: Path,
    checkpoint: Path | None,
    device: torch.device,
) -> None:
    output.mkdir(parents=True, exist_ok=True)
    _write_json(output / RECIPE_FILE, asdict(recipe))
    starts = _loads(output / ENVIRONMENT_FILE) or []
    start = {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "resumed_from": checkpoint and checkpoint.name,
        "parts": {
            name: {"path": str(part.weights), "sha256": hash_file(part.weights)}
            for name, part in materials.parts.items()
        },
        "data": None if materials.data is None else str(materials.data),
    }
    _write_json(output / ENVIRONMENT_FILE, [*starts, start | describe_environment(device)])


def _loads(path: Path) -> Any:
    """Read a JSON file; None if it is missing or was cut short."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _attention(device: torch.device) -> AbstractContextManager[None]:
    """Compute attention by plain products on a CPU.

    They are faster there than the fused kernel, whose backward pass in bf16 took a third of a
    training step of the small model.
    """
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()
