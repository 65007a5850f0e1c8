"""Training runs of a paper's tables: several seeds for each row; finished runs are reused."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from avseg.checkpoints.model_folder import weights_file
from avseg.errors import TrainingError
from avseg.training.recipe import Recipe, load_recipe, recipe_names, seed_recipe
from avseg.training.run import read_metrics, run_recipe

#: Measures of one run: `<subset>_<split>_<measure>` -> value.
Measures = dict[str, float]


@dataclass(frozen=True)
class PlannedRun:
    """A training run of a reproduction.

    Attributes:
        recipe: Recipe of the run.
        output: Folder of the run.
    """

    recipe: Recipe
    output: Path


def plan_parts(recipe: Recipe, folder: Path) -> list[PlannedRun]:
    """List the missing runs from which a recipe starts, in the order of training.

    Args:
        recipe: The recipe.
        folder: Folder of all runs.

    Returns:
        The missing runs; each comes after the runs from which it starts itself. A `start_from` that
        is no packaged recipe is not listed.
    """
    planned: list[PlannedRun] = []
    for name in recipe.start_from.values():
        if name in recipe_names() and not weights_file(folder / name).is_file():
            part = load_recipe(name)
            planned += [*plan_parts(part, folder), PlannedRun(part, folder / name)]
    # Several parts may start from the same run, which keeps its earliest position.
    return list({run.output: run for run in planned}.values())


def check_rows(rows: Sequence[str], known: Collection[str]) -> None:
    """Validate names of rows.

    Args:
        rows: The names.
        known: Names of all rows.

    Raises:
        TrainingError: If there is no row of a name.
    """
    unknown = [name for name in rows if name not in known]
    if unknown:
        raise TrainingError(f"there is no row {unknown[0]!r}; there are {', '.join(known)}.")


def plan_runs(rows: Mapping[str, Recipe], seeds: int, folder: Path) -> dict[str, list[PlannedRun]]:
    """List the runs of each row, one for each seed.

    Args:
        rows: Name of each row -> its recipe.
        seeds: Number of runs of each row, with the seeds from 0.
        folder: Folder of all runs.

    Returns:
        Name of each row -> its runs.
    """
    return {
        name: [_plan_run(recipe, seed, folder) for seed in range(seeds)]
        for name, recipe in rows.items()
    }


def train_runs(
    rows: Mapping[str, list[PlannedRun]],
    data: Path,
    on_run: Callable[[PlannedRun, int, int], object],
    feature_cache: Path | None = None,
) -> dict[str, list[Measures]]:
    """Train the runs that are missing or incomplete.

    All rows are trained with one seed before any row is trained with the next seed. After an
    interruption, the table then has all rows with fewer seeds, instead of few rows with all seeds.

    Args:
        rows: Name of each row -> its runs; all rows have the same number of runs.
        data: Folder of the data sets.
        on_run: Called before each training with the run, its number from 1 and the total.
        feature_cache: Folder that stores the features of frozen parts; None for memory.

    Returns:
        Name of each row -> the measures of its runs.

    Raises:
        TrainingError: If a recipe is wrong, or a folder contains a run of another recipe.
    """
    # `zip` regroups the runs of each row to the runs of each seed.
    runs = [run for seed in zip(*rows.values(), strict=True) for run in seed]
    parts = {
        part.output: part for run in runs for part in plan_parts(run.recipe, run.output.parent)
    }
    missing = [run for run in runs if read_metrics(run.output, run.recipe) is None]
    # If all runs are complete, the runs from which they started are not needed any more.
    to_train = [*parts.values(), *missing] if missing else []
    for number, run in enumerate(to_train, start=1):
        on_run(run, number, len(to_train))
        run_recipe(run.recipe, run.output, data, feature_cache)
    return {name: [_read_measures(run) for run in of_row] for name, of_row in rows.items()}


def _plan_run(recipe: Recipe, seed: int, folder: Path) -> PlannedRun:
    seeded = replace(seed_recipe(recipe, seed), name=f"{recipe.name}_{seed}")
    return PlannedRun(seeded, folder / seeded.name)


def _read_measures(run: PlannedRun) -> Measures:
    metrics = read_metrics(run.output, run.recipe) or {}
    return {name.removeprefix("eval_"): value for name, value in metrics.items()}
