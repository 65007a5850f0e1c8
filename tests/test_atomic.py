"""Outputs appear under their final name only when complete."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from avseg.atomic import replace_when_complete
from avseg.errors import OutputError


def test_a_file_appears_under_its_name_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "new" / "masks.txt"
    with replace_when_complete(path) as partial:
        partial.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_the_temporary_name_is_hidden_and_keeps_the_suffix(tmp_path: Path) -> None:
    with replace_when_complete(tmp_path / "overlay.mp4") as partial:
        assert partial.name.startswith(".overlay.partial-")
        assert partial.suffix == ".mp4"
        partial.touch()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_block_that_raises_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "masks.txt"
    path.write_text("old")
    with pytest.raises(error), replace_when_complete(path) as partial:
        partial.write_text("half")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    for name in ("old", "new"):
        with replace_when_complete(folder) as partial:
            partial.mkdir()
            (partial / name).touch()
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [folder]


def test_a_block_that_writes_nothing_raises(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="nothing was written"),
        replace_when_complete(tmp_path / "masks.txt"),
    ):
        pass


def test_a_parent_that_cannot_be_created_raises_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(
            OutputError, match=r"file/sub: the folder cannot be created \(Not a directory\)"
        ),
        replace_when_complete(tmp_path / "file" / "sub" / "masks.txt"),
    ):
        pass


def test_files_of_a_killed_process_are_removed_by_the_next_one(tmp_path: Path) -> None:
    write = (
        "import os, pathlib, sys\n"
        "from avseg.atomic import replace_when_complete\n"
        "with replace_when_complete(pathlib.Path(sys.argv[1])) as partial:\n"
        "    partial.mkdir()\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    folder = tmp_path / "clip"
    subprocess.run([sys.executable, "-c", write, str(folder)], check=False)  # noqa: S603
    (left,) = tmp_path.iterdir()
    of_a_live_process = left.with_name(left.name.rpartition("-")[0] + f"-{os.getppid()}")
    of_another_output = tmp_path / left.name.replace(".clip.", ".clip2.")
    of_another_host = tmp_path / ".clip.partial-elsewhere-1"
    others = {of_a_live_process, of_another_output, of_another_host}
    for path in others:
        path.mkdir()
    with replace_when_complete(folder) as partial:
        assert set(tmp_path.iterdir()) == others
        partial.mkdir()
    assert set(tmp_path.iterdir()) == {folder, *others}
