"""The command `avseg train`."""

import json
from pathlib import Path

import pytest
import yaml

from avseg.cli.main import app, run
from avseg.training.recipe import Recipe
from tests.training import tiny


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    """File of a recipe that trains within a second."""
    path = tmp_path / "tiny_clip.yaml"
    path.write_text(tiny.CLIP.to_yaml())
    return str(path)


def test_a_recipe_is_trained_and_its_scores_are_printed(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "runs" / "one"
    settings = ["--set", "trainer.max_steps=1", "--set", "trainer.learning_rate=5e-4"]
    assert run(app, ["train", recipe, "--output", str(output), "--seed", "5", *settings]) == 0
    shown = capsys.readouterr().out
    assert f"{output}: trained" in shown
    assert "unseen_top1: " in shown
    recorded = json.loads((output / "recipe.json").read_text())
    assert recorded["trainer"]["max_steps"] == 1
    assert recorded["trainer"]["learning_rate"] == 5e-4
    assert recorded["trainer"]["seed"] == recorded["data"]["seed"] == 5


def test_the_validated_recipe_can_be_printed_without_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["train", "clip_small", "--print-config", "--set", "trainer.max_steps=10"]
    assert run(app, arguments) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["task"] == "image-text"
    assert shown["trainer"]["max_steps"] == 10
    assert shown["model"]["clip_config"]["dim"] == 160
    assert not list(tmp_path.iterdir())


def test_without_output_a_run_goes_to_the_folder_of_its_name(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(app, ["train", recipe, "--set", "trainer.max_steps=1"]) == 0
    assert (tmp_path / "runs" / "tiny_clip" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["clipsmall"], "av2t_sam_small, clap_small, clip_small, evf_sam_small"),
        (["clip_small", "--set", "trainer.max_step=4"], "did you mean max_steps?"),
        (["clip_small", "--set", "max_steps=4"], "must be SECTION.OPTION=VALUE"),
        (["av2t_sam_small", "--data", "data"], "avseg train clip_small --output"),
    ],
)
def test_a_mistake_is_reported_before_anything_is_written(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(app, ["train", *arguments, "--output", str(tmp_path / "run")]) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "folder"),
    [([], "cache/features"), (["--feature-cache", "there"], "there")],
)
def test_features_are_cached_in_avsegs_cache_or_in_the_given_folder(
    arguments: list[str],
    folder: str,
    recipe: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert _feature_cache([recipe, *arguments], tmp_path, monkeypatch) == tmp_path / folder


def test_features_can_be_kept_in_memory(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _feature_cache([recipe, "--feature-cache", "none"], tmp_path, monkeypatch) is None


def _feature_cache(
    arguments: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Path | None:
    """Return the folder in which a command would cache features."""
    chosen: list[Path | None] = []

    def run_recipe(_: Recipe, __: Path, ___: Path | None, cache: Path | None) -> dict[str, float]:
        chosen.append(cache if cache is None else folder / cache)
        return {}

    monkeypatch.setenv("AVSEG_CACHE", str(folder / "cache"))
    monkeypatch.setattr("avseg.training.run.run_recipe", run_recipe)
    assert run(app, ["train", *arguments]) == 0
    return chosen[0]


def test_a_negative_seed_is_a_usage_error() -> None:
    assert run(app, ["train", "clip_small", "--seed", "-1", "--print-config"]) == 2
