"""Control of glibc's allocator: freed memory is kept for the next tensor, or returned.

By default glibc requests each large block from the operating system, which provides zeroed pages: a
tenth of the time of SAM 2's image encoder at 1024 pixels is spent on zeroing. The settings must be
made before torch is imported and allocates memory.

The kept memory has gaps, into which a larger block does not fit. So the large blocks of a video
with large frames are returned as soon as they are freed.
"""

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Options of `mallopt`, by their numbers in glibc's malloc.h. They set the free space at the top of
#: the heap from which it is returned to the operating system, the size from which a block is
#: requested from the operating system directly (mmap), and the largest number of such blocks.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4

#: glibc's own number of blocks that are requested directly, and the size up to which it raises the
#: size of such blocks.
_MMAP_BLOCKS, _MMAP_SIZE = 65_536, 2**25

#: The last two options as they are outside of `return_large_blocks`.
_settings = {_M_MMAP_MAX: _MMAP_BLOCKS, _M_MMAP_THRESHOLD: _MMAP_SIZE}


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
    # Without blocks that are requested by mmap, every freed block stays in the heap.
    option, value = (_M_MMAP_MAX, 0) if limit is None else (_M_MMAP_THRESHOLD, limit)
    mallopt(option, value)
    _settings[option] = value


@contextmanager
def return_large_blocks(size: int) -> Iterator[None]:
    """Return all freed memory, and from then on each large block when it is freed.

    A block that fits into free memory between others is kept there until `return_freed_memory`. At
    the end of the `with` block, memory is kept as before. Without glibc, nothing changes.

    Args:
        size: Size in bytes from which blocks are returned.

    Yields:
        None: The block of code in which they are returned.
    """
    return_freed_memory()
    mallopt = _function("mallopt")
    if mallopt is None:
        yield
        return
    mallopt(_M_MMAP_MAX, _MMAP_BLOCKS)
    mallopt(_M_MMAP_THRESHOLD, size)
    try:
        yield
    finally:
        for option, value in _settings.items():
            mallopt(option, value)


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
