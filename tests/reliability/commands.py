"""Tasks in forked processes, which start with all libraries imported: commands of avseg, mostly.

A new Python process imports torch for seconds before a command does anything. A fork of this
process, which has imported it and has started no thread, runs the same `main()` at once.
"""

import gc
import math
import multiprocessing
import os
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from avseg.cli.main import main
from avseg.cli.terminal import show_error
from avseg.errors import AvsegError
from tests.reliability.workers import processor_time_s

#: A function that returns an exit code.
Task = Callable[[], int]

_FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Ended:
    """End of a command.

    Attributes:
        code: Its exit code; negative for the number of a signal.
        text: Its output on stdout and stderr.
        cpu_s: Processor time that it took, in seconds.
        was_signalled: Whether the signal was sent before it ended by itself.
        group: Number of its process group.
    """

    code: int
    text: str
    cpu_s: float
    was_signalled: bool
    group: int


@dataclass(frozen=True)
class Signal:
    """A signal that ends a command early.

    Attributes:
        number: SIGKILL or SIGTERM.
        after_cpu_s: Processor time that the command and its children have taken by then, in
            seconds, so that the place does not depend on how busy the machine is.
    """

    number: signal.Signals
    after_cpu_s: float


def command(*arguments: object) -> Task:
    """Return the task of a command line.

    Args:
        *arguments: Arguments after `avseg`.

    Returns:
        Function that runs the command and returns its exit code.
    """

    def run() -> int:
        sys.argv = ["avseg", *map(str, arguments)]
        return main()

    return run


def call(function: Callable[..., object], *arguments: object, **options: object) -> Task:
    """Return the task of a Python function, which ends as a command would.

    Args:
        function: The function.
        *arguments: Its arguments.
        **options: Its arguments by name.

    Returns:
        Function that returns 0, or 1 after an `AvsegError`.
    """

    def run() -> int:
        try:
            function(*arguments, **options)
        except AvsegError as error:
            show_error(str(error))
            return 1
        return 0

    return run


def run_task(task: Task, log: Path, end: Signal | None = None, limit_s: float = 300) -> Ended:
    """Run a task in a process of its own, and send it a signal if wanted.

    Args:
        task: The task.
        log: File for its output; it is replaced.
        end: Signal that ends it; None to wait for its end.
        limit_s: Time after which it is killed, in seconds.

    Returns:
        Its end.
    """
    process = _FORK.Process(target=_run, args=(task, log))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process.start()
    assert process.pid is not None
    was_signalled = end is not None and _wait_for(process.pid, end.after_cpu_s)
    if end is not None and was_signalled:
        os.kill(process.pid, end.number)
    process.join(limit_s)
    if process.exitcode is None:
        process.kill()
        process.join()
    assert process.exitcode is not None
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return Ended(process.exitcode, text, cpu_s, was_signalled, process.pid)


def _wait_for(group: int, cpu_s: float) -> bool:
    """Wait until a process group has taken processor time; return False if its leader has ended."""
    while processor_time_s(group) != math.inf:
        if _group_time_s(group) >= cpu_s:
            return True
        time.sleep(0.005)
    return False


def _group_time_s(group: int) -> float:
    """Return the processor time of a process group and of its children that have ended."""
    ticks = sum(sum(map(int, fields[11:15])) for _, fields in _processes(group))
    return ticks / os.sysconf("SC_CLK_TCK")


def still_running(group: int) -> list[int]:
    """Return the processes of a process group that have not ended.

    Args:
        group: Number of the group.

    Returns:
        Numbers of the processes.
    """
    return [number for number, fields in _processes(group) if fields[0] != "Z"]


def _processes(group: int) -> Iterator[tuple[int, list[str]]]:
    """Yield number and status, the fields of /proc/NUMBER/stat from the third on, of a group."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        if int(fields[2]) == group:
            yield int(folder.name), fields


def _run(task: Task, log: Path) -> None:
    """Run a task as its own process group, with its output in a file."""
    os.setpgid(0, 0)
    gc.freeze()  # objects of the parent are not searched again
    with log.open("wb") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - replaces pytest's own
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    warnings.simplefilter("ignore")  # as in a program; pytest would make them exceptions
    torch.set_num_threads(1)
    code = task()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
