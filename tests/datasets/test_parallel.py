"""Parallel map: order of the results and number of processes."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from avseg.datasets.parallel import map_in_processes
from avseg.errors import AvsegError
from tests.processes import is_running, needs_proc, wait_until_ended


def end_this_process(_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def worker_pid(_: object) -> int:
    return os.getpid()


@pytest.mark.parametrize("workers", [1, 2])
def test_results_are_in_the_order_of_the_arguments(workers: int) -> None:
    assert list(map_in_processes(abs, [-3, 2, -1], workers)) == [3, 2, 1]


def test_no_arguments_give_no_results() -> None:
    assert list(map_in_processes(abs, [], 2)) == []


def test_less_than_one_worker_raises() -> None:
    with pytest.raises(ValueError, match="workers must be at least 1, got 0"):
        map_in_processes(abs, [-3], 0)


def test_a_worker_that_is_killed_is_an_error() -> None:
    with pytest.raises(AvsegError, match="a worker process was ended from outside"):
        list(map_in_processes(end_this_process, [1, 2], 2))


@needs_proc
def test_workers_end_with_the_generator() -> None:
    with closing(map_in_processes(worker_pid, list(range(100)), 2)) as results:
        pid = next(results)
        assert is_running(pid)
    assert not is_running(pid)


@needs_proc
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)]
)
def test_an_ended_command_leaves_no_worker_and_no_folder(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    process = subprocess.Popen(  # noqa: S603
        [
            *(sys.executable, "-m", "avseg", "data", "synthesize", "--subset", "ms3"),
            *("--out", str(tmp_path), "--clips", "2000", "--workers", "2"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts commands in the background with SIGINT ignored, and so may a test runner.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    limit = time.monotonic() + 60
    while not any(tmp_path.rglob("*.png")) and time.monotonic() < limit:
        time.sleep(0.05)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) >= 2
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in errors
    assert wait_until_ended([int(pid) for pid in children])
    if number != signal.SIGKILL:  # what a killed process leaves is removed by the next one
        assert list(tmp_path.iterdir()) == []
