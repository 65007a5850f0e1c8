"""Validation of a recipe: its sections become a `Plan`, which every later step of a run uses.

There are two stages. The first stage imports neither torch nor transformers, so that a misspelt
option is reported within a second; it checks names and types. The second stage builds the model's
configuration, whose class checks the values.
"""

import difflib
import json
from collections.abc import Collection, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from avseg.errors import TrainingError
from avseg.training.declared_options import DeclaredClass, literal_values
from avseg.training.memory import MemoryOptions
from avseg.training.parts import WHOLE, Part, check_origin, find_part
from avseg.training.recipe import SIZES, Recipe, SavedForm
from avseg.training.tasks.options import TASKS, DataSetOptions, TaskOptions

#: Options of `TrainingArguments` that the run sets itself; a recipe must not have them.
_RESERVED = ("output_dir", "remove_unused_columns", "use_cpu")

#: Tool to which a run can be reported -> what to install for it.
_REPORTS = {"tensorboard": "avseg[train]", "wandb": "wandb"}


@dataclass(frozen=True)
class Plan:
    """A validated recipe, defaults included.

    Attributes:
        recipe: The recipe, which is recorded in the run's folder. Later steps read its options
            from the other attributes.
        task: Options of the task.
        config: Configuration of the model.
        trainer: Options of Hugging Face's `TrainingArguments`.
        memory: Options that save memory.
        save: Which weights the run saves.
        parts: Part of the model -> weights that it starts from.
    """

    recipe: Recipe
    task: TaskOptions
    config: Any
    trainer: Mapping[str, Any]
    memory: MemoryOptions
    save: SavedForm
    parts: Mapping[str, Part]

    def as_recipe(self) -> Recipe:
        """Return a recipe with the same effect in which every default is written out."""
        return replace(
            self.recipe,
            data=_to_yaml_types(asdict(self.task)),  # type: ignore[call-overload]  # a dataclass
            model=_to_yaml_types(_model_options(self.config)),
            memory=asdict(self.memory),
            save=self.save,
            trainer=_to_yaml_types(self.trainer),
        )


def validate(recipe: Recipe, runs: Path | None = None, data: Path | None = None) -> Plan:
    """Validate a recipe.

    Args:
        recipe: The recipe.
        runs: Folder of the runs, in which `start_from` is looked up; None validates the recipe
            alone, and the plan has no parts.
        data: Folder of the data sets; with a folder of the runs, a task that reads data sets needs
            it.

    Returns:
        The plan.

    Raises:
        TrainingError: If an option is unknown, missing, of the wrong type or of a wrong value, the
            best checkpoint would be chosen on a test split, a tool to report to is not installed,
            or a run to start from is missing or did not finish.
        CheckpointError: If a published file to start from cannot be downloaded.
    """
    task_class = _find_task(recipe)
    task = _read_section(recipe, "data", task_class)
    memory = _read_section(recipe, "memory", MemoryOptions)
    save = _saved_form(recipe)
    _check_trainer(recipe)
    if isinstance(task, DataSetOptions):
        _check_data_sets(recipe, task)
        if runs is not None and data is None:
            raise TrainingError(
                f"recipe {recipe.name}: reads data sets; give their folder with --data "
                "(`avseg data synthesize` makes some)."
            )
    _check_model(recipe, task_class)
    prefixes = {WHOLE: "", **task_class.part_prefixes}
    _check_names(recipe, "start_from", recipe.start_from, prefixes)
    # Without a folder of runs, `start_from` is only checked for its names.
    origins = recipe.start_from if runs is not None else {}
    if WHOLE in origins:  # the whole model replaces the parts
        origins = {WHOLE: origins[WHOLE]}
    for origin in origins.values():
        check_origin(origin, runs or Path())

    # The second stage: torch and transformers are imported from here on.
    trainer = _default_trainer_options() | recipe.trainer
    config = _build_config(recipe, task_class)
    # Parts come last, since published ones are downloaded.
    parts = {name: find_part(o, runs or Path(), prefixes[name]) for name, o in origins.items()}
    parts = {name: replace(part, in_file=memory.frozen_in_file) for name, part in parts.items()}
    return Plan(recipe, task, config, trainer, memory, save, parts)


def _find_task(recipe: Recipe) -> type[TaskOptions]:
    if recipe.task not in TASKS:
        near = difflib.get_close_matches(str(recipe.task), TASKS, n=1)
        hint = f"did you mean {near[0]}? There" if near else "there"
        raise TrainingError(
            f"recipe {recipe.name}: there is no task {recipe.task!r}; {hint} are "
            f"{', '.join(TASKS)}."
        )
    return TASKS[recipe.task]


def _saved_form(recipe: Recipe) -> SavedForm:
    """Return which weights a run saves.

    By default a model of the published sizes is saved without its frozen weights: they are
    gigabytes that exist on disk already.
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


def _check_trainer(recipe: Recipe) -> None:
    """Validate names, types and the choice of a checkpoint in the `trainer` section."""
    # From its source: importing the class would import torch.
    declared = DeclaredClass.find("transformers.training_args", "TrainingArguments")
    known = [name for name in declared.options if name not in _RESERVED]
    _check_names(recipe, "trainer", recipe.trainer, known)
    for name, value in recipe.trainer.items():
        _check_type(f"recipe {recipe.name}: trainer.{name}", declared, name, value)
    _check_checkpoint_choice(recipe)
    reports = recipe.trainer.get("report_to") or []
    for name in [reports] if isinstance(reports, str) else reports:
        if name in _REPORTS and find_spec(name) is None:
            raise TrainingError(
                f"recipe {recipe.name}: trainer.report_to: {name} is not installed; pip install "
                f"'{_REPORTS[name]}', or leave {name} out."
            )


def _check_checkpoint_choice(recipe: Recipe) -> None:
    """Raise an error if the best checkpoint is chosen on a test split, or without a metric."""
    metric = recipe.trainer.get("metric_for_best_model")
    if metric is None and recipe.trainer.get("load_best_model_at_end"):
        raise TrainingError(
            f"recipe {recipe.name}: trainer.load_best_model_at_end needs metric_for_best_model, "
            "DATASET_MEASURE, for instance ms3_val_j."
        )
    # Names are DATASET_MEASURE, and the data set SUBSET_SPLIT, such as ms3_test_seen_j.
    if "test" in str(metric).split("_"):
        raise TrainingError(
            f"recipe {recipe.name}: trainer.metric_for_best_model {metric} would choose the "
            "checkpoint on a test split, whose scores would then be too high; choose on a val "
            "split, and name the test split in data.tested, which is evaluated once at the end."
        )


def _check_data_sets(recipe: Recipe, task: DataSetOptions) -> None:
    """Validate the names of data sets, and that the best checkpoint is chosen on one of them."""
    subsets = [str(subset) for subset in literal_values("avseg.datasets.layout", "Subset")]
    for name in task.splits():
        subset, slash, _ = name.partition("/")
        if not slash or subset not in subsets:
            raise TrainingError(
                f"recipe {recipe.name}: data: {name!r} must be SUBSET/SPLIT with a subset of "
                f"{', '.join(subsets)}, for instance ms3/train."
            )
    # `Trainer` would report a misspelt metric only after the first evaluation.
    metric = recipe.trainer.get("metric_for_best_model")
    measured = [name.replace("/", "_") for name in task.measured]
    if metric is not None and not str(metric).removeprefix("eval_").startswith(tuple(measured)):
        raise TrainingError(
            f"recipe {recipe.name}: trainer.metric_for_best_model {metric} must begin with a data "
            f"set of data.measured: {', '.join(measured) or 'it has none'}."
        )


def _check_model(recipe: Recipe, task_class: type[TaskOptions]) -> None:
    """Validate `sizes`, and names and types in the `model` section."""
    if recipe.sizes not in SIZES:
        raise TrainingError(
            f"recipe {recipe.name}: sizes must be {' or '.join(SIZES)}, got {recipe.sizes!r}."
        )
    # The return annotation of `config_class` names the class, for instance
    # "type[Av2tSamConfig]", so the class is found without an import.
    annotation: str = task_class.config_class.__annotations__["return"]
    name = annotation.removeprefix("type[").removesuffix("]")
    declared = DeclaredClass.find(task_class.__module__, name)
    # Backbones of the small model may be of another class than those of the published one.
    mappings = ["tiny_options"] if recipe.sizes == "small" else []
    _check_declared(recipe, "model", recipe.model, declared, (*mappings, "sub_configs_defaults"))


def _check_declared(
    recipe: Recipe,
    section: str,
    options: Mapping[str, Any],
    declared: DeclaredClass,
    mappings: Collection[str],
) -> None:
    """Validate options of a configuration class, and of the backbones' classes inside it."""
    own = {name: value for name, value in options.items() if name not in _shared_options()}
    _check_names(recipe, section, own, declared.options, _options_of_groups(declared, mappings))
    for name, value in own.items():
        _check_type(f"recipe {recipe.name}: {section}.{name}", declared, name, value)
        inner = declared.class_of(name, mappings)
        if inner is None or not isinstance(value, dict):
            continue
        # Another `model_type` chooses another class; the second stage validates its options.
        if value.get("model_type", inner.model_type) == inner.model_type:
            _check_declared(recipe, f"{section}.{name}", value, inner, mappings)


def _options_of_groups(declared: DeclaredClass, mappings: Collection[str]) -> list[str]:
    """List the options of nested configurations, such as "losses.a2t_weight"."""
    groups = {group: declared.class_of(group, mappings) for group in declared.options}
    return [f"{group}.{name}" for group, inner in groups.items() if inner for name in inner.options]


@cache
def _shared_options() -> set[str]:
    """Return the options of every configuration; a copied `config.json` section may have them."""
    declared = DeclaredClass.find("transformers.configuration_utils", "PreTrainedConfig")
    return {"_name_or_path", "model_type", "output_attentions", *declared.options}


def _check_names(
    recipe: Recipe,
    section: str,
    given: Collection[str],
    known: Collection[str],
    deeper: Collection[str] = (),
) -> None:
    """Raise an error if a given option is unknown, with the name that it may stand for."""
    for name in given:
        if name in known:
            continue
        near = [option for option in deeper if option.endswith(f".{name}")]
        near += difflib.get_close_matches(str(name), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}."
        if section == "trainer" and name in _RESERVED:
            hint = "the run sets this option; leave it out."
        elif section == "trainer" and not near:
            hint = "it takes the options of Hugging Face's TrainingArguments."
        raise TrainingError(f"recipe {recipe.name}: {section} has no option {name!r}; {hint}")


def _check_type(option: str, declared: DeclaredClass, name: str, value: Any) -> None:
    """Raise an error if a value is not of the type that a class declares."""
    expected = declared.expected(name, value)
    if expected is None:
        return
    got = repr(value)
    if expected.startswith("a number") and isinstance(value, str):
        got = f"the text {value!r} (YAML takes 5e-4 for text, 5.0e-4 for a number)"
    raise TrainingError(f"{option} must be {expected}, got {got}.")


def _read_section(recipe: Recipe, section: str, kind: type[Any]) -> Any:
    """Convert a section to a dataclass of its options."""
    given, types = getattr(recipe, section), get_type_hints(kind)
    options = fields(kind)
    _check_names(recipe, section, given, [option.name for option in options])
    missing = [o.name for o in options if o.default is MISSING and o.name not in given]
    if missing:
        raise TrainingError(f"recipe {recipe.name}: {section} lacks {', '.join(missing)}.")
    return kind(
        **{
            name: _read_value(f"recipe {recipe.name}: {section}.{name}", value, types[name])
            for name, value in given.items()
        }
    )


def _read_value(option: str, value: Any, kind: Any) -> Any:
    if get_origin(kind) is tuple:
        if isinstance(value, list | tuple) and all(isinstance(v, str) for v in value):
            return tuple(value)
        description = "a list of names"
    elif get_origin(kind) is Literal:
        if any(type(value) is type(choice) and value == choice for choice in get_args(kind)):
            return value
        description = " or ".join(map(repr, get_args(kind)))
    else:
        if type(value) is kind:  # not isinstance, by which true would be an integer
            return value
        description = f"of type {kind.__name__}"
    raise TrainingError(f"{option} must be {description}, got {value!r}.")


def _default_trainer_options() -> dict[str, Any]:
    """Return the defaults of `TrainingArguments` that can be written to YAML."""
    from transformers import TrainingArguments

    known = {f.name: f.default for f in fields(TrainingArguments) if f.init}
    defaults = {
        name: value
        for name, value in known.items()
        if name not in _RESERVED and isinstance(value, bool | int | float | str)
    }
    # Without `report_to` a run would be reported to every tool that is installed.
    plain: dict[str, Any] = _to_yaml_types(defaults | {"report_to": "none"})
    return plain


def _build_config(recipe: Recipe, task_class: type[TaskOptions]) -> Any:
    """Build the configuration of the model, whose class validates the values."""
    from huggingface_hub.errors import StrictDataclassError

    config_class = task_class.config_class()
    # A wrong value raises StrictDataclassError or ValueError, an unknown option TypeError.
    try:
        if recipe.sizes == "small":
            return config_class.tiny(**recipe.model)
        return config_class().replace(**recipe.model)
    except (TypeError, ValueError, StrictDataclassError) as error:
        raise TrainingError(f"recipe {recipe.name}: model: {error}") from error


def _model_options(config: Any) -> dict[str, Any]:
    """Return a configuration's options, its backbones' too, without those of `transformers`."""
    from avseg.backbones.config import own_options

    known = {f.name for f in fields(config)}  # without class variables
    values = {name: getattr(config, name) for name in own_options(type(config)) if name in known}
    return {name: _plain_option(value) for name, value in values.items()}


def _plain_option(value: Any) -> Any:
    """Return the value of an option, with a nested configuration as a dictionary."""
    from transformers import PreTrainedConfig

    from avseg.backbones.config import StrictConfig

    if isinstance(value, StrictConfig):
        return {"model_type": value.model_type, **_model_options(value)}
    if isinstance(value, PreTrainedConfig):  # of a network of `transformers`
        return _network_options(value.to_dict(), PreTrainedConfig().to_dict().keys())
    return value


def _network_options(options: Mapping[str, Any], shared: Collection[str]) -> dict[str, Any]:
    """Return options of a network without those that all configurations share."""
    return {
        name: _network_options(value, shared) if isinstance(value, dict) else value
        for name, value in options.items()
        if name == "model_type" or name not in shared
    }


def _to_yaml_types(options: Any) -> Any:
    """Convert tuples to lists and enumerations to texts, the types that YAML has."""
    return json.loads(json.dumps(options))
