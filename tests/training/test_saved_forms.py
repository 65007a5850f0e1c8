"""A run that saves its trained weights only is the same model as one that saves all weights."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from avseg.checkpoints import find_checkpoint
from avseg.checkpoints.exporting import export_checkpoint
from avseg.checkpoints.loading import Memory, load_checkpoint
from avseg.checkpoints.model_folder import file_sha256
from avseg.cli.main import app, run
from avseg.datasets import AVSBench
from avseg.errors import CheckpointError
from avseg.segmenter import load_segmenter
from avseg.training.recipe import Recipe
from avseg.training.run import run_recipe
from avseg.training.trainer import find_frozen
from tests.training import tiny
from tests.training.tasks.test_baselines import SAMA, TPAVI
from tests.training.test_run import SAVING, assert_same_weights, stop_after

#: Files of the runs that the bridge starts from.
PARTS = ("clip", "clap", "segmenter")


def train(recipe: Recipe, folder: Path, data: Path, save: str, **start_from: str) -> Path:
    recipe = replace(recipe, save=save, start_from=start_from or recipe.start_from)
    run_recipe(recipe, folder, data)
    return folder


def state_of(folder: Path, memory: Memory = "normal") -> dict[str, Tensor]:
    model, _ = load_checkpoint(find_checkpoint(folder), memory)
    return model.state_dict()


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor], atol: float = 0) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        torch.testing.assert_close(other[name], values, atol=atol, rtol=0, msg=name)


def files_of(folder: Path) -> set[str]:
    """Return the files of the frozen parts that a run refers to."""
    with safe_open(folder / "trained.safetensors", "pt") as file:
        return {part["path"] for part in json.loads(file.metadata()["frozen_parts"])}


@pytest.fixture(scope="module")
def whole(runs: Path, data: Path) -> Path:
    """A run of AV2T-SAM that saves all weights."""
    return train(tiny.BRIDGE, runs / "saved_whole", data, "whole")


@pytest.fixture(scope="module")
def trained(runs: Path, data: Path) -> Path:
    """A run of the same recipe that saves its trained weights only."""
    return train(tiny.BRIDGE, runs / "saved_trained", data, "trained")


@pytest.fixture
def moved(runs: Path, trained: Path, tmp_path: Path) -> Path:
    """That run and the runs that it started from, copied to another folder."""
    for name in (*PARTS, trained.name):
        shutil.copytree(runs / name, tmp_path / "moved" / name)
    change_paths(tmp_path / "moved" / trained.name, str(runs), str(tmp_path / "gone"))
    return tmp_path / "moved" / trained.name


def change_paths(folder: Path, before: str, after: str) -> None:
    """Change the paths of the files that a run refers to."""
    path = folder / "trained.safetensors"
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    metadata["frozen_parts"] = metadata["frozen_parts"].replace(before, after)
    save_file(load_file(path), path, metadata)


def test_trained_weights_are_saved_without_frozen_ones(whole: Path, trained: Path) -> None:
    frozen = find_frozen(load_checkpoint(find_checkpoint(whole))[0])
    everything = load_file(whole / "model.safetensors")
    assert load_file(trained / "trained.safetensors").keys() == everything.keys() - frozen
    assert {path.name for path in whole.iterdir()} - {"model.safetensors"} == {
        path.name for path in trained.iterdir()
    } - {"trained.safetensors"}


@pytest.mark.parametrize("memory", ["normal", "low"])
def test_both_forms_are_the_same_model(whole: Path, trained: Path, memory: Memory) -> None:
    assert_equal(state_of(trained, memory), state_of(whole, memory))


def test_both_forms_predict_the_same_masks(whole: Path, trained: Path, data: Path) -> None:
    one, other = (load_segmenter(folder, "cpu") for folder in (whole, trained))
    clip = AVSBench(data, "ms3", "val", one.processor.sample_rate)[0].clip
    first, second = one.segment_clip(clip), other.segment_clip(clip)
    np.testing.assert_array_equal(first.masks, second.masks)
    np.testing.assert_array_equal(first.scores, second.scores)


@pytest.mark.parametrize("recipe", [SAMA, TPAVI], ids=lambda recipe: recipe.name)
def test_both_forms_are_the_same_model_in_every_family(
    recipe: Recipe, runs: Path, data: Path
) -> None:
    one, other = (train(recipe, runs / f"{recipe.name}_{f}", data, f) for f in ("whole", "trained"))
    assert_equal(state_of(one), state_of(other))
    assert files_of(other) >= {str(runs / "clap" / "model.safetensors")}


def test_the_hash_of_a_model_is_that_of_its_trained_weights(trained: Path) -> None:
    assert find_checkpoint(trained).sha256() == file_sha256(trained / "trained.safetensors")


def test_parts_are_found_beside_a_run_that_moved_with_them(moved: Path, whole: Path) -> None:
    assert_equal(state_of(moved), state_of(whole))


def test_parts_are_found_in_the_users_folders_under_any_name(
    moved: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (moved.parent / "clap").rename(moved.parent / "hearing")
    (moved.parent / "clip" / "model.safetensors").rename(tmp_path / "clip.safetensors")
    places = [str(moved.parent / "hearing"), str(tmp_path / "clip.safetensors")]
    monkeypatch.setenv("AVSEG_PARTS", ":".join(places))
    assert_equal(state_of(moved), state_of(whole))


def test_the_error_of_a_missing_part_has_its_path_and_the_next_step(
    moved: Path, tmp_path: Path
) -> None:
    shutil.rmtree(moved.parent / "clap")
    with pytest.raises(CheckpointError) as error:
        load_segmenter(moved, "cpu")
    message = str(error.value)
    assert f"{moved}: clap.* is frozen" in message
    assert f"{tmp_path / 'gone' / 'clap' / 'model.safetensors'} (" in message
    assert "does not exist" in message
    assert "AVSEG_PARTS" in message


def test_the_error_of_a_changed_part_has_both_hashes(moved: Path) -> None:
    path = moved.parent / "clap" / "model.safetensors"
    before = file_sha256(path)
    weights = load_file(path)
    weights["tower.projection.linear1.weight"] += 1
    save_file(weights, path)
    with pytest.raises(CheckpointError, match="has other content now") as error:
        load_segmenter(moved, "cpu")
    assert f"(SHA-256 {file_sha256(path)}, must be {before})" in str(error.value)


def test_a_changed_configuration_is_an_error(moved: Path) -> None:
    path = moved / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"features": "clip"}))
    with pytest.raises(CheckpointError, match=r"weights that the model lacks, first clap\."):
        load_segmenter(moved, "cpu")


def test_a_stopped_run_ends_with_the_same_model(runs: Path, data: Path) -> None:
    recipe = replace(tiny.BRIDGE, trainer=tiny.BRIDGE.trainer | SAVING)
    first = train(recipe, runs / "trained_first", data, "trained")
    stop_after(first, "checkpoint-2", runs / "trained_again")
    again = train(recipe, runs / "trained_again", data, "trained")
    assert_equal(state_of(first), state_of(again))
    starts = json.loads((again / "environment.json").read_text())
    assert starts[-1]["resumed_from"] == "checkpoint-2"


@pytest.mark.parametrize(("part", "in_file"), [("model", False), ("segmenter", True)])
def test_others_start_from_either_form(
    part: str, in_file: bool, runs: Path, data: Path, whole: Path, trained: Path
) -> None:
    sources = {"clip": "clip", "clap": "clap"} if part == "segmenter" else {}
    recipe = replace(tiny.BRIDGE, memory={"frozen_in_file": in_file})
    one, other = (
        train(
            recipe,
            runs / f"{run.name}_on_{part}_{in_file}",
            data,
            "trained",
            **sources,
            **{part: run.name},
        )
        for run in (whole, trained)
    )
    # Weights that stay in a file are computed with where they lie: rounding depends on the place.
    assert_equal(state_of(one), state_of(other), atol=1e-6 if in_file else 0)
    # What comes from a run that has it from elsewhere is taken from there.
    expected = {str(runs / name / "model.safetensors") for name in PARTS}
    assert files_of(other) == expected


def test_a_run_can_be_converted_to_a_whole_model(
    whole: Path, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "made_whole"
    assert run(app, ["import-checkpoint", str(trained), "-o", str(output)]) == 0
    assert "--model" in capsys.readouterr().out
    assert_same_weights(whole, output)
    assert {path.name for path in output.iterdir()} == {path.name for path in whole.iterdir()}
    assert_equal(state_of(output), state_of(whole))
    assert run(app, ["import-checkpoint", str(trained), "-o", str(output)]) == 1


def test_a_run_is_converted_without_files_of_its_parts(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(trained), str(trained.parent / "clap" / "model.safetensors")]
    assert run(app, ["import-checkpoint", *files, "-o", str(tmp_path / "out")]) == 1
    assert "give no other file, and name the files of" in capsys.readouterr().err


def test_either_form_is_exported_as_the_authors_publish_it(
    whole: Path, trained: Path, tmp_path: Path
) -> None:
    for folder in (whole, trained):
        export_checkpoint(folder, tmp_path / f"{folder.name}.safetensors")
    one, other = (load_file(path) for path in sorted(tmp_path.iterdir()))
    assert_equal(one, other)


def test_the_other_form_of_an_earlier_start_is_removed(runs: Path, data: Path) -> None:
    folder = runs / "two_forms"
    for save, left in (("whole", "model"), ("trained", "trained")):
        train(tiny.BRIDGE, folder, data, save)
        assert [path.stem for path in folder.glob("*.safetensors")] == [left]


def test_a_model_whose_frozen_weights_are_in_no_file_is_saved_whole(runs: Path, data: Path) -> None:
    folder = train(replace(tiny.BRIDGE, start_from={}), runs / "from_nothing", data, "trained")
    assert load_segmenter(folder, "cpu").name == "from_nothing"
    assert (folder / "model.safetensors").exists()


def test_frozen_weights_that_are_in_no_file_are_saved(runs: Path, data: Path) -> None:
    folder = train(tiny.BRIDGE, runs / "random_clip", data, "trained", clap="clap")
    kept = load_file(folder / "trained.safetensors")
    assert any(name.startswith("clip.") for name in kept)
    assert not any(name.startswith("clap.") for name in kept)
    assert load_segmenter(folder, "cpu").name == "random_clip"


def test_a_text_prompted_run_with_frozen_encoders_saves_its_model(runs: Path) -> None:
    options = tiny.SEGMENTER.data | {"learn_encoders": False}
    recipe = replace(
        tiny.SEGMENTER, data=options, start_from={"model": "segmenter"}, save="trained"
    )
    run_recipe(recipe, runs / "frozen_encoders")
    own = load_file(runs / "frozen_encoders" / "trained.safetensors")
    model = load_file(runs / "frozen_encoders" / "evf_sam" / "model.safetensors")
    assert own.keys() < load_file(runs / "segmenter" / "model.safetensors").keys()
    assert model.keys() - own.keys()
