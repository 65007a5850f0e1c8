"""One function for many clips, in as many processes as there are cores."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

Argument = TypeVar("Argument")
Result = TypeVar("Result")

_JOBS_PER_TASK = 4


def map_in_processes(
    function: Callable[[Argument], Result], jobs: Sequence[Argument], workers: int | None = None
) -> Iterator[Result]:
    """Call a function for each of many jobs.

    Args:
        function: What to call; it and the jobs must survive pickling.
        jobs: Its arguments.
        workers: Processes; by default one for each core. With one, everything happens here.

    Returns:
        What it returned, in the order of the jobs.

    Raises:
        ValueError: If there are no workers.
    """
    workers = os.cpu_count() or 1 if workers is None else workers
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}.")
    workers = min(workers, len(jobs))
    return map(function, jobs) if workers <= 1 else _map_in_pool(function, jobs, workers)


def _map_in_pool(
    function: Callable[[Argument], Result], jobs: Sequence[Argument], workers: int
) -> Iterator[Result]:
    with ProcessPoolExecutor(
        max_workers=workers,
        # A fork of a program that has threads may hang.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_leave_interrupts_to_the_parent,
    ) as pool:
        try:
            yield from pool.map(function, jobs, chunksize=_JOBS_PER_TASK)
        finally:
            pool.shutdown(cancel_futures=True)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
