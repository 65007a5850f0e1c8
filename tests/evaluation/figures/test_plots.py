"""Plots: their labels, and reports without data for them."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from avseg.evaluation.compare import compare
from avseg.evaluation.figures.plots import (
    PLOTS,
    plot_categories,
    plot_comparison,
    plot_conditions,
    plot_f_curve,
    plot_iou_histogram,
)
from tests.evaluation.reports import LONG_REPORT, REPORT, better


def legend_of(figure: Figure) -> list[str]:
    legend = figure.axes[0].get_legend()
    assert legend is not None
    return [text.get_text() for text in legend.get_texts()]


@pytest.mark.parametrize("name", PLOTS)
def test_every_plot_can_be_drawn(name: str) -> None:
    for report in (REPORT, LONG_REPORT):
        figure = PLOTS[name][1](report)
        assert figure is not None
        figure.draw_without_rendering()


def test_there_is_a_bar_for_each_category() -> None:
    figure = plot_categories(LONG_REPORT)
    assert figure is not None
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == ["cat (10)", "dog (20)"]


def test_without_categories_there_is_no_such_plot() -> None:
    clips = tuple(replace(clip, categories=()) for clip in REPORT.clips)
    assert plot_categories(replace(REPORT, clips=clips)) is None


def test_the_curve_labels_its_best_and_the_used_threshold() -> None:
    curve = tuple(float(f) for f in 1 - np.abs(np.linspace(0, 1, 255) - 0.25))
    figure = plot_f_curve(replace(REPORT, f_curve=curve))
    assert figure is not None
    assert legend_of(figure) == ["best: 0.998 at 0.25", "used: 0.750 at 0.50"]


def test_without_sounding_frames_there_is_no_curve() -> None:
    assert plot_f_curve(replace(REPORT, f_curve=())) is None


def test_every_clip_is_in_the_histogram() -> None:
    figure = plot_iou_histogram(LONG_REPORT)
    assert figure is not None
    heights = [patch.get_height() for patch in figure.axes[0].patches]  # type: ignore[attr-defined]
    assert sum(heights) == len(LONG_REPORT.clips)


def test_without_conditions_there_is_no_such_plot() -> None:
    clips = tuple(replace(clip, conditions={}) for clip in REPORT.clips)
    assert plot_conditions(replace(REPORT, clips=clips)) is None


def test_a_comparison_names_every_model() -> None:
    comparison = compare({"small": LONG_REPORT, "better": better(LONG_REPORT, 0.1)})
    figure = plot_comparison(comparison.reports, comparison.differences)
    figure.draw_without_rendering()
    assert legend_of(figure) == ["small", "better"]
