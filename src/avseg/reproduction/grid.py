"""A grid of trainings: each row with several seeds, whatever is done already taken as it is."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from avseg.checkpoints.model_folder import weights_file
from avseg.errors import TrainingError
from avseg.training.recipe import Recipe, load_recipe, recipe_names, seed_recipe
from avseg.training.run import read_metrics, run_recipe

#: Measures of one run, `<data set>_<measure>` to value.
Measures = dict[str, float]


@dataclass(frozen=True)
class Stage:
    """A training that the grid needs.

    Attributes:
        recipe: What is trained.
        output: Folder of the run.
    """

    recipe: Recipe
    output: Path


def plan_parts(recipe: Recipe, runs: Path) -> list[Stage]:
    """List the runs that a recipe starts from and that are not there, in order.

    Args:
        recipe: The recipe.
        runs: Folder of the runs.

    Returns:
        What has to be trained first, those that others start from before them. What is no recipe
        of the package is not listed.
    """
    stages: list[Stage] = []
    for source in recipe.start_from.values():
        if source in recipe_names() and not weights_file(runs / source).is_file():
            part = load_recipe(source)
            stages += [*plan_parts(part, runs), Stage(part, runs / source)]
    return list({stage.output: stage for stage in stages}.values())


def check_rows(rows: Sequence[str], known: Collection[str]) -> None:
    """Refuse a row that there is not.

    Args:
        rows: Names of rows.
        known: All that there are.

    Raises:
        TrainingError: If one is unknown.
    """
    unknown = [name for name in rows if name not in known]
    if unknown:
        raise TrainingError(f"there is no row {unknown[0]!r}; there are {', '.join(known)}.")


def plan_grid(rows: Mapping[str, Recipe], seeds: int, runs: Path) -> dict[str, list[Stage]]:
    """List the runs of every row.

    Args:
        rows: Name of a row to its recipe.
        seeds: How often each is run, with the seeds from 0.
        runs: Folder of the runs.

    Returns:
        Name of the row to its runs, one for each seed.
    """
    return {
        name: [_plan_run(recipe, seed, runs) for seed in range(seeds)]
        for name, recipe in rows.items()
    }


def train_grid(
    grid: Mapping[str, list[Stage]],
    data: Path,
    on_stage: Callable[[Stage, int, int], None],
    feature_cache: Path | None = None,
) -> dict[str, list[Measures]]:
    """Train what is missing; a run that was stopped goes on where it stopped.

    All rows are trained with one seed before any is with the next, so that a grid that is stopped
    holds a whole table of fewer seeds.

    Args:
        grid: Name of a row to its runs, as many for each.
        data: Folder of the data sets.
        on_stage: Called before a training begins, with its number from 1 and how many there are.
        feature_cache: As for `run_recipe`.

    Returns:
        Name of the row to the measures of its runs.

    Raises:
        TrainingError: If a folder holds a run of another recipe.
    """
    stages = [stage for seed in zip(*grid.values(), strict=True) for stage in seed]
    parts = {
        part.output: part
        for stage in stages
        for part in plan_parts(stage.recipe, stage.output.parent)
    }
    missing = [stage for stage in stages if read_metrics(stage.output, stage.recipe) is None]
    todo = [*parts.values(), *missing] if missing else []
    for number, stage in enumerate(todo, start=1):
        on_stage(stage, number, len(todo))
        run_recipe(stage.recipe, stage.output, data, feature_cache)
    return {name: [_measures(stage) for stage in runs] for name, runs in grid.items()}


def _plan_run(recipe: Recipe, seed: int, runs: Path) -> Stage:
    seeded = replace(seed_recipe(recipe, seed), name=f"{recipe.name}_{seed}")
    return Stage(seeded, runs / seeded.name)


def _measures(stage: Stage) -> Measures:
    found = read_metrics(stage.output, stage.recipe) or {}
    return {name.removeprefix("eval_"): value for name, value in found.items()}
