"""Worker processes with a time limit for each trial: a crash or a hang is an outcome, not the end.

Workers are forked, so that they start with everything that the harness has imported and loaded.
"""

import gc
import math
import multiprocessing
import os
import resource
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, TypeVar

from avseg.errors import AvsegError
from tests.reliability.outcomes import CRASH, HANG, RAW, Outcome

_FORK = multiprocessing.get_context("fork")

#: Address space of a worker beyond that of its parent, in bytes, so that a damaged file which
#: announces terabytes gets a MemoryError instead of the memory of the machine.
_ADDRESS_SPACE = 4 * 2**30

#: Time between two looks at the workers, in seconds.
_POLL_S = 0.5

T = TypeVar("T")


def processes() -> int:
    """Return the number of worker processes: one per core, or SOAK_PROCESSES."""
    return int(os.environ.get("SOAK_PROCESSES", "0")) or len(os.sched_getaffinity(0))


def try_each(
    trial: Callable[[T], Outcome], inputs: Sequence[T], limit_s: float
) -> Iterator[tuple[T, Outcome]]:
    """Try each input in worker processes.

    Args:
        trial: Function of one input. An `AvsegError` is the outcome "refused", any other exception
            a raw one.
        inputs: The inputs; they reach the workers by the fork, so they need not be picklable.
        limit_s: Processor time, or a tenth of the elapsed time, after which a trial is a hang and
            its worker is killed. Processor time alone would miss a trial that waits for ever, and
            elapsed time alone would call it a hang on a busy machine.

    Yields:
        Each input with its outcome, in the order in which they end.
    """
    waiting = iter(range(len(inputs)))
    workers: dict[Connection, _Worker] = {}
    try:
        for _ in range(min(processes(), len(inputs))):
            _give_next(waiting, workers, trial, inputs, limit_s)
        while workers:
            ready = wait(list(workers), _POLL_S)
            for connection, worker in list(workers.items()):
                outcome = worker.outcome(connection in ready)
                if outcome is None:
                    continue
                yield inputs[worker.index], outcome
                del workers[connection]
                _give_next(waiting, workers, trial, inputs, limit_s, worker)
    finally:
        for worker in workers.values():
            worker.end()


def _give_next(
    waiting: Iterator[int],
    workers: "dict[Connection, _Worker]",
    trial: Callable[[T], Outcome],
    inputs: Sequence[T],
    limit_s: float,
    worker: "_Worker | None" = None,
) -> None:
    """Give the next input to a worker, or to a new one if it has died; end it without input."""
    index = next(waiting, None)
    if index is None:
        if worker is not None:
            worker.end()
        return
    if worker is None or not worker.process.is_alive():
        worker = _Worker(trial, inputs)
    worker.give(index, limit_s)
    workers[worker.connection] = worker


class _Worker:
    """One worker process and the input that it has."""

    def __init__(self, trial: Callable[[Any], Outcome], inputs: Sequence[Any]) -> None:
        self.connection, own = _FORK.Pipe()
        self.process = _FORK.Process(target=_work, args=(trial, inputs, own))
        self.process.start()
        own.close()
        self.index, self.cpu_limit_s, self.deadline = -1, 0.0, 0.0

    def give(self, index: int, limit_s: float) -> None:
        """Start the trial of an input."""
        assert self.process.pid is not None
        self.index, self.cpu_limit_s = index, processor_time_s(self.process.pid) + limit_s
        self.deadline = time.monotonic() + 10 * limit_s
        self.connection.send(index)

    def outcome(self, is_ready: bool) -> Outcome | None:
        """Return the outcome of the current trial; None while it runs."""
        if is_ready:
            try:
                outcome: Outcome = self.connection.recv()
            except EOFError:
                self.process.join()
                return Outcome(CRASH, f"exit code {self.process.exitcode}")
            return outcome
        assert self.process.pid is not None
        spent_s = processor_time_s(self.process.pid)
        if math.isinf(spent_s):  # it has just died, which the connection shows next
            return None
        if spent_s >= self.cpu_limit_s or time.monotonic() >= self.deadline:
            self.end()
            return Outcome(HANG, "no result within the time limit")
        return None

    def end(self) -> None:
        """End the process at once."""
        self.process.kill()
        self.process.join()
        self.connection.close()


def _work(trial: Callable[[Any], Outcome], inputs: Sequence[Any], connection: Connection) -> None:
    """Try inputs until the harness ends."""
    gc.freeze()  # objects of the parent are not searched again
    warnings.simplefilter("ignore")  # as in a program; pytest would make them exceptions
    limit_memory(_ADDRESS_SPACE)
    while True:
        index = connection.recv()
        connection.send(guarded(trial, inputs[index]))


def guarded(trial: Callable[[T], Outcome], value: T) -> Outcome:
    """Return the outcome of a trial; an exception is an outcome too.

    Args:
        trial: The trial.
        value: Its input.

    Returns:
        The outcome.
    """
    try:
        return trial(value)
    except AvsegError as error:
        return Outcome("refused", f"{type(error).__name__}: {error}")
    except Exception as error:  # noqa: BLE001 - what the harness searches
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if "/avseg/" in frame.filename]
        place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
        return Outcome(RAW, f"{type(error).__name__} at {place}: {str(error)[:200]}")


def processor_time_s(pid: int) -> float:
    """Return the processor time that a process has taken, in seconds; infinity if it has ended.

    Args:
        pid: Number of the process.

    Returns:
        The time, without that of its children.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return math.inf
    if fields[0] == "Z":
        return math.inf
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def limit_memory(further_bytes: int) -> None:
    """Limit the address space of this process, where the system supports it.

    Args:
        further_bytes: Bytes beyond those that the process has now.
    """
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return
    own = int(statm.read_text().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (own + further_bytes, hard))
