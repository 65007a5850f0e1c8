"""Run a recipe: check it, build its task, train, save; resume where a run stopped."""

import json
import logging
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import set_seed
from transformers.integrations.integration_utils import TensorBoardCallback

from avseg.checkpoints.model_folder import ENVIRONMENT_FILE, file_sha256, restrictions
from avseg.environment import describe_environment
from avseg.errors import TrainingError
from avseg.training.example_masks import ExampleMasks
from avseg.training.feature_cache import FeatureCache
from avseg.training.memory import recompute_blocks
from avseg.training.parts import part_licences
from avseg.training.recipe import Recipe
from avseg.training.saving import save_weights
from avseg.training.tasks.task import Materials
from avseg.training.trainer import AvsegTrainer
from avseg.training.validation import (
    check_trainer_options,
    find_materials,
    read_memory_options,
    read_task_options,
    saved_form,
    training_arguments,
)

_log = logging.getLogger(__name__)

#: What was run, as it was resolved.
RECIPE_FILE = "recipe.json"
#: The measures at the end; a run that has this file is complete.
METRICS_FILE = "metrics.json"

#: Written last into a checkpoint: one without it was cut short.
_STATE_FILE = "trainer_state.json"
#: A pickle of the options; the same are in `RECIPE_FILE`, for which nobody has to unpickle.
_PICKLED_ARGUMENTS = "training_args.bin"


def run_recipe(
    recipe: Recipe, output: Path, data: Path | None = None, feature_cache: Path | None = None
) -> dict[str, float]:
    """Train what a recipe says; a run that was stopped goes on from its last checkpoint.

    Everything in the recipe is checked before anything is built or written.

    Args:
        recipe: The recipe.
        output: Folder of the run: `checkpoint-*` on the way; at the end `model.safetensors` or
            `trained.safetensors` (`Recipe.save`), for a whole model also its configuration and
            processor, and `metrics.json`; of a text-prompted model the usable part is in the
            folder `evf_sam`. `recipe.json` and
            `environment.json` say what was run, and with what. Runs that `start_from` names, and
            synthesised recordings, lie beside it.
        data: Folder of the data sets, for tasks that read some.
        feature_cache: Folder that keeps what frozen parts say of the data from run to run; None
            keeps it in memory. It may be shared by runs that go on at the same time.

    Returns:
        The measures at the end.

    Raises:
        TrainingError: If the recipe has an unknown or wrong option, names a run that is not there,
            or the folder holds a run of another recipe.
        OutputError: If the feature cache cannot be written to.
    """
    options = read_task_options(recipe)
    check_trainer_options(recipe)
    form = saved_form(recipe)
    materials = find_materials(recipe, output.parent, data)
    _check_same_recipe(recipe, output)
    arguments = training_arguments(recipe, output)
    set_seed(arguments.seed)
    materials = replace(materials, device=arguments.device)
    if feature_cache is not None:
        materials = replace(materials, features=FeatureCache(feature_cache))
    with arguments.main_process_first():  # the others then find what it made and kept
        task = options.build(materials)
    memory = read_memory_options(recipe)
    if memory.recomputed_blocks:
        recompute_blocks(task.model, memory.recomputed_blocks)
    trainer = AvsegTrainer(
        model=task.model,
        args=arguments,
        train_dataset=task.train,
        measured=task.measured,
        measure=task.measure,
        data_collator=task.collate,
    )
    if task.frames_of is not None and "tensorboard" in (arguments.report_to or ()):
        trainer.remove_callback(TensorBoardCallback)
        trainer.add_callback(ExampleMasks(task.measured, task.collate, task.frames_of))
    checkpoint = find_checkpoint(output)
    if trainer.is_world_process_zero():
        _record_start(recipe, materials, output, checkpoint, arguments.device)
    with _attention(arguments.device):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        metrics = trainer.evaluate(task.measured | task.tested)
    save_weights(trainer, output, form)
    trainer.save_state()
    if trainer.is_world_process_zero():
        (output / _PICKLED_ARGUMENTS).unlink(missing_ok=True)
        if task.finish is not None:
            task.finish(output)
        _write_json(output / METRICS_FILE, metrics)
    return metrics


def is_first_process() -> bool:
    """Say whether this process writes and prints for all that train together."""
    return bool(PartialState().is_main_process)


def read_metrics(output: Path, recipe: Recipe) -> dict[str, float] | None:
    """Read the measures of a run that came to its end.

    Args:
        output: Folder of the run.
        recipe: What it must be a run of.

    Returns:
        The measures; None if there is no such run, or it is not done.

    Raises:
        TrainingError: If it is a run of another recipe.
    """
    _check_same_recipe(recipe, output)
    metrics: dict[str, float] | None = _loads(output / METRICS_FILE)
    return metrics


def find_checkpoint(output: Path) -> Path | None:
    """Find the last checkpoint of a run that was written to its end.

    Args:
        output: Folder of the run.

    Returns:
        The checkpoint, or None.
    """
    complete = [path.parent for path in output.glob(f"checkpoint-*/{_STATE_FILE}") if _loads(path)]
    return max(complete, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


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
    for name in ("sizes", "task"):
        if there.get(name) != now[name]:
            differing.insert(0, f"{name} {there.get(name)!r}, now {now[name]!r}")
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
    parts = {
        name: {
            "path": str(part.weights),
            "sha256": file_sha256(part.weights),
            "licences": part_licences(part),
        }
        for name, part in materials.parts.items()
    }
    limits = restrictions(licence for part in parts.values() for licence in part["licences"])
    if limits:
        _log.warning(
            "%s: starts from weights under %s, which allows no commercial use; the run records it.",
            output,
            " and ".join(limits),
        )
    if starts and checkpoint is not None:
        _check_same_parts(output, starts[0]["parts"], parts)
    start = {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "resumed_from": checkpoint and checkpoint.name,
        "parts": parts,
        "data": None if materials.data is None else str(materials.data),
    }
    _write_json(output / ENVIRONMENT_FILE, [*starts, start | describe_environment(device)])


def _check_same_parts(
    output: Path, before: dict[str, dict[str, Any]], now: dict[str, dict[str, Any]]
) -> None:
    """Refuse to go on from other frozen weights than a checkpoint, which lacks them, began with."""
    for name, part in now.items():
        if name in before and before[name]["sha256"] != part["sha256"]:
            raise TrainingError(
                f"{output}: this run began with another {name} than {part['path']} holds now "
                f"(SHA-256 {before[name]['sha256'][:12]}..., now {part['sha256'][:12]}...); bring "
                "that one back, or name another folder for a new run."
            )


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
