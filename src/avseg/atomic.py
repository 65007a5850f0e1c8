"""Atomic output: files and folders appear under their name only when they are complete.

The output is written to a hidden path beside it, `.NAME.partial-HOST-PID`, which is renamed at the
end and removed if anything, including Ctrl-C, ends the work early. A killed process cannot remove
its partial output; the next process that writes the same output on the same host does.

One rule protects the files of a user: a folder that is not empty is replaced, or gets further
files, only if the same writer wrote it (`OwnFolder`). Any other folder raises an `OutputError`, and
nothing in it is touched.
"""

import errno
import fnmatch
import os
import platform
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from avseg.errors import AvsegError, OutputError

#: Number of bytes at the beginning of a marker file in which its keys are searched: a marker may
#: also contain results, and be large.
_MARKER_BYTES = 4096

#: Errors that the file system raises for a write, never for a read.
_WRITE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}

#: Writers outside Python's own files: safetensors quotes the operating system's number, and torch
#: reports a write that was cut short without one.
_OTHER_WRITE_ERRORS = re.compile(
    rf"\(os error ({'|'.join(map(str, sorted(_WRITE_ERRORS | {errno.EIO})))})\)"
    "|PytorchStreamWriter failed|inline_container|file write failed|basic_ios::clear"
)


@dataclass(frozen=True)
class OwnFolder:
    """The mark by which a writer recognises the folders that it wrote.

    Attributes:
        title: Contents of such a folder, for messages: "saved predictions".
        is_own: Function that returns whether a folder has the mark.
    """

    title: str
    is_own: Callable[[Path], bool]

    def check(self, folder: Path, besides: Collection[Path] = ()) -> None:
        """Raise an error if a folder has contents that this writer did not write.

        Args:
            folder: The folder; it need not exist.
            besides: Files and folders in it that the caller writes too.

        Raises:
            OutputError: If the path is a file, or a folder with other contents.
        """
        _check_replaceable(folder, self, besides)


def has_marker(
    marker: str, keys: Collection[str], entries: Collection[str] = ()
) -> Callable[[Path], bool]:
    """Create the test for folders with a JSON file as their mark.

    Args:
        marker: Name of the JSON file.
        keys: Keys that this file has near its beginning. The name alone is not enough: many
            programs write a file `manifest.json`.
        entries: Patterns of the names of all files in such a folder, for a folder that is replaced
            as a whole; empty to allow any other files.

    Returns:
        Function that returns whether a folder has the mark and no other entries.
    """

    def is_own(folder: Path) -> bool:
        try:
            with (folder / marker).open("rb") as file:
                head = file.read(_MARKER_BYTES)
        except OSError:
            return False
        names = [path.name for path in _entries(folder)] if entries else []
        return all(f'"{key}":'.encode() in head for key in keys) and all(
            any(fnmatch.fnmatchcase(name, pattern) for pattern in entries) for name in names
        )

    return is_own


@contextmanager
def replace_when_complete(destination: Path, own: OwnFolder | None = None) -> Iterator[Path]:
    """Provide a temporary path, and rename it to the destination at the end of the block.

    An existing destination is kept until the new output is complete, and also if the block raises.

    Args:
        destination: Final path of the file or folder; its parent is created if needed.
        own: Mark of the folders that may be replaced; None to replace files and empty folders only.

    Yields:
        Path to write to, in the same folder and with the same suffix; it does not exist yet.

    Raises:
        OutputError: If the destination has other contents, the parent cannot be created, the disk
            is full or cannot be written to, or the block wrote nothing.
    """
    destination = _with_name(destination)
    if own is not None or destination.is_dir():
        _check_replaceable(destination, own)
    elif destination.exists() and not destination.is_file():
        # A rename would remove the device itself, such as /dev/null.
        raise OutputError(f"{destination}: is a device or a pipe; choose a file.")
    # The same folder, so that the final rename stays within one file system.
    partial = _hidden_path(destination, "partial", os.getpid())
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{destination.parent}: the folder cannot be created ({error.strerror}); "
            "choose an output folder that can be written to."
        ) from error
    with explain_write_error(destination, partial):
        _remove(partial)
        remove_abandoned(destination)
        try:
            yield partial
            if not partial.exists():
                raise OutputError(
                    f"{destination}: nothing was written to {partial.name}, so it was not created."
                )
            _move(partial, destination, own)
        finally:
            _remove(partial)


@contextmanager
def add_when_complete(
    folder: Path, own: OwnFolder | None = None, besides: Collection[Path] = ()
) -> Iterator[Path]:
    """Provide a temporary folder, and move its files to a folder at the end of the block.

    The files appear as one set, when all of them are complete. Other files in the folder stay.

    Args:
        folder: The folder; it is created if it is missing.
        own: Mark of the folders that may get the files; None if the caller has checked the folder.
        besides: Files and folders in it that the caller writes too.

    Yields:
        A folder to write to.

    Raises:
        OutputError: If the folder has other contents, or cannot be written to.
    """
    if own is not None:
        own.check(folder, besides)
    if not folder.exists():
        with replace_when_complete(folder) as partial:
            partial.mkdir()
            yield partial
        return
    # A folder that exists may be the working directory or a mount point: only files are renamed.
    with explain_write_error(folder, folder):
        partial = folder / f".{folder.resolve().name}.partial-{platform.node()}-{os.getpid()}"
        _remove(partial)
        partial.mkdir()
        try:
            yield partial
            for path in sorted(partial.iterdir()):
                path.replace(folder / path.name)
        finally:
            _remove(partial)


@contextmanager
def explain_write_error(destination: Path, within: Path) -> Iterator[None]:
    """Turn the errors of a disk that is full or cannot be written to into an `OutputError`.

    Args:
        destination: Path of the output, for the message.
        within: Path of the file or folder that the block writes. Every error of the operating
            system for a path in it is one of writing; others may come from files that are read.

    Yields:
        Nothing.

    Raises:
        OutputError: If the output cannot be written.
    """
    try:
        yield
    except OutputError as error:
        # The path of the temporary output means nothing to a user.
        text = str(error).replace(str(within), str(destination))
        raise OutputError(text) from error.__cause__
    except AvsegError:
        raise
    except Exception as error:
        reason = _write_error(error, within)
        if reason is None:
            raise
        raise OutputError(
            f"{destination}: cannot be written ({reason}); free disk space, or choose another "
            "output that can be written to."
        ) from error


def remove_abandoned(destination: Path) -> None:
    """Remove the partial output of a file or folder that killed processes of this host left.

    An earlier output that such a process was replacing is restored.

    Args:
        destination: Final path of the output, which need not exist.
    """
    destination = _with_name(destination)
    for path in _abandoned(destination, "old"):
        if destination.exists():
            _remove(path)
        else:
            path.rename(destination)
    for path in _abandoned(destination, "partial"):
        _remove(path)


def _write_error(error: Exception, within: Path) -> str | None:
    """Return the reason of an error of writing; None for any other error."""
    if isinstance(error, OSError):
        names = [name for name in (error.filename, error.filename2) if isinstance(name, str)]
        written = any(name == str(within) or name.startswith(f"{within}{os.sep}") for name in names)
        return (error.strerror or str(error)) if written or error.errno in _WRITE_ERRORS else None
    found = _OTHER_WRITE_ERRORS.search(str(error))
    if found is None:
        return None
    # The texts of the libraries explain their own state, not that of the disk.
    return os.strerror(int(found[1])) if found[1] else "the disk accepted only a part of the file"


def _check_replaceable(folder: Path, own: OwnFolder | None, besides: Collection[Path] = ()) -> None:
    try:
        others = [path for path in _entries(folder) if path not in set(besides)]
        if not others or (own is not None and own.is_own(folder)):
            return
    except FileNotFoundError:
        return
    except NotADirectoryError as error:
        raise OutputError(f"{folder}: is a file; choose a folder.") from error
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be read ({error.strerror}); choose another folder."
        ) from error
    names = ", ".join(sorted(path.name for path in others)[:3])
    if own is None:
        raise OutputError(
            f"{folder}: is a folder with files in it ({names}), which is not replaced; choose "
            "another path."
        )
    raise OutputError(
        f"{folder}: contains other files than {own.title} ({names}), so it is not replaced; choose "
        "a new or empty folder."
    )


def _entries(folder: Path) -> list[Path]:
    """List a folder without the partial outputs of processes that were killed."""
    hidden = re.compile(r"\..*\.(partial|old)-.*-\d+(\..*)?")
    return [path for path in folder.iterdir() if not hidden.fullmatch(path.name)]


def _move(partial: Path, destination: Path, own: OwnFolder | None) -> None:
    if not destination.is_dir():
        if destination.exists() and partial.is_dir():
            raise OutputError(f"{destination}: is a file; choose a folder.")
        partial.replace(destination)
        return
    if not partial.is_dir():
        raise OutputError(f"{destination}: is a folder; choose a file.")
    # Again, since the work before may have taken hours.
    _check_replaceable(destination, own)
    # A folder that is not empty cannot be replaced by one rename. The old one is renamed first, and
    # renamed back if the second rename fails.
    old = _hidden_path(destination, "old", os.getpid())
    _remove(old)
    destination.rename(old)
    try:
        partial.rename(destination)
    except BaseException:
        old.rename(destination)
        raise
    _remove(old)


def _with_name(destination: Path) -> Path:
    """Return the path in a form that ends with a name, unlike "."."""
    return destination.resolve() if destination.name in ("", "..") else destination


def _hidden_path(destination: Path, kind: str, pid: int | str) -> Path:
    """Return the path of a process for its partial or replaced ("old") output."""
    return destination.with_name(
        f".{destination.stem}.{kind}-{platform.node()}-{pid}{destination.suffix}"
    )


def _abandoned(destination: Path, kind: str) -> list[Path]:
    """List the hidden outputs of processes of this host that do not run any more."""
    if not destination.parent.is_dir():
        return []
    begin, _, end = _hidden_path(destination, kind, "*").name.rpartition("*")
    found = []
    for path in destination.parent.iterdir():
        pid = path.name.removeprefix(begin).removesuffix(end)
        if path.name == f"{begin}{pid}{end}" and pid.isdecimal() and not _is_running(int(pid)):
            found.append(path)
    return found


def _is_running(pid: int) -> bool:
    if os.name != "posix":  # os.kill would end the process on Windows
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # a process of another user
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
