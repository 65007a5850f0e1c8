"""Training runs of a reproduction: which runs are trained, and in which order."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from avseg.reproduction import runs
from avseg.reproduction.runs import plan_parts, plan_runs, train_runs
from avseg.training.recipe import Recipe, load_recipe
from avseg.training.run import METRICS_FILE
from tests.training import tiny


def test_parts_are_trained_before_runs_that_start_from_them(tmp_path: Path) -> None:
    order = [run.recipe.name for run in plan_parts(load_recipe("av2t_sam_small"), tmp_path)]
    assert sorted(order) == [
        "clap_small",
        "clip_small",
        "evf_sam_small",
        "evf_sam_small_256",
        "mask_decoder_small",
        "sam2_small",
    ]
    for part, needed in (("mask_decoder_small", "evf_sam_small"), ("evf_sam_small", "sam2_small")):
        assert order.index(part) > order.index(needed)


def test_a_trained_part_needs_no_parts_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "evf_sam_small_256").mkdir()
    (tmp_path / "evf_sam_small_256" / "model.safetensors").touch()
    order = [run.recipe.name for run in plan_parts(load_recipe("av2t_sam_small"), tmp_path)]
    assert order == ["clip_small", "clap_small"]


def test_starting_points_that_are_no_recipes_are_not_trained(tmp_path: Path) -> None:
    assert plan_parts(tiny.BRIDGE, tmp_path) == []


def test_only_missing_runs_are_trained_seed_by_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []

    def run_recipe(recipe: Recipe, output: Path, *_: object) -> None:
        output.mkdir()
        (output / METRICS_FILE).write_text(json.dumps({f"eval_{recipe.name}_j": 0.5}))

    monkeypatch.setattr(runs, "run_recipe", run_recipe)
    rows = {name: replace(tiny.BRIDGE, name=name, start_from={}) for name in ("one", "other")}
    planned = plan_runs(rows, 2, tmp_path)
    run_recipe(planned["one"][0].recipe, tmp_path / "one_0")
    measures = train_runs(planned, tmp_path, lambda run, *_: trained.append(run.output.name))
    assert trained == ["other_0", "one_1", "other_1"]
    assert measures == {name: [{f"{name}_{n}_j": 0.5} for n in (0, 1)] for name in rows}


def test_each_seed_has_a_run_of_its_own(tmp_path: Path) -> None:
    planned = plan_runs({"row": tiny.BRIDGE}, 2, tmp_path)["row"]
    assert [run.output.name for run in planned] == ["bridge_0", "bridge_1"]
    assert [run.recipe.trainer["seed"] for run in planned] == [0, 1]
