"""Atomic output: files and folders appear under their name only when they are complete.

The output is written to a hidden path beside it, `.NAME.partial-HOST-PID`, which is renamed at the
end and removed if anything, including Ctrl-C, ends the work early. A killed process cannot remove
its partial output; the next process that writes the same output on the same host does.
"""

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from avseg.errors import OutputError


@contextmanager
def replace_when_complete(destination: Path) -> Iterator[Path]:
    """Provide a temporary path, and rename it to the destination at the end of the block.

    An existing destination is kept until the new output is complete, and also if the block raises.

    Args:
        destination: Final path of the file or folder; its parent is created if needed.

    Yields:
        Path to write to, in the same folder and with the same suffix; it does not exist yet.

    Raises:
        OutputError: If the parent cannot be created, or the block wrote nothing.
    """
    # The same folder, so that the final rename stays within one file system.
    begin, end = f".{destination.stem}.partial-{platform.node()}-", destination.suffix
    partial = destination.with_name(f"{begin}{os.getpid()}{end}")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{destination.parent}: the folder cannot be created ({error.strerror}); "
            "choose an output folder that can be written to."
        ) from error
    _remove(partial)
    _remove_abandoned(destination.parent, begin, end)
    try:
        yield partial
        if not partial.exists():
            raise OutputError(
                f"{destination}: nothing was written to {partial.name}, so it was not created."
            )
        _move(partial, destination)
    finally:
        _remove(partial)


def _move(partial: Path, destination: Path) -> None:
    if not destination.is_dir():
        partial.replace(destination)
        return
    # A folder that is not empty cannot be replaced by one rename. The old one is renamed first, and
    # renamed back if the second rename fails.
    old = destination.with_name(f".{destination.name}.old-{os.getpid()}")
    _remove(old)
    destination.rename(old)
    try:
        partial.rename(destination)
    except BaseException:
        old.rename(destination)
        raise
    _remove(old)


def _remove_abandoned(folder: Path, begin: str, end: str) -> None:
    """Remove partial outputs of processes of this host that were killed."""
    for path in folder.iterdir():
        pid = path.name.removeprefix(begin).removesuffix(end)
        if path.name == f"{begin}{pid}{end}" and pid.isdecimal() and not _is_running(int(pid)):
            _remove(path)


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
