"""Many jobs, one order."""

import pytest

from avseg.datasets.parallel import map_in_processes


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_jobs(workers: int) -> None:
    assert list(map_in_processes(abs, [-3, 2, -1], workers)) == [3, 2, 1]


def test_no_jobs_need_no_processes() -> None:
    assert list(map_in_processes(abs, [], 2)) == []


def test_there_must_be_workers() -> None:
    with pytest.raises(ValueError, match="workers must be at least 1, got 0"):
        map_in_processes(abs, [-3], 0)
