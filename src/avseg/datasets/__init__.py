"""Readers and checks of data sets in AVSBench's layout."""

from avseg.datasets.avsbench import AnnotatedClip, AVSBench
from avseg.datasets.checking import CheckReport, check_data

__all__ = ["AVSBench", "AnnotatedClip", "CheckReport", "check_data"]
