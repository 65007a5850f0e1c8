"""`avseg train`: train a model from a recipe."""

import logging
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

Seed = Annotated[int, Parameter(validator=validators.Number(gte=0))]
Settings = Annotated[tuple[str, ...], Parameter(name="--set", negative="", show_default=False)]


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
    """Train a model from a recipe; the same command resumes a run that was stopped.

    To train with several processes: torchrun --nproc_per_node 2 -m avseg train RECIPE.

    Args:
        recipe: Name of a recipe in the package, or path of a YAML file.
        output: Folder of the run, runs/NAME by default. Runs named in the recipe's start_from are
            searched in the same parent folder.
        data: Folder of the data sets, for recipes that read data sets.
        seed: Seed of the training, and of the training data that a recipe synthesises; by default
            the seed in the recipe.
        set_: Option of the recipe to change, such as trainer.max_steps=10; may be repeated.
        feature_cache: Folder that stores the features of frozen parts of the model for later runs;
            by default in avseg's own cache. "none" keeps the features in memory.
        print_config: Print the validated recipe, defaults included, and stop.
    """
    from avseg.training.recipe import load_recipe
    from avseg.training.run import default_output, is_first_process, leave_process_group
    from avseg.training.run import train as train_recipe
    from avseg.training.validation import validate

    if print_config:
        # Without folders: `start_from` and the data sets are not looked up, nothing is downloaded.
        plan = validate(load_recipe(recipe, changes=set_, seed=seed))
        print(plan.as_recipe().to_yaml(), end="")
        return
    logging.basicConfig(format="%(message)s")
    # INFO shows the progress of long steps, such as the computation of features.
    logging.getLogger("avseg").setLevel(logging.INFO)
    folder = default_output(recipe) if output is None else output
    metrics = train_recipe(
        recipe, output=folder, data=data, seed=seed, changes=set_, feature_cache=feature_cache
    )
    leave_process_group()
    # All processes get the same scores; only the first one prints them.
    if not is_first_process():
        return
    print(f"{folder}: trained")
    for name, value in metrics.items():
        print(f"  {name.removeprefix('eval_')}: {value:.4f}")
