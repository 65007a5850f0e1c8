"""Plots of a report, and of a comparison of several reports."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from avseg.evaluation.report import Report
from avseg.evaluation.scores import SCORE_COLUMNS, Interval, by_category, score_with_intervals
from avseg.metrics.binary import THRESHOLDS

#: Colours that colour-blind readers can distinguish (Okabe and Ito).
BLUE, ORANGE, GREY = "#0072b2", "#e69f00", "#767676"
COLOURS = (BLUE, ORANGE, "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442")

#: Resolution of the written pictures, in dots per inch.
DPI = 150


def plot_categories(report: Report) -> Figure | None:
    """Plot the J of each category with its interval; the lowest is at the bottom.

    Args:
        report: The report.

    Returns:
        The plot; None if the data set lists no categories.
    """
    scored = {
        name: (score_with_intervals(clips)["j"], len(clips))
        for name, clips in by_category(report.clips).items()
    }
    if not scored:
        return None
    # Bars are drawn from the bottom up.
    order = sorted(scored, key=lambda name: scored[name][0].value)
    # The height grows with the number of bars, so that their labels do not overlap.
    figure, (axes,) = _new(report, height=1.4 + 0.24 * len(order))
    _bars(axes, [scored[name][0] for name in order], BLUE)
    axes.set_yticks(range(len(order)), [f"{name} ({scored[name][1]})" for name in order])
    axes.axvline(
        report.scores["j"].value, color=GREY, linestyle="--", linewidth=1, label="all clips"
    )
    # Fixed limits, so that plots of different models can be compared by eye.
    axes.set(xlim=(0, 1), xlabel="mIoU (J); clips in brackets", ylim=(-0.7, len(order) - 0.3))
    axes.legend(loc="lower right", frameon=False)
    return figure


def plot_f_curve(report: Report) -> Figure | None:
    """Plot the mean F at each threshold.

    Args:
        report: The report.

    Returns:
        The plot; None if all frames are silent.
    """
    if not report.f_curve:
        return None
    figure, (axes,) = _new(report, height=3.4)
    thresholds, curve = THRESHOLDS.numpy(), np.array(report.f_curve)
    axes.plot(thresholds, curve, color=BLUE)
    # The best threshold is chosen on the evaluated data, so it is an upper bound for tuning.
    best = int(curve.argmax())
    used = int(np.abs(thresholds - report.threshold).argmin())
    for place, colour, word in ((best, ORANGE, "best"), (used, GREY, "used")):
        axes.plot(thresholds[place], curve[place], "o", color=colour)
        label = f"{word}: {curve[place]:.3f} at {thresholds[place]:.2f}"
        axes.axvline(thresholds[place], color=colour, linestyle="--", linewidth=1, label=label)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="threshold", ylabel="mean F of the sounding frames")
    axes.legend(loc="lower center", framealpha=1, edgecolor="white")
    return figure


def plot_iou_histogram(report: Report) -> Figure | None:
    """Plot the histogram of strict J over clips.

    Args:
        report: The report.

    Returns:
        The plot.
    """
    figure, (axes,) = _new(report, height=3.4)
    # Strict J, so that a silent clip with a few marked pixels does not count as a good clip.
    bins = np.linspace(0, 1, 21).tolist()
    axes.hist([clip.j_strict for clip in report.clips], bins, color=BLUE, edgecolor="white")
    mean = report.scores["j_strict"].value
    axes.axvline(mean, color=ORANGE, linestyle="--", label=f"mean {mean:.3f}")
    axes.set(xlim=(0, 1), xlabel="J strict of a clip", ylabel="clips")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="upper left", frameon=False)
    return figure


def plot_conditions(report: Report) -> Figure | None:
    """Plot the scores under each condition: still marked, overlap, strict J.

    Args:
        report: The report.

    Returns:
        The plot; None if no conditions were tested.
    """
    if not report.conditions:
        return None
    names = list(report.conditions)[::-1]  # bars are drawn from the bottom up
    figure, (axes,) = _new(report, height=1.5 + 0.62 * len(names))
    shown = {
        "silenced_marked": ("still marked: objects that no longer sound", BLUE),
        "iou_with_original": ("overlap with the masks for the original audio", ORANGE),
        "j_condition": ("J strict, ground truth for the new audio", COLOURS[2]),
    }
    # Three bars of height 0.25 for each condition, at -0.27, 0 and 0.27.
    for row, (column, (label, colour)) in enumerate(shown.items()):
        scores = [report.conditions[name].get(column) for name in names]
        _bars(axes, scores, colour, offset=0.27 * (1 - row), height=0.25, label=label)
    own = report.scores["j_strict"].value
    axes.axvline(own, color=COLOURS[2], linestyle="--", label="J strict with the original audio")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlim=(0, 1), ylim=(-0.6, len(names) - 0.4))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, ncols=1, fontsize=8)
    return figure


def plot_comparison(
    reports: Mapping[str, Report], differences: Mapping[str, Mapping[str, Interval]]
) -> Figure:
    """Plot the scores of several models, and their differences from the first.

    Args:
        reports: Reports by name, the reference first.
        differences: For each other report, the difference of each score of `SCORE_COLUMNS`.

    Returns:
        The plot.
    """
    reference, columns = next(iter(reports)), list(SCORE_COLUMNS)[::-1]
    # The bars of all models share 80 % of the distance between two scores.
    step = 0.8 / len(reports)
    figure, (left, right) = _new(
        reports[reference],
        title=f"{len(reports)} models",
        height=1.2 + 0.25 * len(reports) * len(columns),
        columns=2,
    )
    for number, (name, report) in enumerate(reports.items()):
        colour = COLOURS[number % len(COLOURS)]
        offset = step * ((len(reports) - 1) / 2 - number)
        _bars(left, [report.scores.get(c) for c in columns], colour, offset, 0.9 * step, label=name)
        of_model = differences.get(name, {})
        _points(right, [of_model.get(column) for column in columns], colour, offset)
    left.set_yticks(range(len(columns)), [SCORE_COLUMNS[column].heading for column in columns])
    left.set(xlim=(0, 1), xlabel="score")
    # The rows are those of the left plot, whose labels are not repeated.
    right.set_yticks(range(len(columns)), [""] * len(columns))
    right.axvline(0, color=GREY, linewidth=1)
    right.set(xlabel=f"difference from {reference}", ylim=left.get_ylim())
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, fontsize=8)
    return figure


#: File name -> title and function that plots it.
PLOTS: dict[str, tuple[str, Callable[[Report], Figure | None]]] = {
    "robustness.png": ("Masks under each condition", plot_conditions),
    "f_curve.png": ("F over the threshold", plot_f_curve),
    "iou_histogram.png": ("Histogram of the clips", plot_iou_histogram),
    "categories.png": ("J of each category", plot_categories),
}


def _new(
    report: Report, height: float, title: str | None = None, columns: int = 1
) -> tuple[Figure, list[Axes]]:
    """Create a figure with a title and axes.

    pyplot is not used: it would need a display, and would keep all figures in memory.
    """
    figure = Figure(figsize=(6.4, height), layout="constrained")
    figure.suptitle(f"{title or report.model} on {report.subset}/{report.split}", fontsize=10)
    axes = [figure.add_subplot(1, columns, number) for number in range(1, columns + 1)]
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _points(
    axes: Axes, scores: Sequence[Interval | None], colour: str, offset: float = 0.0
) -> None:
    """Plot scores as points with their intervals."""
    placed = _place(scores, offset)
    axes.errorbar(
        [score.value for _, score in placed],
        [place for place, _ in placed],
        xerr=_error_bars([score for _, score in placed]),
        fmt="o",
        markersize=4,
        color=colour,
    )


def _bars(
    axes: Axes,
    scores: Sequence[Interval | None],
    colour: str,
    offset: float = 0.0,
    height: float = 0.7,
    label: str | None = None,
) -> None:
    """Plot scores as horizontal bars with their intervals; a score of None has no bar."""
    placed = _place(scores, offset)
    axes.barh(
        [place for place, _ in placed],
        [score.value for _, score in placed],
        height,
        xerr=_error_bars([score for _, score in placed]),
        color=colour,
        error_kw={"linewidth": 1, "ecolor": "#333333"},
        label=label,
    )


def _place(scores: Sequence[Interval | None], offset: float) -> list[tuple[float, Interval]]:
    """Pair each score with its position on the axis; scores of None are omitted."""
    return [(place + offset, score) for place, score in enumerate(scores) if score is not None]


def _error_bars(scores: Sequence[Interval]) -> NDArray[np.float64]:
    """Return the lengths of the error bars below and above each score, (2, n); 0 for none."""
    ends = [
        (0.0, 0.0)
        if score.low is None or score.high is None
        else (score.value - score.low, score.high - score.value)
        for score in scores
    ]
    # A percentile interval may not contain the mean; matplotlib rejects negative lengths.
    return np.array(ends, np.float64).reshape(-1, 2).T.clip(min=0)
