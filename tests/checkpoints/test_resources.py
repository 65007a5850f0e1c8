"""Disk and memory that are too small are an error with both sizes and what to do."""

import shutil
from pathlib import Path

import pytest

from avseg.checkpoints import resources
from avseg.errors import CheckpointError, OutputError


def test_the_limit_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(resources, "_CONTAINER_LIMIT", limit)
    unlimited = resources.available_memory()
    limit.write_text("max\n")
    assert resources.available_memory() > 0.5 * unlimited
    limit.write_text("1000\n")
    assert resources.available_memory() == 0


def test_the_space_of_a_folder_that_does_not_exist_is_that_of_its_parent(tmp_path: Path) -> None:
    deep = tmp_path / "not" / "yet"
    assert resources.existing_folder(deep) == tmp_path
    assert resources.free_space(deep) > 0


def test_a_small_disk_is_an_error_with_both_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2_000_000))
    resources.check_disk(tmp_path, 2_000_000, "it needs", ["go"])
    with pytest.raises(OutputError) as error:
        resources.check_disk(tmp_path, 5_000_000, "it needs", ["go elsewhere"])
    assert str(error.value) == (
        f"it needs 5 MB of disk space, and the file system of {tmp_path} has 2 MB free; free 3 MB, "
        "or go elsewhere."
    )


def test_a_small_memory_is_an_error_with_both_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "available_memory", lambda: 2_000_000)
    resources.check_memory(2_000_000, "it needs", [])
    with pytest.raises(CheckpointError, match=r"5 MB of memory, and 2 MB .*; close other pro"):
        resources.check_memory(5_000_000, "it needs", [])
    with pytest.raises(CheckpointError, match=r"close other programs, go, or stay\."):
        resources.check_memory(5_000_000, "it needs", ["go", "stay"])
