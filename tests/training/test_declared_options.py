"""Options that are read from a class's source code instead of importing it."""

from dataclasses import fields
from typing import Any

import pytest
from transformers import TrainingArguments

from avseg.backbones.config import own_options
from avseg.training.declared_options import DeclaredClass
from avseg.training.tasks.options import TASKS, TaskOptions

TRAINER = DeclaredClass.find("transformers.training_args", "TrainingArguments")


def test_the_options_of_the_trainer_are_those_of_the_imported_class() -> None:
    assert set(TRAINER.options) == {f.name for f in fields(TrainingArguments) if f.init}


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_the_options_of_a_model_are_those_of_the_imported_class(task: type[TaskOptions]) -> None:
    config_class = task.config_class()
    assert f"type[{config_class.__name__}]" == task.config_class.__annotations__["return"]
    declared = DeclaredClass.find(task.__module__, config_class.__name__)
    assert list(declared.options) == own_options(config_class)
    assert declared.model_type == config_class.model_type


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_the_backbones_of_a_model_are_those_of_the_imported_class(task: type[TaskOptions]) -> None:
    config_class = task.config_class()
    declared = DeclaredClass.find(config_class.__module__, config_class.__name__)
    small = config_class.tiny()
    for option in declared.options:
        inner = declared.class_of(option, ("tiny_options", "sub_configs_defaults"))
        if inner is not None:
            assert inner.node.name == type(getattr(small, option)).__name__


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("max_steps", 3, None),
        ("max_steps", "3", "a number"),
        ("learning_rate", 1, None),
        ("bf16", 1, "true or false"),
        ("metric_for_best_model", None, None),
        ("metric_for_best_model", 3, "a text or null"),
        ("eval_strategy", "steps", None),
        ("eval_strategy", False, "one of no, steps, epoch"),
        ("lr_scheduler_kwargs", {"min_lr": 0.0}, None),
        ("lr_scheduler_kwargs", 3, "a mapping of options or a text or null"),
        ("report_to", ["tensorboard"], None),
    ],
)
def test_a_value_is_compared_with_the_annotation(
    option: str, value: Any, expected: str | None
) -> None:
    assert TRAINER.expected(option, value) == expected


@pytest.mark.parametrize("module", ["avseg.errors", "no_such_package"])
def test_a_class_that_does_not_exist_is_an_error(module: str) -> None:
    with pytest.raises(LookupError, match=r"there is no package|has no class Config"):
        DeclaredClass.find(module, "Config")
