"""Outputs appear under their final name only when complete."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import SafetensorError

from avseg.atomic import (
    OwnFolder,
    add_when_complete,
    has_marker,
    remove_abandoned,
    replace_when_complete,
)
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


OWN = OwnFolder("examples", has_marker("facts.json", ("version",), ("facts.json", "*.txt")))
MARK = '{"version": 1}'


def write_example(folder: Path, name: str = "new.txt") -> None:
    """Write a folder with the mark of `OWN` and one more file."""
    with replace_when_complete(folder, OWN) as partial:
        partial.mkdir()
        (partial / "facts.json").write_text(MARK)
        (partial / name).touch()


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_folder_of_the_same_writer_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    write_example(folder, "old.txt")
    write_example(folder)
    assert contents(folder).keys() == {"facts.json", "new.txt"}
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize(
    "files",
    [
        {"thesis.tex": "years"},
        {"facts.json": '{"name": "app"}'},  # a file of another program with the same name
        {"facts.json": MARK, "thesis.tex": "years"},
        {"deep/thesis.tex": "years"},
    ],
)
def test_a_folder_of_others_is_kept_as_it_is(tmp_path: Path, files: dict[str, str]) -> None:
    folder = tmp_path / "home"
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    before = contents(tmp_path)
    with pytest.raises(OutputError, match=r"other files than examples \(.*\).*choose a new"):
        write_example(folder)
    with (
        pytest.raises(OutputError, match=r"is a folder with files in it"),
        replace_when_complete(folder) as partial,
    ):
        partial.touch()
    assert contents(tmp_path) == before


def test_files_that_appear_during_the_work_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    with (
        pytest.raises(OutputError, match=r"thesis\.tex"),
        replace_when_complete(folder, OWN) as partial,
    ):
        partial.mkdir()
        (folder / "thesis.tex").write_text("years")
    assert contents(tmp_path) == {"home/thesis.tex": b"years"}


def test_an_empty_folder_is_replaced_by_a_folder_and_not_by_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    with (
        pytest.raises(OutputError, match="is a folder; choose a file"),
        replace_when_complete(folder) as partial,
    ):
        partial.touch()
    write_example(folder)
    assert contents(folder).keys() == {"facts.json", "new.txt"}


def test_a_file_is_not_replaced_by_a_folder(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(OutputError, match="is a file; choose a folder"):
        write_example(tmp_path / "notes")
    with (
        pytest.raises(OutputError, match="is a file; choose a folder"),
        replace_when_complete(tmp_path / "notes") as partial,
    ):
        partial.mkdir()
    assert contents(tmp_path) == {"notes": b"mine"}


def test_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with (
        pytest.raises(OutputError, match="is a device or a pipe; choose a file"),
        replace_when_complete(tmp_path / "pipe"),
    ):
        pytest.fail("the work begins only after the path was checked")
    assert (tmp_path / "pipe").is_fifo()


def test_the_working_directory_can_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    write_example(Path())
    assert contents(tmp_path).keys() == {"work/facts.json", "work/new.txt"}


def test_files_are_added_to_a_folder_as_one_set(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    with add_when_complete(folder, OWN) as partial:
        (partial / "facts.json").write_text(MARK)
    (folder / "more.txt").write_text("kept")
    with pytest.raises(KeyError), add_when_complete(folder, OWN) as partial:
        (partial / "more.txt").write_text("half")
        raise KeyError
    assert contents(folder) == {"facts.json": MARK.encode(), "more.txt": b"kept"}
    with add_when_complete(folder, OWN) as partial:
        (partial / "second.txt").write_text("2")
    assert contents(folder).keys() == {"facts.json", "more.txt", "second.txt"}
    with (
        pytest.raises(OutputError, match=r"report: cannot be written \(No space left"),
        add_when_complete(folder, OWN) as partial,
    ):
        (partial / "third.txt").write_text("3")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert contents(folder).keys() == {"facts.json", "more.txt", "second.txt"}


def test_files_are_not_added_to_a_folder_of_others(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years")
    with (
        pytest.raises(OutputError, match="other files than examples"),
        add_when_complete(tmp_path, OWN) as partial,
    ):
        (partial / "thesis.tex").touch()
    with add_when_complete(tmp_path, OWN, besides=[tmp_path / "thesis.tex"]) as partial:
        (partial / "facts.json").write_text(MARK)
    assert contents(tmp_path).keys() == {"facts.json", "thesis.tex"}


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
        SafetensorError("I/O error: No space left on device (os error 28)"),
        RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0"),
        RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
        RuntimeError("basic_ios::clear: iostream error"),  # closing the file of torch.save
    ],
)
def test_a_full_disk_is_explained_and_leaves_nothing(tmp_path: Path, error: Exception) -> None:
    with (
        pytest.raises(OutputError, match=r"model: cannot be written .*free disk space"),
        replace_when_complete(tmp_path / "model") as partial,
    ):
        partial.mkdir()
        (partial / "half").touch()
        raise error
    assert list(tmp_path.iterdir()) == []


def test_an_error_names_the_output_and_not_its_temporary_path(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"/model/part: is full") as raised,
        replace_when_complete(tmp_path / "model") as partial,
    ):
        raise OutputError(f"{partial}/part: is full")
    assert "partial" not in str(raised.value)


def test_an_error_of_reading_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replace_when_complete(tmp_path / "model"):
        (tmp_path / "video.mp4").open()


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


def test_a_folder_is_restored_if_a_process_was_killed_while_it_replaced_it(tmp_path: Path) -> None:
    stop_between = (
        "import os, pathlib, sys\n"
        "from avseg.atomic import OwnFolder, replace_when_complete\n"
        "own = OwnFolder('anything', lambda _: True)\n"
        "pathlib.Path.rename = lambda old, new, rename=pathlib.Path.rename: (\n"
        "    os.kill(os.getpid(), 9) if '.partial-' in old.name else rename(old, new))\n"
        "with replace_when_complete(pathlib.Path(sys.argv[1]), own) as partial:\n"
        "    partial.mkdir()\n"
    )
    folder = tmp_path / "v1.0"
    folder.mkdir()
    (folder / "first.txt").touch()
    subprocess.run([sys.executable, "-c", stop_between, str(folder)], check=False)  # noqa: S603
    assert not folder.exists()
    assert len(list(tmp_path.iterdir())) == 2
    remove_abandoned(folder)
    assert list(tmp_path.iterdir()) == [folder]
    assert [path.name for path in folder.iterdir()] == ["first.txt"]
