"""Free disk space and memory, checked before gigabytes are downloaded, loaded or written."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import psutil

from avseg.checkpoints.known_models import describe_size
from avseg.errors import CheckpointError, OutputError

#: File with the memory limit of a container (cgroup version 2), in bytes or "max".
_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


def available_memory() -> int:
    """Return the memory that a new process can use, in bytes.

    Returns:
        The available memory of the machine, or of the container if that has less.
    """
    available = psutil.virtual_memory().available
    try:
        limit = int(_CONTAINER_LIMIT.read_text(encoding="ascii"))
    except (OSError, ValueError):  # no container, or one without a limit
        return int(available)
    return int(min(available, max(limit - psutil.Process().memory_info().rss, 0)))


def existing_folder(path: Path) -> Path:
    """Return a folder, or its nearest parent that exists.

    Args:
        path: The folder.

    Returns:
        A path that exists.
    """
    return next(parent for parent in (path, *path.absolute().parents) if parent.exists())


def free_space(path: Path) -> int:
    """Return the free space of a folder's file system, in bytes.

    Args:
        path: The folder; it need not exist yet.

    Returns:
        The free bytes.
    """
    return shutil.disk_usage(existing_folder(path)).free


def check_disk(folder: Path, need_bytes: int, purpose: str, others: Sequence[str]) -> None:
    """Raise an error if a folder's file system has too little space.

    Args:
        folder: The folder to write to.
        need_bytes: Size of all files to write.
        purpose: Subject and verb of the message, such as "the import needs".
        others: What the user can do other than free space.

    Raises:
        OutputError: If less space is free.
    """
    free = free_space(folder)
    if free < need_bytes:
        raise OutputError(
            f"{purpose} {describe_size(need_bytes)} of disk space, and the file system of {folder} "
            f"has {describe_size(free)} free; "
            f"{_any_of(f'free {describe_size(need_bytes - free)}', *others)}."
        )


def check_memory(need_bytes: int, purpose: str, others: Sequence[str]) -> None:
    """Raise an error if less memory is available than the weights of a model take.

    Args:
        need_bytes: Size of the weights.
        purpose: Subject and verb of the message, such as "the weights need".
        others: What the user can do other than close programs.

    Raises:
        CheckpointError: If less memory is available.
    """
    available = available_memory()
    if available < need_bytes:
        raise CheckpointError(
            f"{purpose} at least {describe_size(need_bytes)} of memory, and "
            f"{describe_size(available)} are available; {_any_of('close other programs', *others)}."
        )


def _any_of(*steps: str) -> str:
    """Join alternatives with commas and a final "or"."""
    *first, last = steps
    return f"{', '.join(first)}, or {last}" if first else last
