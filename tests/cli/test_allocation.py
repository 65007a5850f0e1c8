"""A large block that is freed and got again costs no new pages."""

import platform
import subprocess
import sys

import pytest

CODE = """
import resource, sys
if sys.argv[1] == "reuse":
    from avseg.cli.allocation import reuse_freed_memory
    reuse_freed_memory()
def page_faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
bytearray(b"1" * 2**26)
before = page_faults()
for _ in range(4):
    bytearray(b"1" * 2**26)
print(page_faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_a_large_block_is_used_again() -> None:
    faults = {
        mode: int(subprocess.check_output([sys.executable, "-c", CODE, mode]))  # noqa: S603
        for mode in ("reuse", "default")
    }
    assert faults["reuse"] < faults["default"] / 10
