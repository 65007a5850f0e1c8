"""Training runs: validate a recipe, build its task, train, save, and resume a stopped run.

torch and transformers are imported inside the functions that need them, so that a wrong recipe is
reported before they are loaded.
"""

import json
import logging
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avseg.atomic import OwnFolder, explain_write_error, has_marker
from avseg.checkpoints.cache import cache_folder
from avseg.checkpoints.model_folder import (
    weights_file,
)
from avseg.errors import TrainingError
from avseg.training.recipe import Recipe, load_recipe
from avseg.training.starts import RECIPE_FILE, read_json, record_start, write_json
from avseg.training.validation import Plan, validate

if TYPE_CHECKING:
    import torch
    from transformers import TrainingArguments

    from avseg.training.tasks.task import Task
    from avseg.training.trainer import AvsegTrainer

_log = logging.getLogger(__name__)

#: File with the scores at the end of a run; a run that has this file is complete.
METRICS_FILE = "metrics.json"

#: File that `Trainer` writes last into a checkpoint; a checkpoint without it is incomplete.
_STATE_FILE = "trainer_state.json"
#: Pickle of the trainer's options, which is deleted at the end: loading a pickle can run code, and
#: `RECIPE_FILE` has the same options.
_PICKLED_ARGUMENTS = "training_args.bin"
#: Name of the folder beside the runs that stores synthesised recordings.
_SOUNDS = "sounds"

_OWN_FOLDER = OwnFolder("a training run", has_marker(RECIPE_FILE, ("name", "task")))


def train(
    recipe: str,
    *,
    output: str | Path | None = None,
    data: str | Path | None = None,
    seed: int | None = None,
    changes: Sequence[str] = (),
    feature_cache: str | Path | None = None,
) -> dict[str, float]:
    """Train a model from a recipe; the same call resumes a run that was stopped.

    Args:
        recipe: Name of a recipe in the package, or path of a YAML file.
        output: Folder of the run; None for runs/NAME. Runs named in the recipe's `start_from` are
            searched in the same parent folder.
        data: Folder of the data sets, for recipes that read data sets.
        seed: Seed of the training, and of the training data that a recipe synthesises; None for
            the seed in the recipe.
        changes: Options to change, each "section.option=value", such as "trainer.max_steps=10".
        feature_cache: Folder that stores the features of frozen parts for later runs; None for a
            folder in avseg's cache, "none" to keep the features in memory.

    Returns:
        The scores at the end by name, the same in every process of a distributed run.

    Raises:
        TrainingError: If the recipe is wrong, or the folder contains a run of another recipe.
        OutputError: If the folder has other files, or it or the feature cache cannot be written.
    """
    if feature_cache is None:
        cache: Path | None = cache_folder() / "features"
    else:
        cache = None if str(feature_cache) == "none" else Path(feature_cache)
    return run_recipe(
        load_recipe(recipe, changes=changes, seed=seed),
        default_output(recipe) if output is None else Path(output),
        None if data is None else Path(data),
        cache,
    )


def default_output(recipe: str) -> Path:
    """Return the default folder of a recipe's run, runs/NAME."""
    return Path("runs") / Path(recipe).stem


def is_first_process() -> bool:
    """Return whether this process is the first, or the only one, of a training run."""
    return os.environ.get("RANK", "0") == "0"  # torchrun sets RANK in each process


def leave_process_group() -> None:
    """Wait for the other processes of a training run, and end the communication with them.

    A process that exits without this can be aborted while the threads of its communication still
    run; `torchrun` then ends the other processes, before the first one has written its results.
    """
    if "RANK" not in os.environ:
        return
    from torch import distributed

    if distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()


def run_recipe(
    recipe: Recipe, output: Path, data: Path | None = None, feature_cache: Path | None = None
) -> dict[str, float]:
    """Train a model from a loaded recipe, or continue a stopped run from its last checkpoint.

    The recipe is validated before anything is built or written.

    Args:
        recipe: The recipe.
        output: Folder of the run. `checkpoint-*` are written during the training. At the end
            `model.safetensors` or `trained.safetensors` (`Recipe.save`) and `metrics.json` are
            written, for a whole model also its configuration and processor. The task text-prompt
            writes an EVF-SAM that can be loaded to the subfolder `evf_sam`. `recipe.json` and
            `environment.json` record the recipe and the software. Runs named in `start_from`, and
            synthesised recordings, are in the parent folder.
        data: Folder of the data sets, for tasks that read data sets.
        feature_cache: Folder that stores the features of frozen parts for later runs; None keeps
            them in memory. Several runs may use the folder at the same time.

    Returns:
        The scores at the end by name.

    Raises:
        TrainingError: If the recipe has an unknown or wrong option, names a run that is missing, or
            the folder contains a run of another recipe.
        OutputError: If the folder has other files, or it or the feature cache cannot be written.
    """
    plan = validate(recipe, output.parent, data)
    _OWN_FOLDER.check(output)
    metrics = read_metrics(output, recipe)
    # With another form of the weights, they are saved again from the last checkpoint.
    same_form = _read_recipe(output).get("save") == recipe.save
    if metrics is not None and same_form and weights_file(output).is_file():
        _log.info(
            "%s: this run is finished, its weights stay as they are; choose another folder to "
            "train again.",
            output,
        )
        return metrics
    with explain_write_error(output, output):
        return run_plan(plan, output, data, feature_cache)


def run_plan(
    plan: Plan, output: Path, data: Path | None, feature_cache: Path | None
) -> dict[str, float]:
    """Train a model from a validated recipe.

    Args:
        plan: The validated recipe.
        output: As for `run_recipe`.
        data: As for `run_recipe`.
        feature_cache: As for `run_recipe`.

    Returns:
        The scores at the end by name.

    Raises:
        TrainingError: If options of the trainer contradict each other, or the task cannot be built.
        OutputError: If the folder has other files, or it or the feature cache cannot be written.
    """
    from avseg.training.time_recorder import TimeRecorder
    from avseg.training.trainer import AvsegTrainer, training_arguments

    # transformers validates the options of the trainer; a wrong one is reported before the task
    # is built, which can take minutes.
    arguments = training_arguments(plan, output)
    task = _build_task(plan, arguments, output.parent / _SOUNDS, data, feature_cache)
    trainer = AvsegTrainer(
        model=task.model,
        args=arguments,
        train_dataset=task.train,
        measured=task.measured,
        measure=task.measure,
        data_collator=task.collate,
    )
    if "tensorboard" in (arguments.report_to or ()):
        _show_masks(trainer, task)
    trainer.add_callback(TimeRecorder(output))
    checkpoint = find_checkpoint(output)
    # The record is written before the first step, so that a stopped run can be continued safely.
    if trainer.is_world_process_zero():
        record_start(plan, output, data, checkpoint, arguments)
    with _plain_attention_on_cpu(arguments.device):
        # `Trainer` itself would train one step more after a checkpoint of the last step.
        if checkpoint is None or not trainer.load_if_trained(checkpoint):
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        # Test data is evaluated here only, so that no choice during the training depends on it.
        metrics = trainer.evaluate(task.measured | task.tested)
    trainer.save_weights(output, plan.save)
    trainer.save_state()
    if trainer.is_world_process_zero():
        (output / _PICKLED_ARGUMENTS).unlink(missing_ok=True)
        if task.finish is not None:
            task.finish(output)
        # Last, since this file means that the run is complete.
        write_json(output / METRICS_FILE, metrics)
    return metrics


def _build_task(
    plan: Plan,
    arguments: "TrainingArguments",
    sounds: Path,
    data: Path | None,
    feature_cache: Path | None,
) -> "Task":
    """Build the model and the data sets of a validated recipe, with the seed of the recipe."""
    from transformers import set_seed

    from avseg.training.feature_cache import FeatureCache, FeaturesInMemory
    from avseg.training.memory import recompute_blocks
    from avseg.training.tasks.building import build_task
    from avseg.training.tasks.task import TaskInputs

    # Before the model is built: the random initial weights depend on the seed.
    set_seed(arguments.seed)
    inputs = TaskInputs(
        config=plan.config,
        parts=plan.parts,
        data=data,
        sounds=sounds,
        features=FeaturesInMemory() if feature_cache is None else FeatureCache(feature_cache),
        device=arguments.device,
    )
    # The first process computes features and writes them to the cache; the others read them.
    with arguments.main_process_first():
        task = build_task(plan.task, inputs)
    if plan.memory.recomputed_blocks:
        recompute_blocks(task.model, plan.memory.recomputed_blocks)
    return task


def read_metrics(output: Path, recipe: Recipe) -> dict[str, float] | None:
    """Read the scores of a complete run.

    Args:
        output: Folder of the run.
        recipe: The recipe from which the run must have been trained.

    Returns:
        The scores by name; None if there is no run in the folder, or it is not complete.

    Raises:
        TrainingError: If the folder contains a run of another recipe.
    """
    _check_same_recipe(recipe, output)
    metrics = read_json(output / METRICS_FILE)
    # A damaged file is no file: the run is then measured again.
    return metrics if isinstance(metrics, dict) else None


def find_checkpoint(output: Path) -> Path | None:
    """Find the last complete checkpoint of a run.

    Args:
        output: Folder of the run.

    Returns:
        The checkpoint, or None.
    """
    # A folder of another name, such as checkpoint-copy, is not one of `Trainer`.
    found = output.glob(f"checkpoint-*/{_STATE_FILE}")
    numbered = [p for p in found if p.parent.name.removeprefix("checkpoint-").isdecimal()]
    complete = [p.parent for p in numbered if read_json(p)]
    return max(complete, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def _read_recipe(output: Path) -> dict[str, Any]:
    """Read the recipe of the run in a folder; empty if there is none."""
    recorded = read_json(output / RECIPE_FILE) or {}
    sections = ("data", "trainer", "model", "start_from")
    if not isinstance(recorded, dict) or not all(
        isinstance(recorded.get(section, {}), dict) for section in sections
    ):
        raise TrainingError(
            f"{output / RECIPE_FILE}: is no recipe; restore it, or choose another folder."
        )
    return recorded


def _check_same_recipe(recipe: Recipe, output: Path) -> None:
    """Raise an error if a folder contains a run of another recipe, whose weights would not fit."""
    recorded = _read_recipe(output)
    if not recorded:
        return
    now = json.loads(json.dumps(asdict(recipe)))  # tuples become lists, as in the JSON file
    differing = [
        f"{section}.{name} {old.get(name)!r}, now {new.get(name)!r}"
        # Not `memory`: the weights do not depend on it, and another machine may need it.
        for section in ("data", "trainer", "model", "start_from")
        for old, new in [(recorded.get(section, {}), now[section])]
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]
    for name in ("sizes", "task"):
        if recorded.get(name) != now[name]:
            differing.insert(0, f"{name} {recorded.get(name)!r}, now {now[name]!r}")
    if differing:
        raise TrainingError(
            f"{output}: contains a run of another recipe ({'; '.join(differing[:3])}); choose "
            "another folder, or remove this one."
        )


def _show_masks(trainer: "AvsegTrainer", task: "Task") -> None:
    """Add the callback that writes example masks to TensorBoard, if the task predicts masks."""
    from transformers.integrations.integration_utils import TensorBoardCallback

    from avseg.training.example_masks import ExampleMasks

    if task.frames_of is not None:
        trainer.remove_callback(TensorBoardCallback)  # ExampleMasks writes the scores too
        trainer.add_callback(ExampleMasks(task.measured, task.collate, task.frames_of))


def _plain_attention_on_cpu(device: "torch.device") -> AbstractContextManager[None]:
    """Return a context in which a CPU computes attention by plain matrix products.

    On a CPU, matrix products are faster than the fused kernel, whose backward pass in bf16 took a
    third of a training step of the small model.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel

    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()
