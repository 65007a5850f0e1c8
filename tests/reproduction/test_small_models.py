"""The small models' whole training: order of the runs, seeds, resumption, tables."""

from pathlib import Path

import pytest

from avseg.reproduction import small_models
from avseg.reproduction.small_models import (
    Evaluation,
    plan_evaluations,
    plan_runs,
    reproduce_small_models,
)
from avseg.training.recipe import load_recipe, recipe_names
from tests.training import tiny


def test_each_run_comes_after_the_runs_from_which_it_starts(tmp_path: Path) -> None:
    done: list[str] = []
    for run in plan_runs(tmp_path):
        assert set(run.recipe.start_from.values()) <= set(done)
        assert run.output == tmp_path / run.recipe.name
        done.append(run.recipe.name)
    assert {"av2t_sam_small", "tavis_small"} <= set(done) <= set(recipe_names())
    assert len(done) == len(set(done))


def test_seed_0_runs_the_recipes_as_they_are(tmp_path: Path) -> None:
    for run in plan_runs(tmp_path, seed=0):
        assert run.recipe == load_recipe(run.recipe.name)


def test_another_seed_is_added_to_that_of_each_recipe(tmp_path: Path) -> None:
    for run in plan_runs(tmp_path, seed=100):
        own = load_recipe(run.recipe.name)
        assert run.recipe.trainer["seed"] == own.trainer["seed"] + 100


def test_a_trial_shortens_every_run(tmp_path: Path) -> None:
    assert {run.recipe.trainer["max_steps"] for run in plan_runs(tmp_path, steps=2)} == {2}


def test_both_models_are_tested_on_both_versions_in_all_splits() -> None:
    assert len({evaluation.name for evaluation in plan_evaluations()}) == 2 * 2 * 2 * 2


@pytest.fixture
def tiny_chain(monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
    """Replace the chain by CLIP, CLAP, segmenter and bridge of the tests, and one evaluation."""
    recipes = {r.name: r for r in (tiny.CLIP, tiny.CLAP, tiny.SEGMENTER, tiny.BRIDGE)}
    evaluation = Evaluation("av2t-sam-small", 2, "s4", "test")
    monkeypatch.setattr(small_models, "MODELS", {"av2t-sam-small": tiny.BRIDGE.name})
    monkeypatch.setattr(small_models, "load_recipe", recipes.__getitem__)
    monkeypatch.setattr(small_models, "recipe_names", lambda: list(recipes))
    monkeypatch.setattr(small_models, "draw_data", lambda *_: data)
    monkeypatch.setattr(small_models, "plan_evaluations", lambda: [evaluation])


@pytest.mark.usefixtures("tiny_chain")
def test_the_chain_trains_packages_and_measures_and_continues_after_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages: list[str] = []

    def stop_before_evaluation(stage: str, *_: int) -> None:
        stages.append(stage)
        if stage.startswith("evaluate"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reproduce_small_models(tmp_path, on_stage=stop_before_evaluation)
    assert [stage.split()[0] for stage in stages] == [
        *["synthesize"] * 2,
        *["train"] * 4,
        "evaluate",
    ]
    weights = tmp_path / "av2t-sam-small" / "model.safetensors"
    before = weights.read_bytes()
    path = reproduce_small_models(tmp_path)
    assert weights.read_bytes() == before
    rows = [line for line in path.read_text().splitlines() if line.startswith("| ")]
    assert any(row.startswith("| av2t-sam-small | version 2 | s4, unseen art ") for row in rows)
    bridge = next(row for row in rows if row.startswith(f"| {tiny.BRIDGE.name} | "))
    assert "ms3_val_j" in bridge
    # A finished evaluation is read again instead of repeated.
    monkeypatch.setattr(small_models, "evaluate", lambda *_, **__: pytest.fail("repeated"))
    assert reproduce_small_models(tmp_path).read_text() == path.read_text()
