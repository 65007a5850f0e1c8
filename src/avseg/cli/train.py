"""`avseg train`: run a recipe."""

import logging
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

from avseg.checkpoints.cache import cache_folder

Seed = Annotated[int, Parameter(validator=validators.Number(gte=0))]
Settings = Annotated[tuple[str, ...], Parameter(name="--set", negative="")]


def train(  # noqa: PLR0913 - one argument for each option of the command
    recipe: str,
    *,
    output: Path | None = None,
    data: Path | None = None,
    seed: Seed | None = None,
    set_: Settings = (),
    feature_cache: Path | None = None,
    print_config: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Train a model from a recipe; the same command goes on where a run was stopped.

    With several processes: torchrun --nproc_per_node 2 -m avseg train RECIPE.

    Args:
        recipe: Name of a recipe in the package, or path of a YAML file.
        output: Folder of the run, runs/NAME by default. Runs that the recipe starts from are
            looked for beside it.
        data: Folder of the data sets, for recipes that read some.
        seed: Of the training, and of the data if the recipe draws them.
        set_: An option of the recipe to change, such as trainer.max_steps=10; may be repeated.
        feature_cache: Folder that keeps what frozen parts of the model say of the data, for every
            run that asks again; by default in avseg's own cache. "none" keeps it in memory.
        print_config: Show the recipe as it would be run, defaults included, and stop.
    """
    from avseg.training.recipe import change_recipe, load_recipe, seed_recipe

    resolved = change_recipe(load_recipe(recipe), set_)
    if seed is not None:
        resolved = seed_recipe(resolved, seed)
    if print_config:
        from avseg.training.validation import resolve_recipe  # torch and transformers

        print(resolve_recipe(resolved).to_yaml(), end="")
        return
    from avseg.training.run import is_first_process, run_recipe

    logging.basicConfig(format="%(message)s")
    logging.getLogger("avseg").setLevel(logging.INFO)  # long work says how far it is
    folder = Path("runs") / resolved.name if output is None else output
    metrics = run_recipe(resolved, folder, data, _cache_folder(feature_cache))
    if not is_first_process():
        return
    print(f"{folder}: trained")
    for name, value in metrics.items():
        print(f"  {name.removeprefix('eval_')}: {value:.4f}")


def _cache_folder(chosen: Path | None) -> Path | None:
    """Find the folder of the features; None for none."""
    if chosen is None:
        return cache_folder() / "features"
    return None if chosen == Path("none") else chosen
