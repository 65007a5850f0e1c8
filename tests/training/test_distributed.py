"""Training in several processes: the same scores as in one process, and one of them writes."""

import json
import multiprocessing
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import PartialState
from accelerate.state import AcceleratorState
from safetensors.torch import load_file

from avseg.training.recipe import Recipe, change_recipe
from avseg.training.run import run_recipe
from tests.training import tiny

#: Three evaluation batches for two processes; four frames a step in either.
SETTINGS = [
    "trainer.per_device_eval_batch_size=1",
    "trainer.save_strategy=steps",
    "trainer.save_steps=1",
    "data.measured=[s4/val, ms3/val, ms3/train]",
]
ALONE = change_recipe(tiny.BRIDGE, [*SETTINGS, "trainer.per_device_train_batch_size=4"])
SHARED = change_recipe(tiny.BRIDGE, [*SETTINGS, "trainer.per_device_train_batch_size=2"])


def train_as(rank: int, rendezvous: Path, recipe: Recipe, output: Path, data: Path) -> None:
    """Train as one of two processes that torchrun would have started."""
    PartialState._reset_state()
    AcceleratorState._reset_state(reset_partial_state=True)
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
    os.environ |= dict(zip(names, (str(rank), str(rank), "2", "2"), strict=True))
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500", "OMP_NUM_THREADS": "1"}
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2
    )
    run_recipe(recipe, output, data)
    torch.distributed.destroy_process_group()


def train_together(folder: Path, recipe: Recipe, output: Path, data: Path) -> None:
    """Train in two forked processes, which have all modules in memory already."""
    context: Any = multiprocessing.get_context("fork")
    options = (folder / "rendezvous", recipe, output, data)
    processes = [context.Process(target=train_as, args=(rank, *options)) for rank in range(2)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork where there are threads
        for process in processes:
            process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]


def metrics_of(run: Path) -> dict[str, float]:
    metrics: dict[str, float] = json.loads((run / "metrics.json").read_text())
    return metrics


def assert_alike(one: Path, other: Path) -> None:
    """Check that two runs differ by rounding only: sums over a batch are added in another order."""
    first, second = (load_file(run / "model.safetensors") for run in (one, other))
    for name, values in first.items():
        torch.testing.assert_close(second[name], values, atol=1e-6, rtol=0)
    assert metrics_of(other) == pytest.approx(metrics_of(one), abs=1e-4)


def test_two_processes_train_the_same_weights_as_one_and_compute_the_same_scores(
    runs: Path, data: Path, tmp_path: Path
) -> None:
    run_recipe(ALONE, runs / "alone", data)
    train_together(tmp_path, SHARED, runs / "together", data)
    assert_alike(runs / "alone", runs / "together")
    # Measured alone, these very weights have the very same figures.
    still = ["trainer.learning_rate=0.0", "trainer.max_steps=1", "start_from.model=together"]
    again = run_recipe(change_recipe(ALONE, still), runs / "measured_alone", data)
    assert metrics_of(runs / "together") == again
    assert len(json.loads((runs / "together" / "environment.json").read_text())) == 1


@pytest.mark.slow
def test_torchrun_trains_in_two_processes(runs: Path, data: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "bridge.yaml"
    recipe.write_text(SHARED.to_yaml())
    run_recipe(ALONE, runs / "alone_too", data)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    options = ["--standalone", "-m", "avseg", "train", str(recipe), "--data", str(data)]
    output = runs / "launched"
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [*launch, *options, "--output", str(output)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(f"{output}: trained") == 1
    assert_alike(runs / "alone_too", output)
