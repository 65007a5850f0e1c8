"""File systems of a few kilobytes, without the rights of root where the system allows it."""

import ctypes
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_CLONE_NEWNS, _CLONE_NEWUSER = 0x20000, 0x10000000
_MS_REMOUNT, _MS_REC, _MS_PRIVATE, _MNT_DETACH = 0x20, 0x4000, 0x40000, 2
#: Size of a disk with enough room, in bytes.
AMPLE = 2**30


@cache
def can_mount() -> bool:
    """Return whether this process may mount disks; from then on it has a view of its own of them.

    Called in a worker, so that every mount ends with the worker.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(_CLONE_NEWNS | (_CLONE_NEWUSER if uid else 0)) != 0:
        return False
    if uid:
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"0 {uid} 1"),
            ("gid_map", f"0 {gid} 1"),
        ):
            Path(f"/proc/self/{name}").write_text(text)
    return bool(libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None) == 0)


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """Make a folder a disk of its own for the duration of a block.

    Without the right to mount one, files get a largest size instead; this covers fewer cases.

    Args:
        folder: The folder; it is created.
        size: Size of the disk, in bytes.

    Yields:
        Nothing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not can_mount():
        resize(folder, size)
        yield
        return
    _mount(folder, size, 0)
    try:
        yield
    finally:
        ctypes.CDLL(None).umount2(os.fsencode(folder), _MNT_DETACH)


def resize(folder: Path, size: int) -> None:
    """Change the size of a disk that `small_disk` made.

    Args:
        folder: Folder of the disk.
        size: New size, in bytes.
    """
    if can_mount():
        _mount(folder, size, _MS_REMOUNT)
    else:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


def used(folder: Path) -> int:
    """Return the number of bytes that the files in a folder take on the disk."""
    if can_mount():
        facts = os.statvfs(folder)
        return (facts.f_blocks - facts.f_bfree) * facts.f_frsize
    return max((path.stat().st_size for path in folder.rglob("*") if path.is_file()), default=0)


def _mount(folder: Path, size: int, flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    # A size of 0 would be no limit.
    options = f"size={max(size, 1)},mode=700".encode()
    if libc.mount(b"avseg", os.fsencode(folder), b"tmpfs", flags, options) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(folder))
