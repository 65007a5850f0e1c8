"""`avseg train`: train a model from a recipe."""

import logging
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

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
    """Train a model from a recipe; the same command continues a run that was stopped.

    With several processes: torchrun --nproc_per_node 2 -m avseg train RECIPE.

    Args:
        recipe: Name of a recipe in the package, or path of a YAML file.
        output: Folder of the run, runs/NAME by default. Runs that the recipe starts from are
            looked up beside it.
        data: Folder of the data sets, for recipes that read some.
        seed: Seed of the training, and of the data if the recipe draws them.
        set_: An option of the recipe to change, such as trainer.max_steps=10; may be repeated.
        feature_cache: Folder that keeps the features which frozen parts of the model compute from
            the data, for later runs; by default in avseg's own cache. "none" keeps them in memory.
        print_config: Print the validated recipe, defaults included, and stop.
    """
    from avseg.training.recipe import load_recipe
    from avseg.training.run import default_output, is_first_process
    from avseg.training.run import train as train_recipe
    from avseg.training.validation import validate

    if print_config:
        plan = validate(load_recipe(recipe, changes=set_, seed=seed))
        print(plan.as_recipe().to_yaml(), end="")
        return
    logging.basicConfig(format="%(message)s")
    logging.getLogger("avseg").setLevel(logging.INFO)  # show the progress of long steps
    folder = default_output(recipe) if output is None else output
    metrics = train_recipe(
        recipe, output=folder, data=data, seed=seed, changes=set_, feature_cache=feature_cache
    )
    if not is_first_process():
        return
    print(f"{folder}: trained")
    for name, value in metrics.items():
        print(f"  {name.removeprefix('eval_')}: {value:.4f}")
