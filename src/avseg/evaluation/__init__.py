"""Evaluation of models on data sets: scores, robustness tests, reports, comparisons and figures."""

from avseg.evaluation.compare import Comparison, compare
from avseg.evaluation.evaluate import evaluate
from avseg.evaluation.figures.comparison_sheet import draw_comparison
from avseg.evaluation.figures.embeddings import draw_embeddings
from avseg.evaluation.prediction import MaskFunction
from avseg.evaluation.protocol_scores import PredictionScores, score
from avseg.evaluation.report import Report, read_report

__all__ = [
    "Comparison",
    "MaskFunction",
    "PredictionScores",
    "Report",
    "compare",
    "draw_comparison",
    "draw_embeddings",
    "evaluate",
    "read_report",
    "score",
]
