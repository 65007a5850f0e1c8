"""The cache folder, and its locks."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from avseg.checkpoints.cache import cache_folder, locked
from avseg.errors import CheckpointError


def test_the_variable_avseg_cache_names_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVSEG_CACHE", "~/models")
    assert cache_folder() == Path.home() / "models"


@pytest.mark.parametrize(
    ("platform", "variable", "folder"),
    [
        ("linux", "XDG_CACHE_HOME", Path("caches/avseg")),
        ("linux", None, Path.home() / ".cache/avseg"),
        ("darwin", None, Path.home() / "Library/Caches/avseg"),
        ("win32", "LOCALAPPDATA", Path("caches/avseg")),
    ],
)
def test_the_default_cache_is_in_the_platforms_cache_folder(
    platform: str, variable: str | None, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AVSEG_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    if variable is not None:
        monkeypatch.setenv(variable, "caches")
    monkeypatch.setattr(sys, "platform", platform)
    assert cache_folder() == folder


def test_one_thread_works_while_the_others_wait(tmp_path: Path) -> None:
    together = Barrier(4)
    inside: list[str] = []

    def work(_: int) -> None:
        together.wait()
        with locked(tmp_path / "model"):
            inside.append("in")
            inside.append("out")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert inside == ["in", "out"] * 4


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(CheckpointError, match=r"file/sub: cannot be written to \(Not a directory\)"),
        locked(tmp_path / "file" / "sub" / "model"),
    ):
        pass
