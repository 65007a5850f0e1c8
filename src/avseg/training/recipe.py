"""Training recipes: YAML files with a task, its data, the model, and options of the trainer."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml

from avseg.errors import TrainingError

#: Values of `Recipe.sizes`: "small" starts from `tiny()` of the task's configuration class, and
#: "published" from the defaults of that class. The `model` section then changes single options.
SIZES = ("small", "published")

#: Weights that a run saves: only the trained weights, with references to the files of the frozen
#: weights; or all weights.
SavedForm = Literal["trained", "whole"]

#: Largest number of values in a recipe; the longest in the package has 100. A few lines of YAML
#: with aliases of aliases can stand for billions of values.
_MOST_VALUES = 10_000

#: Folder of the recipes in the package.
_PACKAGED = resources.files("avseg.training") / "recipes"


@dataclass(frozen=True)
class Recipe:
    """One training run.

    Attributes:
        name: Name of the file without its ending.
        task: Name of the task, a key of `tasks.options.TASKS`.
        data: Options of the task, see its class in `tasks.options`.
        trainer: Options of Hugging Face's `TrainingArguments`.
        sizes: Sizes of the model, one of `SIZES`.
        model: Options of the model that differ from those sizes.
        start_from: Part of the model, a key of the task's `part_prefixes` -> the run that trained
            it (the name of a folder beside the run's own output, or a path), or published weights,
            see `parts.find_part`. The part `model` is the whole model, from a run of the same task;
            it replaces the other parts.
        memory: Options of `memory.MemoryOptions`; the trained weights do not depend on them.
        save: Weights that the run saves, a `SavedForm`; None for "trained" with the published sizes
            and "whole" with the small ones.
    """

    name: str
    task: str
    data: dict[str, Any]
    trainer: dict[str, Any]
    sizes: str = "small"
    model: dict[str, Any] = field(default_factory=dict)
    start_from: dict[str, str] = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)
    save: str | None = None

    def to_yaml(self) -> str:
        """Return the recipe as the text of a YAML file, without empty sections."""
        options = {key: value for key, value in asdict(self).items() if value and key != "name"}
        text: str = yaml.safe_dump(options, sort_keys=False)
        return text


#: Keys that a recipe must have, and keys that it may have.
_REQUIRED = ("task", "data", "trainer")
_OPTIONAL = tuple(f.name for f in fields(Recipe) if f.name not in ("name", *_REQUIRED))
#: Keys with options of their own, which `--set` can change.
_SECTIONS = ("data", "trainer", "model", "start_from", "memory")


def recipe_names() -> list[str]:
    """Return the names of the recipes in the package, sorted."""
    return sorted(
        Path(entry.name).stem for entry in _PACKAGED.iterdir() if entry.name.endswith(".yaml")
    )


def load_recipe(recipe: str, *, changes: Sequence[str] = (), seed: int | None = None) -> Recipe:
    """Read a recipe, and change options of it.

    A recipe with `extends: OTHER` starts from the options of OTHER and overrides some of them.

    Args:
        recipe: Name of a recipe in the package, or path of a YAML file.
        changes: As for `change_recipe`.
        seed: As for `seed_recipe`; None keeps the seed in the recipe.

    Returns:
        The recipe.

    Raises:
        TrainingError: If there is no such recipe, the file is not a recipe, or a change is not of
            the form "section.option=value".
    """
    options = _read_options(recipe, ())
    _check_sections(recipe, options)
    changed = change_recipe(Recipe(name=Path(recipe).stem, **options), changes)
    return changed if seed is None else seed_recipe(changed, seed)


def change_recipe(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """Change options of a recipe, as `avseg train --set` does.

    Args:
        recipe: The recipe; unchanged.
        settings: Each "section.option=value" with the value in YAML, for instance
            "trainer.max_steps=10" or "data.train=[ms3/train]"; an option inside an option has more
            dots. Also "save=trained" and "save=whole".

    Returns:
        The changed recipe.

    Raises:
        TrainingError: If a setting is not of that form.
    """
    sections = {name: deepcopy(getattr(recipe, name)) for name in _SECTIONS}
    save = recipe.save
    for setting in settings:
        path, equals, text = setting.partition("=")
        if path.strip() == "save" and text:
            save = text.strip()
            continue
        section, *names = path.strip().split(".")
        if not equals or section not in _SECTIONS or not all(names) or not names:
            raise TrainingError(
                f"--set {setting}: must be SECTION.OPTION=VALUE with a section of "
                f"{', '.join(_SECTIONS)}, for instance trainer.max_steps=10."
            )
        options = sections[section]
        for name in names[:-1]:
            options = options.setdefault(name, {})
            if not isinstance(options, dict):
                raise TrainingError(
                    f"--set {setting}: {name} is {options!r} and has no options of its own."
                )
        options[names[-1]] = _read_value(setting, text)
    return replace(recipe, **sections, save=save)


def seed_recipe(recipe: Recipe, seed: int) -> Recipe:
    """Change the seed of the training, and of the training data if the recipe synthesises them.

    Args:
        recipe: The recipe; unchanged.
        seed: The seed.

    Returns:
        The changed recipe.
    """
    data = recipe.data | {"seed": seed} if "seed" in recipe.data else recipe.data
    return replace(recipe, data=data, trainer=recipe.trainer | {"seed": seed})


def _read_options(recipe: str, extended_by: tuple[str, ...]) -> Any:
    """Read a file, merged with the recipe that it extends."""
    # `extended_by` has the recipes that led to this one, to detect a cycle.
    if recipe in extended_by:
        raise TrainingError(
            f"recipe {recipe}: extends itself ({' < '.join((*extended_by, recipe))}); name another."
        )
    path = Path(recipe)
    if path.suffix in {".yaml", ".yml"} and path.is_file():
        text = _read_text(path)
    elif recipe in recipe_names():
        text = (_PACKAGED / f"{recipe}.yaml").read_text(encoding="utf-8")
    else:
        near = get_close_matches(recipe, recipe_names(), n=1)
        hint = f"did you mean {near[0]}? The" if near else "the"
        raise TrainingError(
            f"there is no recipe {recipe!r}; {hint} package has {', '.join(recipe_names())}. "
            "Give one of these names or the path of a YAML file."
        )
    options = _parse_yaml(text, f"recipe {recipe}: is")
    if not isinstance(options, dict) or "extends" not in options:
        return options
    base = _read_options(str(options.pop("extends")), (*extended_by, recipe))
    return _merge(base, options)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise TrainingError(
            f"recipe {path}: cannot be read as text ({error}); give the path of a YAML file."
        ) from error


def _parse_yaml(text: str, what: str) -> Any:
    """Parse YAML; `what` is the beginning of the message for text that is not YAML."""
    try:
        value = yaml.safe_load(text)
        count = _count_values(value, {})
    except RecursionError as error:
        raise TrainingError(f"{what} nested too deeply; write it with fewer brackets.") from error
    except (yaml.YAMLError, ValueError) as error:
        raise TrainingError(f"{what} not YAML: {error}") from error
    if count > _MOST_VALUES:
        raise TrainingError(
            f"{what} of {count} values, at most {_MOST_VALUES} are read; write it with fewer "
            "aliases."
        )
    return value


def _count_values(value: Any, known: dict[int, int | None]) -> int:
    """Count the values in a value; those of an alias count at each of its places.

    Args:
        value: A value that was read from YAML.
        known: Identity of each mapping and list -> its count; None while it is being counted.

    Returns:
        Number of values, itself included.
    """
    if not isinstance(value, (dict, list)):
        return 1
    if id(value) not in known:
        known[id(value)] = None
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_count_values(each, known) for each in inner)
    count = known[id(value)]
    if count is None:
        raise ValueError("an alias is within its own anchor")
    return count


def _merge(options: Any, changes: Any) -> Any:
    """Return options with changes merged in; nested mappings are merged option by option."""
    if not isinstance(options, dict) or not isinstance(changes, dict):
        return changes
    return options | {name: _merge(options.get(name), value) for name, value in changes.items()}


def _read_value(setting: str, text: str) -> Any:
    """Parse the value of a setting as YAML; a number may be in any notation, such as 5e-4."""
    value = _parse_yaml(text, f"--set {setting[:60]}: the value is")
    if isinstance(value, str):
        try:
            return float(value)  # YAML 1.1 reads 5e-4, without a dot, as a text
        except ValueError:
            return value
    return value


def _check_sections(recipe: str, options: Any) -> None:
    """Validate the keys of a recipe, and that each section is a mapping."""
    if not isinstance(options, Mapping) or not set(_REQUIRED) <= set(options) <= {
        *_REQUIRED,
        *_OPTIONAL,
    }:
        found = ", ".join(map(str, options)) if isinstance(options, Mapping) else repr(options)
        raise TrainingError(
            f"recipe {recipe}: must have {', '.join(_REQUIRED)} and may have "
            f"{', '.join(_OPTIONAL)}; it has {found}."
        )
    for name in set(_SECTIONS) & set(options):
        if not isinstance(options[name], dict):
            raise TrainingError(
                f"recipe {recipe}: {name} must be a mapping of options, got {options[name]!r}."
            )
