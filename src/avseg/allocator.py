"""Settings of glibc's allocator: freed memory is kept for the next tensor.

By default glibc requests each large block from the operating system, which provides zeroed pages: a
tenth of the time of SAM 2's image encoder at 1024 pixels is spent on zeroing. The settings must be
made before torch is imported and allocates memory.
"""

import ctypes
import sys

#: Options of `mallopt`, by their numbers in glibc's malloc.h. They set the free space at the top of
#: the heap from which it is returned to the operating system, the size from which a block is
#: requested from the operating system directly (mmap), and the largest number of such blocks.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4


def reuse_freed_memory(limit: int | None = None) -> None:
    """Set glibc to keep freed memory for later allocations; without glibc, change nothing.

    Args:
        limit: Size in bytes from which freed blocks are returned nevertheless; None keeps all.
    """
    # Options of glibc; macOS and Windows have other allocators.
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library, such as musl
        return
    # The largest C int: the heap never shrinks.
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    if limit is None:
        # No block is requested by mmap, so every freed block stays in the heap.
        mallopt(_M_MMAP_MAX, 0)
    else:
        mallopt(_M_MMAP_THRESHOLD, limit)
