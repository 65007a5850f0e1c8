"""Tests of the allocator settings."""

import platform
import subprocess
import sys

import pytest

CODE = """
import resource, sys
from avseg.allocator import reuse_freed_memory
limit, size = eval(sys.argv[1]), int(sys.argv[2])
if limit != "default":
    reuse_freed_memory(limit)
def page_faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
text = b"1" * 16
bytearray(text * (size // 16))
before = page_faults()
for _ in range(4):
    bytearray(text * (size // 16))
print(page_faults() - before)
"""

LARGE, SMALL = 2**26, 2**24


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
@pytest.mark.parametrize(
    ("limit", "size", "is_reused"),
    [
        ("default", LARGE, False),
        (None, LARGE, True),
        (None, SMALL, True),
        (2**25, LARGE, False),
        (2**25, SMALL, True),
    ],
)
def test_a_block_below_the_limit_is_reused(limit: object, size: int, is_reused: bool) -> None:
    arguments = [sys.executable, "-c", CODE, repr(limit), str(size)]
    faults = int(subprocess.check_output(arguments))  # noqa: S603 - fixed arguments
    pages = 4 * size // 4096
    assert (faults < pages / 10) == is_reused


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_kept_memory_is_returned_on_request() -> None:
    code = """
from avseg.allocator import return_freed_memory, reuse_freed_memory
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
reuse_freed_memory()
before = resident()
blocks = [b"1" * 2**25 for _ in range(3)]
last = b"1" * 2**20  # above the blocks, so that the heap cannot shrink
del blocks
kept = resident() - before
return_freed_memory()
print(kept > 9e7, resident() - before < 1e7)
"""
    output = subprocess.check_output([sys.executable, "-c", code], text=True)  # noqa: S603
    assert output.split() == ["True", "True"]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
@pytest.mark.parametrize("setting", ["", "reuse_freed_memory()", "reuse_freed_memory(2**25)"])
def test_large_blocks_are_returned_inside_of_a_block_of_code_only(setting: str) -> None:
    code = f"""
from avseg.allocator import reuse_freed_memory, return_large_blocks
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
above = []
def keeps():
    before = resident()
    blocks = [b"1" * 2**23 for _ in range(8)]
    # Above the blocks, so that the heap cannot shrink. It stays, because a later one would be put
    # into its place, below the blocks.
    above.append(b"1" * 2**20)
    del blocks
    return resident() - before > 6e7
{setting}
with return_large_blocks(2**22):
    print(keeps())
print(keeps())
"""
    output = subprocess.check_output([sys.executable, "-c", code], text=True)  # noqa: S603
    assert output.split() == ["False", "True"]
