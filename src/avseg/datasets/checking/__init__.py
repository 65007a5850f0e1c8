"""What is missing, broken or mislabelled in a data set."""

from avseg.datasets.checking.check import check_data
from avseg.datasets.checking.report import CheckReport

__all__ = ["CheckReport", "check_data"]
