"""Control of glibc's allocator: freed memory is kept for the next tensor, or returned.

By default glibc requests each large block from the operating system, which provides zeroed pages: a
tenth of the time of SAM 2's image encoder at 1024 pixels is spent on zeroing. The settings must be
made before torch is imported and allocates memory.

The kept memory has gaps, into which a larger block does not fit. For the few blocks of 100 MB that
a frame of 8K needs, it is returned from time to time.
"""

import ctypes
import sys
from collections.abc import Callable

#: Options of `mallopt`, by their numbers in glibc's malloc.h. They set the free space at the top of
#: the heap from which it is returned to the operating system, the size from which a block is
#: requested from the operating system directly (mmap), and the largest number of such blocks.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4


def reuse_freed_memory(limit: int | None = None) -> None:
    """Set glibc to keep freed memory for later allocations; without glibc, change nothing.

    Args:
        limit: Size in bytes from which freed blocks are returned nevertheless; None keeps all.
    """
    mallopt = _function("mallopt")
    if mallopt is None:
        return
    # The largest C int: the heap never shrinks.
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    if limit is None:
        # No block is requested by mmap, so every freed block stays in the heap.
        mallopt(_M_MMAP_MAX, 0)
    else:
        mallopt(_M_MMAP_THRESHOLD, limit)


def return_freed_memory() -> None:
    """Return all freed memory to the operating system; without glibc, change nothing."""
    malloc_trim = _function("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(ctypes.c_size_t(0))


def _function(name: str) -> Callable[..., int] | None:
    """Return a function of glibc; None with another allocator."""
    if sys.platform != "linux":  # macOS and Windows
        return None
    return getattr(ctypes.CDLL(None), name, None)  # None: another C library, such as musl
