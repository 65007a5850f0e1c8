"""Reproduction of a paper: data, training runs, tables and tested claims."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

from avseg.checkpoints.cache import cache_folder
from avseg.reproduction.av2t_sam import Av2tSamTables
from avseg.reproduction.benchmark import draw_data, measure_baselines
from avseg.reproduction.claims import Reproduction
from avseg.reproduction.runs import PlannedRun, check_rows, plan_runs, train_runs
from avseg.reproduction.tavis import TavisTables
from avseg.training.recipe import Recipe, load_recipe

#: Name of each paper -> class of its tables and claims.
PAPERS: dict[str, type[Reproduction]] = {
    tables.paper: tables for tables in (Av2tSamTables, TavisTables)
}


def reproduce(  # noqa: PLR0913 - one argument for each option of the command
    paper: str,
    *,
    output: str | PathLike[str] = "runs",
    data: str | PathLike[str] | None = None,
    seeds: int = 3,
    steps: int | None = None,
    rows: Sequence[str] | None = None,
    recipe: Recipe | None = None,
    feature_cache: str | PathLike[str] | None = None,
    on_run: Callable[[PlannedRun, int, int], object] = lambda *_: None,
) -> Reproduction:
    """Train and evaluate the rows of a paper's tables; the same call resumes after a stop.

    Args:
        paper: "av2t-sam" or "tavis".
        output: Folder of the runs, and of PAPER.md and PAPER.json. The small model starts from
            other runs, which are trained first if they are missing; they take many times as long as
            one row.
        data: Folder with SynthAVS's s4 and ms3; None to synthesise them in `output`.
        seeds: Number of runs for each row.
        steps: Training steps of each run; None for the number in the recipe.
        rows: Names of rows; None for all.
        recipe: Recipe of the small model; None for the one in the package.
        feature_cache: Folder that stores the features of frozen parts for later runs; None for a
            folder in avseg's cache, "none" to keep the features in memory.
        on_run: Called before each training with the run, its number from 1 and the total.

    Returns:
        The measures, tables and tested claims.

    Raises:
        DatasetError: If a data set is missing.
        OutputError: If a file cannot be written.
        TrainingError: If there is no row of a name, a recipe or its options are wrong, or a folder
            contains a run of another recipe.
        ValueError: If there is no paper of that name.
    """
    if paper not in PAPERS:
        raise ValueError(f"there is no paper {paper!r}; choose from {', '.join(PAPERS)}.")
    tables, folder = PAPERS[paper], Path(output)
    rows = tables.row_names if rows is None else rows
    check_rows(rows, tables.row_names)
    tables.check_folder(folder)
    recipe = recipe or load_recipe(tables.recipe_name)
    if steps is not None:  # as an option of the recipe: runs of another length are not reused
        recipe = replace(recipe, trainer=recipe.trainer | {"max_steps": steps})
    cache = cache_folder() / "features" if feature_cache is None else Path(feature_cache)

    # Planned first, so that a wrong row fails before the data are synthesised, which takes minutes.
    planned = plan_runs({row: tables.vary(recipe, row) for row in rows}, seeds, folder)
    data_folder = draw_data(folder / "data") if data is None else Path(data)
    measures = measure_baselines(data_folder)
    measures |= train_runs(
        planned, data_folder, on_run, None if str(feature_cache) == "none" else cache
    )
    reproduction = tables(measures, recipe.trainer["max_steps"])
    reproduction.save(folder)
    return reproduction
