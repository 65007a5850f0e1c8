"""Parallel map: order of the results and number of processes."""

import pytest

from avseg.datasets.parallel import map_in_processes


@pytest.mark.parametrize("workers", [1, 2])
def test_results_are_in_the_order_of_the_arguments(workers: int) -> None:
    assert list(map_in_processes(abs, [-3, 2, -1], workers)) == [3, 2, 1]


def test_no_arguments_give_no_results() -> None:
    assert list(map_in_processes(abs, [], 2)) == []


def test_less_than_one_worker_raises() -> None:
    with pytest.raises(ValueError, match="workers must be at least 1, got 0"):
        map_in_processes(abs, [-3], 0)
