"""Outputs appear under their name only when they are complete.

Work goes to a hidden sibling, `.NAME.partial-HOST-PID`, which is renamed at the end and removed
when anything, Ctrl-C included, ends the work early. So whatever has its final name is finished. A
killed process can remove nothing; the next one that writes the same output on this host does it.
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
    """Give a temporary path to write to, and move it to its destination at the end.

    What was at the destination stays as it is until the new output is complete, and stays for
    good if the block raises.

    Args:
        destination: Where the finished file or folder belongs; its parent is made if needed.

    Yields:
        The path to write to, in the same folder and with the same suffix; nothing is there yet.

    Raises:
        OutputError: If the parent cannot be made, or the block wrote nothing.
    """
    begin, end = f".{destination.stem}.partial-{platform.node()}-", destination.suffix
    partial = destination.with_name(f"{begin}{os.getpid()}{end}")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{destination.parent}: the folder cannot be made ({error.strerror}); "
            "choose an output folder that can be written to."
        ) from error
    _remove(partial)
    _remove_left_behind(destination.parent, begin, end)
    try:
        yield partial
        if not partial.exists():
            raise OutputError(f"{destination}: nothing was written, so there is nothing to keep.")
        _move(partial, destination)
    finally:
        _remove(partial)


def _move(partial: Path, destination: Path) -> None:
    if not destination.is_dir():
        partial.replace(destination)
        return
    # A folder that is not empty cannot be replaced in one step: it steps aside, and back if the
    # second rename fails.
    old = destination.with_name(f".{destination.name}.old-{os.getpid()}")
    _remove(old)
    destination.rename(old)
    try:
        partial.rename(destination)
    except BaseException:
        old.rename(destination)
        raise
    _remove(old)


def _remove_left_behind(folder: Path, begin: str, end: str) -> None:
    """Remove what processes of this host left that were killed while they wrote."""
    for path in folder.iterdir():
        pid = path.name.removeprefix(begin).removesuffix(end)
        if path.name == f"{begin}{pid}{end}" and pid.isdecimal() and not _is_running(int(pid)):
            _remove(path)


def _is_running(pid: int) -> bool:
    if os.name != "posix":  # where asking would interrupt it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
