"""Parallel map over many clips, in several processes."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

Argument = TypeVar("Argument")
Result = TypeVar("Result")

#: Arguments sent to a process at once.
_CHUNK_SIZE = 4


def map_in_processes(
    function: Callable[[Argument], Result],
    arguments: Sequence[Argument],
    workers: int | None = None,
) -> Iterator[Result]:
    """Apply a function to many arguments in parallel.

    Args:
        function: Function of one argument. It and its arguments must be picklable.
        arguments: Arguments of the calls.
        workers: Number of processes; None for one per core. With 1, no process is started.

    Returns:
        Results in the order of the arguments.

    Raises:
        ValueError: If `workers` is less than 1.
    """
    workers = os.cpu_count() or 1 if workers is None else workers
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}.")
    workers = min(workers, len(arguments))
    return map(function, arguments) if workers <= 1 else _map_in_pool(function, arguments, workers)


def _map_in_pool(
    function: Callable[[Argument], Result], arguments: Sequence[Argument], workers: int
) -> Iterator[Result]:
    with ProcessPoolExecutor(
        max_workers=workers,
        # Not "fork": a forked copy of a process with threads (torch, FFmpeg) may deadlock.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_ignore_interrupts,
    ) as pool:
        try:
            yield from pool.map(function, arguments, chunksize=_CHUNK_SIZE)
        finally:
            pool.shutdown(cancel_futures=True)


def _ignore_interrupts() -> None:
    # Ctrl-C reaches every process of the group; only the parent should handle and report it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
