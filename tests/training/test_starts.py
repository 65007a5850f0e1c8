"""Record of a run's starts: the time of all of them together."""

import json
from pathlib import Path

import pytest

from avseg.checkpoints.model_folder import ENVIRONMENT_FILE
from avseg.errors import TrainingError
from avseg.training.run import run_recipe
from avseg.training.starts import read_time, record_time
from tests.training import tiny


def write_starts(folder: Path, *starts: dict[str, object]) -> None:
    full = [{"parts": {}, "resumed_from": None, **start} for start in starts]
    (folder / ENVIRONMENT_FILE).write_text(json.dumps(full))


def test_the_time_of_all_starts_is_added(tmp_path: Path) -> None:
    write_starts(tmp_path, {"seconds": 1800, "cpu_seconds": 900}, {})
    record_time(tmp_path, 5400, 2700)
    record_time(tmp_path, 7200, 3600)  # of the same start, later
    spent = read_time(tmp_path)
    assert (spent.hours, spent.cpu_hours) == (2.5, 1.25)


def test_a_run_without_a_record_took_no_time(tmp_path: Path) -> None:
    assert read_time(tmp_path).hours == 0


def test_a_damaged_record_raises_an_error(tmp_path: Path) -> None:
    (tmp_path / ENVIRONMENT_FILE).write_text("[3]")
    with pytest.raises(TrainingError, match="is no record of a run"):
        read_time(tmp_path)


def test_a_training_records_its_time(tmp_path: Path) -> None:
    run_recipe(tiny.CLIP, tmp_path / "clip")
    spent = read_time(tmp_path / "clip")
    assert 0 < spent.hours < 1
    assert 0 < spent.cpu_hours < 1
