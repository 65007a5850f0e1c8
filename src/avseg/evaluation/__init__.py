"""A model on a data set: what it marks, whether it listens, and a report of both."""

from avseg.evaluation.evaluate import evaluate
from avseg.evaluation.following import measure_following
from avseg.evaluation.report import Report, read_report

__all__ = ["Report", "evaluate", "measure_following", "read_report"]
