"""Checks of data sets in AVSBench's layout for missing, broken and mislabelled files."""

from avseg.datasets.checking.check import check_data
from avseg.datasets.checking.report import CheckReport

__all__ = ["CheckReport", "check_data"]
