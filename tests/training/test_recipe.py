"""Recipes: what a file must hold, and how the command line changes it."""

from pathlib import Path

import pytest
import yaml

from avseg.errors import TrainingError
from avseg.training.parts import WHOLE
from avseg.training.recipe import (
    Recipe,
    change_recipe,
    load_recipe,
    recipe_names,
    seed_recipe,
)
from avseg.training.resolving import check_trainer_options, read_task_options
from avseg.training.tasks import TASKS
from tests.training.tiny import CLIP


def test_the_package_has_a_recipe_for_each_part_and_one_for_the_whole() -> None:
    assert recipe_names() == [
        "av2t_sam_small",
        "clap_small",
        "clip_small",
        "evf_sam_small",
        "imagebind_small",
        "mask_decoder_small",
        "sam2_small",
        "sama_small",
        "tpavi_small",
    ]


@pytest.mark.parametrize("name", recipe_names())
def test_a_packaged_recipe_has_only_options_that_exist(name: str) -> None:
    recipe = load_recipe(name)
    read_task_options(recipe)
    check_trainer_options(recipe)
    task = TASKS[recipe.task]
    task.config_class.tiny(**recipe.model)
    assert set(recipe.start_from) <= {WHOLE, *task.part_prefixes}
    assert set(recipe.start_from.values()) <= set(recipe_names())


def test_a_recipe_can_be_written_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "clip.yaml"
    path.write_text(CLIP.to_yaml())
    assert load_recipe(str(path)) == CLIP


def test_an_unknown_recipe_is_refused_with_the_known_ones() -> None:
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
    ],
)
def test_a_file_that_is_no_recipe_is_refused(text: str, message: str, tmp_path: Path) -> None:
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


def test_deep_settings_leave_their_neighbours_and_the_recipe_alone() -> None:
    changed = change_recipe(CLIP, ["model.clip_config.dim=48"])
    assert changed.model["clip_config"] == CLIP.model["clip_config"] | {"dim": 48}
    assert CLIP.model["clip_config"]["dim"] == 32


@pytest.mark.parametrize(
    "setting",
    ["max_steps=10", "trainer.max_steps", "trainers.max_steps=10", "trainer.=1", "trainer=1"],
)
def test_a_setting_of_another_form_is_refused_with_an_example(setting: str) -> None:
    with pytest.raises(TrainingError, match=r"SECTION.OPTION=VALUE .* trainer.max_steps=10"):
        change_recipe(CLIP, [setting])


def test_an_option_below_a_plain_value_is_refused() -> None:
    with pytest.raises(TrainingError, match="size is 40 and has no options of its own"):
        change_recipe(CLIP, ["data.size.large=1"])


def test_a_seed_is_of_the_training_and_of_drawn_data() -> None:
    seeded = seed_recipe(CLIP, 7)
    assert (seeded.trainer["seed"], seeded.data["seed"]) == (7, 7)


def test_data_that_are_not_drawn_get_no_seed() -> None:
    assert "seed" not in seed_recipe(load_recipe("av2t_sam_small"), 7).data


def test_what_is_shown_of_a_recipe_is_yaml_without_empty_sections() -> None:
    assert set(yaml.safe_load(CLIP.to_yaml())) == {"task", "data", "trainer", "sizes", "model"}
