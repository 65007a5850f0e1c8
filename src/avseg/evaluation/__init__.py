"""Evaluation of models on data sets: scores, robustness tests, reports, comparisons, figures."""
