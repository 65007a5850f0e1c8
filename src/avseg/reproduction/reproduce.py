"""A paper's tables in small, from the first clip drawn to the last row measured."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from avseg.reproduction.benchmark import draw_data, measure_baselines
from avseg.reproduction.claims import Reproduction
from avseg.reproduction.grid import Stage, check_rows, plan_grid, train_grid
from avseg.training.recipe import Recipe, load_recipe

Tables = TypeVar("Tables", bound=Reproduction)


def reproduce(  # noqa: PLR0913 - one argument for each option of the command
    tables: type[Tables],
    output: Path,
    data: Path | None = None,
    *,
    rows: Sequence[str] | None = None,
    seeds: int = 3,
    steps: int | None = None,
    recipe: Recipe | None = None,
    on_stage: Callable[[Stage, int, int], None] = lambda *_: None,
    feature_cache: Path | None = None,
) -> Tables:
    """Train and measure a paper's rows; what is there already is not done again.

    Args:
        tables: The paper's.
        output: Folder of the runs. Those that the small model starts from are made if they are not
            there, which takes many times as long as a row.
        data: Folder with SynthAVS's s4 and ms3; None to draw them into `output`.
        rows: Names of rows; None for all.
        seeds: Runs of each row.
        steps: Of each training of the grid; None for the recipe's.
        recipe: The small model's; None for the packaged one.
        on_stage: Called before a training begins, with its number from 1 and how many there are.
        feature_cache: As for `run_recipe`.

    Returns:
        What was measured, written to `output` too.

    Raises:
        TrainingError: If there is no such row, or a folder holds a run of another recipe.
        DatasetError: If a data set is not there.
    """
    rows = tables.row_names if rows is None else rows
    check_rows(rows, tables.row_names)
    recipe = recipe or load_recipe(tables.recipe_name)
    if steps is not None:
        recipe = replace(recipe, trainer=recipe.trainer | {"max_steps": steps})
    grid = plan_grid({row: tables.vary(recipe, row) for row in rows}, seeds, output)
    data = draw_data(output / "data") if data is None else data
    measured = measure_baselines(data) | train_grid(grid, data, on_stage, feature_cache)
    reproduction = tables(measured, recipe.trainer["max_steps"])
    reproduction.save(output)
    return reproduction
