"""The data and the runs that training is tested with."""

from tests.training.conftest import data, one_second_of_each_category, one_thread, runs

__all__ = ["data", "one_second_of_each_category", "one_thread", "runs"]
