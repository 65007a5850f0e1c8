"""Where this process gets memory from: a choice for a program to make, not for a library."""

import ctypes
import sys

#: The largest limit that glibc takes, in bytes. Activations kept for a backward pass leave gaps in
#: which larger blocks find no room, so that memory would grow.
TRAINING_LIMIT = 2**25

#: Names of three options in glibc's malloc.h: when memory at the top of the heap goes back to the
#: operating system, from which size on a block is got from there, and how many may be.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4


def reuse_freed_memory(limit: int | None = None) -> None:
    """Keep freed memory for the next tensor instead of giving it back each time.

    By default glibc gets each large block from the operating system, which hands out zeroed pages:
    a tenth of the time of SAM 2's image encoder at 1024 pixels goes there. Without glibc nothing is
    done.

    Args:
        limit: Blocks of this size and larger are given back all the same, in bytes; None keeps all.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    if limit is None:
        mallopt(_M_MMAP_MAX, 0)
    else:
        mallopt(_M_MMAP_THRESHOLD, limit)
