"""Running recipes: what is refused before anything is built, what is left, and how it resumes."""

import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from avseg.errors import TrainingError
from avseg.models.av2t_sam import Av2tSamModel, Av2tSamProcessor
from avseg.segmenter import load_segmenter
from avseg.training.feature_cache import FeatureCache
from avseg.training.recipe import Recipe, change_recipe
from avseg.training.run import find_checkpoint, run_recipe
from tests.segmenters import make_video
from tests.training import tiny


def changed(recipe: Recipe, section: str, **options: Any) -> Recipe:
    return replace(recipe, **{section: getattr(recipe, section) | options})


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (replace(tiny.CLIP, task="image-txt"), "no task 'image-txt'; there are image-text, audio"),
        (changed(tiny.CLIP, "data", sizes=3), "data has no option 'sizes'; did you mean size"),
        (changed(tiny.CLIP, "data", prompts=3), "no option 'prompts'; there are measured_size, se"),
        (changed(tiny.CLIP, "data", size="many"), "data.size must be of type int, got 'many'"),
        (changed(tiny.BRIDGE, "data", train="s4/train"), "must be a list of names, got 's4/train'"),
        (replace(tiny.CLIP, data={"size": 4}), "data lacks seed, measured_size"),
        (changed(tiny.CLIP, "trainer", max_step=3), "no option 'max_step'; did you mean max_steps"),
        (changed(tiny.CLIP, "trainer", output_dir="x"), "'output_dir'; the run decides it"),
        (changed(tiny.CLIP, "trainer", zzz=1), "'zzz'; it takes the options of Hugging Face's"),
        (changed(tiny.CLIP, "trainer", learning_rate="5e-4"), "must be a number, got the text '5e"),
        (changed(tiny.CLIP, "trainer", lr_scheduler_type="cosin"), "trainer: .*cosin"),
        (changed(tiny.CLIP, "model", feature="clip"), "model: .*no option feature"),
        (changed(tiny.CLIP, "model", features="ears"), "(?s)model: .*ears"),
        (
            changed(tiny.CLIP, "start_from", clip="x"),
            "no option 'clip'; there are model",
        ),
        (
            changed(tiny.SEGMENTER, "start_from", clap="x"),
            "'clap'; there are model, sam, segmenter, stem",
        ),
        (changed(tiny.BRIDGE, "start_from", clip="cilp"), "no run 'cilp'.*avseg train cilp"),
    ],
)
def test_a_wrong_recipe_is_refused_before_anything_is_written(
    recipe: Recipe, message: str, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=message):
        run_recipe(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "sounds").exists()


def test_a_run_leaves_weights_measures_and_what_made_them(runs: Path) -> None:
    left = {path.name for path in (runs / "clip").iterdir()}
    assert left == {
        "model.safetensors",
        "metrics.json",
        "recipe.json",
        "environment.json",
        "trainer_state.json",
    }
    assert json.loads((runs / "clip" / "recipe.json").read_text())["data"] == tiny.CLIP.data
    start = json.loads((runs / "clip" / "environment.json").read_text())[0]
    assert start["packages"]["torch"] == torch.__version__
    assert {"commit", "device", "started"} <= set(start)
    metrics = json.loads((runs / "clip" / "metrics.json").read_text())
    assert {"eval_seen_top1", "eval_unseen_top1"} <= set(metrics)


def test_a_text_prompted_run_leaves_a_model_for_texts(runs: Path, tmp_path: Path) -> None:
    folder = runs / "segmenter" / "evf_sam"
    segmenter = load_segmenter(folder, "cpu").with_texts("a dog and a cat", "the bus")
    whole, part = (
        load_file(runs / "segmenter" / "model.safetensors"),
        load_file(folder / "model.safetensors"),
    )
    assert part.keys() == {name for name in whole if name.startswith("segmenter.")}
    assert all(torch.equal(part[name], whole[name]) for name in part)
    assert segmenter(make_video(tmp_path / "a.mp4"), 1).masks.shape == (2, 48, 64)


def test_recordings_are_kept_beside_the_runs(runs: Path) -> None:
    assert list((runs / "sounds").glob("dog_train_1x1s.npy"))


def test_the_bridge_starts_from_the_runs_beside_it_and_loads(runs: Path, data: Path) -> None:
    output = runs / "bridge"
    metrics = run_recipe(tiny.BRIDGE, output, data)
    assert {"eval_ms3_val_j", "eval_ms3_val_f"} <= set(metrics)
    model = Av2tSamModel.from_pretrained(output)
    assert Av2tSamProcessor.from_pretrained(output) == Av2tSamProcessor.from_config(model.config)
    assert load_segmenter(output).name == "bridge"

    trained, start = (
        load_file(output / "model.safetensors"),
        load_file(runs / "clap/model.safetensors"),
    )
    frozen = {name: value for name, value in trained.items() if name.startswith("clap.")}
    assert frozen
    for name, value in frozen.items():
        assert torch.equal(value, start[name.replace("clap.", "tower.", 1)])
    parts = json.loads((output / "environment.json").read_text())[0]["parts"]
    assert parts["clap"]["path"] == str(runs / "clap/model.safetensors")
    assert len(parts["clap"]["sha256"]) == 64


def test_a_run_that_finds_its_features_trains_the_same_weights(
    runs: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "features"
    run_recipe(tiny.BRIDGE, runs / "cold", data, cache)
    kept = sorted(cache.rglob("*.safetensors"))
    assert len(kept) == 2 * 5  # two towers; two clips each to train on, and one to measure
    monkeypatch.setattr(FeatureCache, "write", None)
    run_recipe(tiny.BRIDGE, runs / "warm", data, cache)
    assert_same_weights(runs / "cold", runs / "warm")
    assert sorted(cache.rglob("*.safetensors")) == kept


def test_a_run_can_go_on_from_all_that_another_trained(runs: Path) -> None:
    still = {"learning_rate": 0.0, "max_steps": 1}
    recipe = replace(changed(tiny.SEGMENTER, "trainer", **still), start_from={"model": "segmenter"})
    run_recipe(recipe, runs / "further")
    before, after = (load_file(runs / n / "model.safetensors") for n in ("segmenter", "further"))
    assert before.keys() == after.keys()
    trained = {n for n in before if not n.endswith(("running_mean", "running_var", "_tracked"))}
    assert all(torch.equal(before[n], after[n]) for n in trained)
    parts = json.loads((runs / "further" / "environment.json").read_text())[0]["parts"]
    assert parts["model"]["path"] == str(runs / "segmenter/model.safetensors")


def test_all_of_a_run_takes_the_place_of_its_parts(runs: Path) -> None:
    recipe = replace(tiny.SEGMENTER, start_from={"sam": "nowhere", "model": "segmenter"})
    run_recipe(recipe, runs / "in_place_of_parts")
    with pytest.raises(TrainingError, match=r"the weights \* do not fit.*trained with the same"):
        run_recipe(replace(tiny.SEGMENTER, start_from={"model": "clip"}), runs / "of_another_task")


def test_parts_that_the_features_leave_out_are_not_loaded(runs: Path, data: Path) -> None:
    recipe = change_recipe(tiny.BRIDGE, ["model.features=clap", "model.adapters=false"])
    run_recipe(recipe, runs / "clap_only", data)
    weights = load_file(runs / "clap_only" / "model.safetensors")
    assert not [name for name in weights if name.startswith(("clip.", "adapters."))]


def test_the_bridge_without_data_says_how_to_get_some(runs: Path) -> None:
    with pytest.raises(TrainingError, match=r"--data .*avseg data synthesize"):
        run_recipe(tiny.BRIDGE, runs / "no_data")
    assert not (runs / "no_data").exists()


def test_a_run_that_was_stopped_ends_with_the_same_weights(tmp_path: Path) -> None:
    saving = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2, "weight_decay": 0.1}
    recipe = changed(tiny.CLIP, "trainer", **saving)
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    run_recipe(recipe, whole)
    resumed.mkdir()
    shutil.copy(whole / "recipe.json", resumed)
    shutil.copytree(whole / "checkpoint-2", resumed / "checkpoint-2")
    (resumed / "checkpoint-3").mkdir()  # stopped while it was being written
    shutil.copy(whole / "checkpoint-2/model.safetensors", resumed / "checkpoint-3")

    run_recipe(recipe, resumed)
    resumed_from = json.loads((resumed / "environment.json").read_text())[0]["resumed_from"]
    assert resumed_from == "checkpoint-2"
    assert_same_weights(whole, resumed)


@pytest.mark.slow
def test_a_run_that_was_killed_ends_with_the_same_weights(tmp_path: Path) -> None:
    saving = {"max_steps": 60, "save_strategy": "steps", "save_steps": 2}
    recipe = changed(tiny.CLIP, "trainer", **saving)
    (tmp_path / "clip.yaml").write_text(recipe.to_yaml())
    killed = tmp_path / "killed"
    code = "import sys; from avseg.cli.main import main; sys.exit(main())"
    with subprocess.Popen(  # noqa: S603 - our own interpreter, code from this file
        [sys.executable, "-c", code, "train", str(tmp_path / "clip.yaml"), "--output", str(killed)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        while find_checkpoint(killed) is None and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    run_recipe(recipe, killed)
    run_recipe(recipe, tmp_path / "whole")
    assert_same_weights(tmp_path / "whole", killed)


def assert_same_weights(one: Path, other: Path) -> None:
    first, second = (load_file(folder / "model.safetensors") for folder in (one, other))
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_a_folder_with_a_run_of_another_recipe_is_refused(runs: Path) -> None:
    other = change_recipe(tiny.CLIP, ["trainer.max_steps=9", "data.seed=2"])
    with pytest.raises(TrainingError, match=r"data.seed 1, now 2; trainer.max_steps 2, now 9"):
        run_recipe(other, runs / "clip")


def test_the_last_checkpoint_is_by_number_and_complete(tmp_path: Path) -> None:
    assert find_checkpoint(tmp_path) is None
    for step, text in (
        (8, "{}"),
        (9, '{"global_step": 9}'),
        (10, '{"global_step": 10}'),
        (20, "{"),
    ):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(text)
    assert find_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
