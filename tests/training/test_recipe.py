"""Recipes: the keys of a file, and how the command line changes them."""

import math
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from avseg.checkpoints.known_models import RELEASES, TOWER_FILES
from avseg.checkpoints.manual_models import MANUAL_MODELS
from avseg.errors import TrainingError
from avseg.training.parts import WHOLE
from avseg.training.recipe import (
    Recipe,
    change_recipe,
    load_recipe,
    recipe_names,
    seed_recipe,
)
from avseg.training.tasks.options import TASKS
from avseg.training.validation import validate
from tests.training.tiny import CLIP

#: What a recipe may start from besides runs.
PUBLISHED = {*RELEASES, *TOWER_FILES, *MANUAL_MODELS}

#: Recipes of the rows of AV2T-SAM's tables.
AV2T_SAM = [f"av2t_sam{sam}_{subset}" for sam in (1, 2) for subset in ("ms3", "s4")]


def test_the_package_has_a_recipe_for_each_task_and_each_backbone_and_subset_of_the_paper() -> None:
    assert {load_recipe(name).task for name in recipe_names()} == set(TASKS)
    assert set(AV2T_SAM) <= set(recipe_names())


@pytest.mark.parametrize("name", recipe_names())
def test_a_packaged_recipe_has_only_options_that_exist(name: str) -> None:
    recipe = load_recipe(name)
    validate(recipe)
    assert set(recipe.start_from) <= {WHOLE, *TASKS[recipe.task].part_prefixes}
    assert set(recipe.start_from.values()) <= PUBLISHED | set(recipe_names())


@pytest.mark.parametrize("name", recipe_names())
def test_a_plan_written_as_a_recipe_gives_the_same_plan(name: str, tmp_path: Path) -> None:
    shown = validate(load_recipe(name)).as_recipe()
    path = tmp_path / f"{name}.yaml"
    path.write_text(shown.to_yaml())
    assert validate(load_recipe(str(path))).as_recipe() == shown
    assert {"warmup_steps", "adam_beta2"} <= shown.trainer.keys()


@pytest.mark.parametrize("features", ["clip", "clap", "mul"])
@pytest.mark.parametrize("adapters", ["true", "false"])
@pytest.mark.parametrize("name", AV2T_SAM)
def test_each_row_of_the_papers_tables_is_a_recipe_with_changes(
    name: str, adapters: str, features: str
) -> None:
    settings = [f"model.features={features}", f"model.adapters={adapters}"]
    shown = validate(change_recipe(load_recipe(name), settings)).as_recipe()
    assert (shown.model["features"], shown.model["adapters"]) == (features, adapters == "true")
    assert shown.model["sam_config"]["image_size"] == 1024
    assert shown.model["sam_config"]["model_type"] == f"avseg-prompted-sam{name[8]}"
    subset = name.rpartition("_")[2]
    assert shown.data["train"] == [f"{subset}/train"]
    assert shown.trainer["metric_for_best_model"] == f"{subset}_val_j"
    options = ("num_train_epochs", "learning_rate", "lr_scheduler_type", "lr_scheduler_kwargs")
    assert [shown.trainer[option] for option in options] == [
        40,
        2e-4,
        "cosine_with_min_lr",
        {"min_lr": 1e-7},
    ]
    frames_of_a_clip = {"s4": 1, "ms3": 5}[subset]
    batch = ("per_device_train_batch_size", "gradient_accumulation_steps")
    assert math.prod(shown.trainer[option] for option in batch) == 8 * frames_of_a_clip


def test_a_recipe_inherits_the_options_of_the_recipe_that_it_extends(tmp_path: Path) -> None:
    path = tmp_path / "longer.yaml"
    path.write_text("extends: clip_small\ntrainer: {max_steps: 9}\nmodel: {clip_config: {dim: 80}}")
    base, longer = load_recipe("clip_small"), load_recipe(str(path))
    assert longer.trainer == base.trainer | {"max_steps": 9}
    assert (longer.data, longer.model) == (base.data, {"clip_config": {"dim": 80}})


def test_a_recipe_that_extends_itself_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "round.yaml"
    path.write_text(f"extends: {path}")
    with pytest.raises(TrainingError, match="extends itself"):
        load_recipe(str(path))


def test_a_recipe_can_be_written_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "clip.yaml"
    path.write_text(CLIP.to_yaml())
    assert load_recipe(str(path)) == CLIP


def test_the_error_of_an_unknown_recipe_lists_the_known_ones() -> None:
    with pytest.raises(TrainingError, match=r"no recipe 'clipsmall'.*clap_small, clip_small"):
        load_recipe("clipsmall")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task: image-text\ndata: {}", "must have task, data, trainer .* it has task, data"),
        ("task: a\ndata: {}\ntrainer: {}\nmodels: {}", "it has task, data, trainer, models"),
        ("task: a\ndata: 3\ntrainer: {}", "data must be a mapping of options, got 3"),
        ("[1, 2]", r"it has \[1, 2\]"),
        ("task: [", "is not YAML"),
        ("[" * 50_000, "is nested too deeply"),
        (
            "\n".join(
                [
                    "a: &a [1, 1]",
                    *(f"{b}: &{b} [*{a}, *{a}]" for a, b in pairwise("abcdefghijklmnopqrst")),
                ]
            ),
            "of 4194301 values, at most 10000",
        ),
        ("task: &a [*a]", "is not YAML"),
        ("task: 2020-13-45", "is not YAML"),
    ],
)
def test_a_file_that_is_not_a_recipe_is_an_error(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(TrainingError, match=message):
        load_recipe(str(path))


@pytest.mark.parametrize(
    ("setting", "section", "options"),
    [
        ("trainer.max_steps=10", "trainer", {"max_steps": 10}),
        ("trainer.learning_rate=5e-4", "trainer", {"learning_rate": 5e-4}),
        ("trainer.bf16=false", "trainer", {"bf16": False}),
        ("data.train=[s4/train, ms3/train]", "data", {"train": ["s4/train", "ms3/train"]}),
        ("model.features=clap", "model", {"features": "clap"}),
        ("model.clip_config.dim=64", "model", {"clip_config": {"dim": 64}}),
        ("start_from.clip=runs/a=b", "start_from", {"clip": "runs/a=b"}),
    ],
)
def test_a_setting_changes_one_option(
    setting: str, section: str, options: dict[str, object]
) -> None:
    recipe = Recipe(name="empty", task="image-text", data={}, trainer={})
    assert getattr(change_recipe(recipe, [setting]), section) == options
    assert getattr(recipe, section) == {}


def test_a_nested_setting_changes_neither_other_options_nor_the_recipe() -> None:
    changed = change_recipe(CLIP, ["model.clip_config.dim=48"])
    assert changed.model["clip_config"] == CLIP.model["clip_config"] | {"dim": 48}
    assert CLIP.model["clip_config"]["dim"] == 32


def test_the_saved_weights_depend_on_sizes_and_save() -> None:
    assert validate(load_recipe("sama_small")).save == "whole"
    assert validate(load_recipe("av2t_sam2_s4")).save == "trained"
    changed = change_recipe(load_recipe("av2t_sam2_s4"), ["save=whole"])
    assert validate(changed).save == "whole"


@pytest.mark.parametrize(
    "setting",
    ["max_steps=10", "trainer.max_steps", "trainers.max_steps=10", "trainer.=1", "trainer=1"],
)
def test_the_error_of_a_malformed_setting_has_an_example(setting: str) -> None:
    with pytest.raises(TrainingError, match=r"SECTION.OPTION=VALUE .* trainer.max_steps=10"):
        change_recipe(CLIP, [setting])


def test_an_option_inside_a_plain_value_is_an_error() -> None:
    with pytest.raises(TrainingError, match="size is 40 and has no options of its own"):
        change_recipe(CLIP, ["data.size.large=1"])


def test_a_seed_is_set_for_the_training_and_for_drawn_data() -> None:
    seeded = seed_recipe(CLIP, 7)
    assert (seeded.trainer["seed"], seeded.data["seed"]) == (7, 7)


def test_data_sets_get_no_seed() -> None:
    assert "seed" not in seed_recipe(load_recipe("av2t_sam_small"), 7).data


def test_a_recipe_is_written_without_empty_sections() -> None:
    assert set(yaml.safe_load(CLIP.to_yaml())) == {"task", "data", "trainer", "sizes", "model"}
