"""Parallel map over many clips, in several processes, which never outlive this one."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from avseg.errors import AvsegError

Argument = TypeVar("Argument")
Result = TypeVar("Result")

#: Arguments sent to a process at once.
_CHUNK_SIZE = 4


def map_in_processes(
    function: Callable[[Argument], Result],
    arguments: Sequence[Argument],
    workers: int | None = None,
) -> Generator[Result, None, None]:
    """Apply a function to many arguments in parallel.

    Args:
        function: Function of one argument. It and its arguments must be picklable.
        arguments: Arguments of the calls.
        workers: Number of processes; None for one per core. With 1, no process is started.

    Returns:
        Results in the order of the arguments. The processes end with the generator, so use it in
        `contextlib.closing` if the caller may stop before its end.

    Raises:
        AvsegError: If a process is ended from outside; raised with the results.
        ValueError: If `workers` is less than 1.
    """
    workers = os.cpu_count() or 1 if workers is None else workers
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}.")
    workers = min(workers, len(arguments))
    if workers <= 1:
        return (function(argument) for argument in arguments)
    return _map_in_pool(function, arguments, workers)


def _map_in_pool(
    function: Callable[[Argument], Result], arguments: Sequence[Argument], workers: int
) -> Generator[Result, None, None]:
    pool = ProcessPoolExecutor(
        max_workers=workers,
        # Not "fork": a forked copy of a process with threads (torch, FFmpeg) may deadlock.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start_worker,
    )
    # Kept here, since the pool forgets its processes when one of them ends.
    processes = pool._processes
    try:
        yield from pool.map(function, arguments, chunksize=_CHUNK_SIZE)
    except BrokenProcessPool as error:
        raise AvsegError(
            "a worker process was ended from outside, perhaps for lack of memory; use fewer "
            "workers (--workers 1)."
        ) from error
    except BaseException:
        # Their work is discarded, and must not be waited for. Nor may they go on writing to a
        # folder that the caller is about to remove.
        for process in list(processes.values()):
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    # Ctrl-C reaches every process of the group; only the parent should handle and report it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this worker when its parent is gone: a killed parent cannot end it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
