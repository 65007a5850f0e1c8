"""Running recipes: the files of a run, and how a stopped run continues."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import TrainerState

import avseg
from avseg.checkpoints.model_folder import file_sha256
from avseg.errors import OutputError, TrainingError
from avseg.models.av2t_sam import Av2tSamModel, Av2tSamProcessor
from avseg.segmenter import load_segmenter
from avseg.training.feature_cache import FeatureCache
from avseg.training.recipe import change_recipe
from avseg.training.run import find_checkpoint, run_recipe
from avseg.training.trainer import find_frozen
from tests.segmenters import make_video
from tests.training import tiny
from tests.training.tiny import changed


def test_a_run_writes_weights_scores_recipe_and_environment(runs: Path) -> None:
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


def test_a_text_prompted_run_saves_a_model_for_text_prompts(runs: Path, tmp_path: Path) -> None:
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


def test_av2t_sam_starts_from_the_runs_beside_it_and_can_be_loaded(runs: Path, data: Path) -> None:
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


def test_a_run_with_cached_features_trains_the_same_weights(
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


def test_a_run_can_start_from_the_whole_model_of_another_run(runs: Path) -> None:
    still = {"learning_rate": 0.0, "max_steps": 1}
    recipe = replace(changed(tiny.SEGMENTER, "trainer", **still), start_from={"model": "segmenter"})
    run_recipe(recipe, runs / "further")
    before, after = (load_file(runs / n / "model.safetensors") for n in ("segmenter", "further"))
    assert before.keys() == after.keys()
    trained = {n for n in before if not n.endswith(("running_mean", "running_var", "_tracked"))}
    assert all(torch.equal(before[n], after[n]) for n in trained)
    parts = json.loads((runs / "further" / "environment.json").read_text())[0]["parts"]
    assert parts["model"]["path"] == str(runs / "segmenter/model.safetensors")


def test_the_whole_model_of_a_run_replaces_the_other_parts(runs: Path) -> None:
    recipe = replace(tiny.SEGMENTER, start_from={"sam": "nowhere", "model": "segmenter"})
    run_recipe(recipe, runs / "in_place_of_parts")
    with pytest.raises(TrainingError, match=r"the weights \* do not fit.*trained with the same"):
        run_recipe(replace(tiny.SEGMENTER, start_from={"model": "clip"}), runs / "of_another_task")


def test_parts_that_the_features_leave_out_are_not_loaded(runs: Path, data: Path) -> None:
    recipe = change_recipe(tiny.BRIDGE, ["model.features=clap", "model.adapters=false"])
    run_recipe(recipe, runs / "clap_only", data)
    weights = load_file(runs / "clap_only" / "model.safetensors")
    assert not [name for name in weights if name.startswith(("clip.", "adapters."))]


def test_the_error_of_missing_data_explains_how_to_get_some(runs: Path) -> None:
    with pytest.raises(TrainingError, match=r"--data .*avseg data synthesize"):
        run_recipe(tiny.BRIDGE, runs / "no_data")
    assert not (runs / "no_data").exists()


def test_a_recipe_is_trained_by_its_name_or_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AVSEG_CACHE", str(tmp_path / "cache"))
    (tmp_path / "tiny.yaml").write_text(tiny.CLIP.to_yaml())
    metrics = avseg.train("tiny.yaml", seed=5, changes=["trainer.max_steps=1"])
    recorded = json.loads((tmp_path / "runs" / "tiny" / "recipe.json").read_text())
    assert recorded["trainer"]["seed"] == recorded["data"]["seed"] == 5
    assert recorded["trainer"]["max_steps"] == 1
    assert metrics == json.loads((tmp_path / "runs" / "tiny" / "metrics.json").read_text())


SAVING = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2, "weight_decay": 0.1}


def stop_after(whole: Path, checkpoint: str, stopped: Path) -> None:
    """Copy the files that a run had written when it was stopped after a checkpoint."""
    shutil.copytree(whole / checkpoint, stopped / checkpoint)
    for name in ("recipe.json", "environment.json"):
        shutil.copy(whole / name, stopped)


def test_a_stopped_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    recipe = changed(tiny.CLIP, "trainer", **SAVING)
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    run_recipe(recipe, whole)
    stop_after(whole, "checkpoint-2", resumed)
    (resumed / "checkpoint-3").mkdir()  # stopped while it was being written
    shutil.copy(whole / "checkpoint-2/model.safetensors", resumed / "checkpoint-3")

    run_recipe(recipe, resumed)
    resumed_from = json.loads((resumed / "environment.json").read_text())[-1]["resumed_from"]
    assert resumed_from == "checkpoint-2"
    assert_same_weights(whole, resumed)


def _damage_state(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | {"max_steps": "4"}))


def _save_other_shapes(path: Path) -> None:
    state = torch.load(path, weights_only=True)
    for values in state["state"].values():
        values["exp_avg"] = torch.zeros(1, 2, 3)
    torch.save(state, path)


def _write_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("model.safetensors", _write_half),
        ("optimizer.pt", _write_half),
        ("optimizer.pt", _save_other_shapes),
        ("scheduler.pt", _write_half),
        ("rng_state.pth", _write_half),
        ("trainer_state.json", _damage_state),
    ],
)
def test_a_damaged_checkpoint_is_an_error_that_names_it(
    name: str, damage: Callable[[Path], None], tmp_path: Path
) -> None:
    recipe = changed(tiny.CLIP, "trainer", **SAVING)
    run_recipe(recipe, tmp_path / "whole")
    stop_after(tmp_path / "whole", "checkpoint-2", tmp_path / "run")
    damage(tmp_path / "run" / "checkpoint-2" / name)
    with pytest.raises(TrainingError, match=r"checkpoint-2.*remove this checkpoint"):
        run_recipe(recipe, tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "text"),
    [("recipe.json", '{"name": 1, "task": 2, "data": []}'), ("environment.json", "[1]")],
)
def test_a_damaged_record_is_an_error_that_names_it(name: str, text: str, tmp_path: Path) -> None:
    recipe = changed(tiny.CLIP, "trainer", **SAVING | {"max_steps": 1})
    run_recipe(recipe, tmp_path)
    for result in ("metrics.json", "model.safetensors"):
        (tmp_path / result).unlink()
    (tmp_path / name).write_text(text)
    with pytest.raises(TrainingError, match=rf"{name}: is no re.*restore it"):
        run_recipe(recipe, tmp_path)


def hashes(folder: Path) -> dict[str, str]:
    """Return the hash of each file of a run, checkpoints included."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): file_sha256(path) for path in files}


def test_a_finished_run_is_not_trained_further(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "avseg")
    recipe = changed(tiny.CLIP, "trainer", **SAVING)
    metrics = run_recipe(recipe, tmp_path / "run")
    before = hashes(tmp_path / "run")
    assert "finished" not in caplog.text
    assert run_recipe(recipe, tmp_path / "run") == metrics
    assert hashes(tmp_path / "run") == before
    assert "run: this run is finished, its weights stay as they are" in caplog.text


@pytest.mark.parametrize("choice", ["last", "best"])
def test_a_run_stopped_after_its_last_step_is_measured_only(
    runs: Path, data: Path, choice: str
) -> None:
    recipe = changed(tiny.BRIDGE, "trainer", **SAVING)
    if choice == "best":
        best = {"load_best_model_at_end": True, "metric_for_best_model": "ms3_val_j"}
        recipe = changed(recipe, "trainer", **best, eval_strategy="steps", eval_steps=2)
    whole, stopped = runs / f"whole_{choice}", runs / f"stopped_{choice}"
    metrics = run_recipe(recipe, whole, data)
    shutil.copytree(whole, stopped)
    for name in ("metrics.json", "model.safetensors"):
        (stopped / name).unlink()
    assert run_recipe(recipe, stopped, data) == metrics
    assert file_sha256(stopped / "model.safetensors") == file_sha256(whole / "model.safetensors")


@pytest.mark.parametrize("name", ["optimizer.pt", "trainer_state.json"])
def test_a_full_disk_leaves_complete_checkpoints_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    recipe = changed(tiny.CLIP, "trainer", **SAVING)
    run_recipe(recipe, tmp_path / "whole")
    save, save_json = torch.save, TrainerState.save_to_json

    def save_half(values: object, path: str) -> None:
        if "checkpoint-4" in path and path.endswith(name):
            Path(path).write_bytes(b"half")
            raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")
        save(values, path)

    def save_half_json(state: TrainerState, path: str) -> None:
        if "checkpoint-4" in path and path.endswith(name):
            Path(path).write_bytes(b"{")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save_json(state, path)

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", save_half)
        patch.setattr(TrainerState, "save_to_json", save_half_json)
        with pytest.raises(OutputError, match=r"checkpoint-4: cannot be written"):
            run_recipe(recipe, tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        *("recipe.json", "environment.json", "checkpoint-2"),
    }
    run_recipe(recipe, tmp_path / "run")
    assert_same_weights(tmp_path / "whole", tmp_path / "run")


def test_a_full_disk_at_the_end_keeps_the_folder_without_half_a_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save_half(_: object, folder: str, **__: object) -> None:
        Path(folder, "model.safetensors").write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr("avseg.training.trainer.Trainer._save", save_half)
        with pytest.raises(OutputError, match=r"run: cannot be written \(No space left on device"):
            run_recipe(tiny.CLIP, tmp_path / "run")
    assert not (tmp_path / "run" / "model.safetensors").exists()
    run_recipe(tiny.CLIP, tmp_path / "run")
    assert (tmp_path / "run" / "metrics.json").exists()


def test_a_finished_run_without_weights_gets_them_from_its_checkpoint(tmp_path: Path) -> None:
    recipe = changed(tiny.CLIP, "trainer", **SAVING)
    run_recipe(recipe, tmp_path / "run")
    before = file_sha256(tmp_path / "run" / "model.safetensors")
    (tmp_path / "run" / "model.safetensors").unlink()
    (tmp_path / "run" / "checkpoint-copy").mkdir()
    (tmp_path / "run" / "checkpoint-copy" / "trainer_state.json").write_text("{}")
    run_recipe(recipe, tmp_path / "run")
    assert file_sha256(tmp_path / "run" / "model.safetensors") == before


def test_a_checkpoint_has_the_trainable_weights_only(runs: Path, data: Path) -> None:
    recipe = changed(tiny.BRIDGE, "trainer", **SAVING)
    whole, resumed = runs / "bridge_whole", runs / "bridge_resumed"
    run_recipe(recipe, whole, data)
    kept = load_file(whole / "checkpoint-2" / "model.safetensors").keys()
    frozen = find_frozen(Av2tSamModel.from_pretrained(whole))
    assert kept == load_file(whole / "model.safetensors").keys() - frozen

    stop_after(whole, "checkpoint-2", resumed)
    run_recipe(recipe, resumed, data)
    assert_same_weights(whole, resumed)

    stop_after(whole, "checkpoint-2", runs / "bridge_other")
    starts = json.loads((runs / "bridge_other" / "environment.json").read_text())
    starts[0]["parts"]["clap"]["sha256"] = "0" * 64
    (runs / "bridge_other" / "environment.json").write_text(json.dumps(starts))
    with pytest.raises(TrainingError, match=r"this run began with another clap than .*0{12}"):
        run_recipe(recipe, runs / "bridge_other", data)

    # A later start without a checkpoint began again, with the weights of today.
    starts = [*starts, json.loads((whole / "environment.json").read_text())[0]]
    (runs / "bridge_other" / "environment.json").write_text(json.dumps(starts))
    run_recipe(recipe, runs / "bridge_other", data)
    assert_same_weights(whole, runs / "bridge_other")


def test_the_best_checkpoint_by_validation_is_kept_and_tested_once(runs: Path, data: Path) -> None:
    best = {"eval_strategy": "steps", "eval_steps": 1, "load_best_model_at_end": True}
    steps = {"save_strategy": "steps", "save_steps": 1, "max_steps": 3, "learning_rate": 0.1}
    choice = {"metric_for_best_model": "ms3_val_loss", "report_to": "tensorboard"}
    recipe = changed(tiny.BRIDGE, "trainer", **best, **steps, **choice)
    recipe = changed(recipe, "data", tested=["ms3/test"])
    metrics = run_recipe(recipe, runs / "best", data)
    log = json.loads((runs / "best" / "trainer_state.json").read_text())["log_history"]
    losses = [entry["eval_ms3_val_loss"] for entry in log if "eval_ms3_val_loss" in entry]
    assert len(losses) == 4  # after each step, and at the end
    assert metrics["eval_ms3_val_loss"] == pytest.approx(min(losses), rel=1e-6)
    assert losses[-1] == min(losses)
    assert sum("eval_ms3_test_loss" in entry for entry in log) == 1
    assert list((runs / "best").glob("**/events.out.tfevents.*"))


@pytest.mark.parametrize(
    "settings",
    [
        ["trainer.per_device_train_batch_size=2", "trainer.gradient_accumulation_steps=2"],
        ["memory.recomputed_blocks=2"],
        ["memory.frozen_in_file=true"],
    ],
    ids=["accumulation", "recomputing", "mapping"],
)
def test_options_that_save_memory_train_the_same_weights(
    settings: list[str], runs: Path, data: Path
) -> None:
    plain = changed(tiny.BRIDGE, "trainer", per_device_train_batch_size=4, max_grad_norm=0.1)
    if not (runs / "plain").exists():
        run_recipe(plain, runs / "plain", data)
    saving = runs / f"saving_{len(list(runs.iterdir()))}"
    run_recipe(change_recipe(plain, settings), saving, data)
    one, other = (load_file(run / "model.safetensors") for run in (runs / "plain", saving))
    for name, values in one.items():
        # A sum over a batch is rounded otherwise than a sum of sums.
        torch.testing.assert_close(other[name], values, atol=1e-6, rtol=0)


@pytest.mark.slow
def test_a_killed_run_ends_with_the_same_weights(runs: Path, data: Path, tmp_path: Path) -> None:
    steps = {"max_steps": 60, "save_strategy": "steps", "save_steps": 2}
    recipe = changed(tiny.BRIDGE, "trainer", **steps)
    (tmp_path / "bridge.yaml").write_text(recipe.to_yaml())
    killed = runs / "killed"
    command = [sys.executable, "-m", "avseg", "train", str(tmp_path / "bridge.yaml")]
    with subprocess.Popen(  # noqa: S603 - our own interpreter
        [*command, "--data", str(data), "--output", str(killed)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # as here: threads add in another order
    ) as process:
        while find_checkpoint(killed) is None and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    run_recipe(recipe, killed, data)
    run_recipe(recipe, runs / "not_killed", data)
    assert_same_weights(runs / "not_killed", killed)


def assert_same_weights(one: Path, other: Path) -> None:
    first, second = (load_file(folder / "model.safetensors") for folder in (one, other))
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_a_folder_with_a_run_of_another_recipe_is_an_error(runs: Path) -> None:
    other = change_recipe(tiny.CLIP, ["trainer.max_steps=9", "data.seed=2"])
    with pytest.raises(TrainingError, match=r"data.seed 1, now 2; trainer.max_steps 2, now 9"):
        run_recipe(other, runs / "clip")


def test_a_folder_with_other_files_is_no_place_for_a_run(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text("mine")
    with pytest.raises(OutputError, match="other files than a training run"):
        run_recipe(tiny.CLIP, tmp_path)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_the_last_checkpoint_is_the_complete_one_with_the_highest_number(tmp_path: Path) -> None:
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
