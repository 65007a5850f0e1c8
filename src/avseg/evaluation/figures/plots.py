"""Plots of a report, and of several beside each other."""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from avseg.evaluation.compare import Comparison
from avseg.evaluation.report import Report
from avseg.evaluation.scores import MEASURES, Interval, by_category, score_with_intervals
from avseg.metrics.binary import THRESHOLDS

#: Colours that also the colour-blind tell apart (Okabe and Ito).
BLUE, ORANGE, GREY = "#0072b2", "#e69f00", "#767676"
COLOURS = (BLUE, ORANGE, "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442")

#: Dots per inch of the written pictures.
DPI = 150


def draw_categories(report: Report) -> Figure | None:
    """Draw J of each category with its interval, the lowest at the bottom.

    Args:
        report: The report.

    Returns:
        The plot; None if the data set names no categories.
    """
    scored = {
        name: (score_with_intervals(clips)["j"], len(clips))
        for name, clips in by_category(report.clips).items()
    }
    if not scored:
        return None
    order = sorted(scored, key=lambda name: scored[name][0].value)
    figure, (axes,) = _new(report, height=1.4 + 0.24 * len(order))
    _bars(axes, [scored[name][0] for name in order], BLUE)
    axes.set_yticks(range(len(order)), [f"{name} ({scored[name][1]})" for name in order])
    axes.axvline(
        report.scores["j"].value, color=GREY, linestyle="--", linewidth=1, label="all clips"
    )
    axes.set(xlim=(0, 1), xlabel="mIoU (J); clips in brackets", ylim=(-0.7, len(order) - 0.3))
    axes.legend(loc="lower right", frameon=False)
    return figure


def draw_f_curve(report: Report) -> Figure | None:
    """Draw mean F over the threshold.

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
    best = int(curve.argmax())
    used = int(np.abs(thresholds - report.threshold).argmin())
    for place, colour, word in ((best, ORANGE, "best"), (used, GREY, "used")):
        axes.plot(thresholds[place], curve[place], "o", color=colour)
        label = f"{word}: {curve[place]:.3f} at {thresholds[place]:.2f}"
        axes.axvline(thresholds[place], color=colour, linestyle="--", linewidth=1, label=label)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="threshold", ylabel="mean F of the sounding frames")
    axes.legend(loc="lower center", framealpha=1, edgecolor="white")
    return figure


def draw_iou_histogram(report: Report) -> Figure | None:
    """Draw how many clips have which J.

    Args:
        report: The report.

    Returns:
        The plot.
    """
    figure, (axes,) = _new(report, height=3.4)
    bins = np.linspace(0, 1, 21).tolist()
    axes.hist([clip.j_strict for clip in report.clips], bins, color=BLUE, edgecolor="white")
    mean = report.scores["j_strict"].value
    axes.axvline(mean, color=ORANGE, linestyle="--", label=f"mean {mean:.3f}")
    axes.set(xlim=(0, 1), xlabel="J strict of a clip", ylabel="clips")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="upper left", frameon=False)
    return figure


def draw_sounds(report: Report) -> Figure | None:
    """Draw what is marked under each other sound, of what sounded before and in all.

    Args:
        report: The report.

    Returns:
        The plot; None if no other sounds were tried.
    """
    if not report.sounds:
        return None
    names = list(report.sounds)[::-1]
    figure, (axes,) = _new(report, height=1.5 + 0.62 * len(names))
    shown = {
        "still_marked": ("still marked, of what sounded before and no longer does", BLUE),
        "unmoved": ("overlap with the masks under the true sound", ORANGE),
        "j_then": ("J strict with what then sounds", COLOURS[2]),
    }
    for row, (measure, (label, colour)) in enumerate(shown.items()):
        scores = [report.sounds[name].get(measure) for name in names]
        _bars(axes, scores, colour, offset=0.27 * (1 - row), height=0.25, label=label)
    own = report.scores["j_strict"].value
    axes.axvline(own, color=COLOURS[2], linestyle="--", label="J strict with the true sound")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlim=(0, 1), ylim=(-0.6, len(names) - 0.4))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, ncols=1, fontsize=8)
    return figure


def draw_comparison(comparison: Comparison) -> Figure:
    """Draw the scores of several models, and how far each is from the first.

    Args:
        comparison: The comparison.

    Returns:
        The plot.
    """
    reports, measures = comparison.reports, list(MEASURES)[::-1]
    step = 0.8 / len(reports)
    figure, (left, right) = _new(
        reports[comparison.first],
        title=f"{len(reports)} models",
        height=1.2 + 0.25 * len(reports) * len(measures),
        columns=2,
    )
    for number, (name, report) in enumerate(reports.items()):
        colour = COLOURS[number % len(COLOURS)]
        offset = step * ((len(reports) - 1) / 2 - number)
        scores = [report.scores.get(measure) for measure in measures]
        _bars(left, scores, colour, offset, 0.9 * step, label=name)
        differences = comparison.differences.get(name, {})
        _points(right, [differences.get(measure) for measure in measures], colour, offset)
    left.set_yticks(range(len(measures)), [MEASURES[measure].heading for measure in measures])
    left.set(xlim=(0, 1), xlabel="score")
    right.set_yticks(range(len(measures)), [""] * len(measures))
    right.axvline(0, color=GREY, linewidth=1)
    right.set(xlabel=f"difference from {comparison.first}", ylim=left.get_ylim())
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False, fontsize=8)
    return figure


#: File name -> title and what draws it.
PLOTS: dict[str, tuple[str, Callable[[Report], Figure | None]]] = {
    "robustness.png": ("What is marked under other sounds", draw_sounds),
    "f_curve.png": ("F over the threshold", draw_f_curve),
    "iou_histogram.png": ("How well the clips are segmented", draw_iou_histogram),
    "categories.png": ("J of each category", draw_categories),
}


def _new(
    report: Report, height: float, title: str | None = None, columns: int = 1
) -> tuple[Figure, list[Axes]]:
    """Begin a plot; a Figure of its own, without pyplot, needs no display and is forgotten."""
    figure = Figure(figsize=(6.4, height), layout="constrained")
    figure.suptitle(f"{title or report.model} on {report.subset}/{report.split}", fontsize=10)
    axes = [figure.add_subplot(1, columns, number) for number in range(1, columns + 1)]
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _points(
    axes: Axes, scores: Sequence[Interval | None], colour: str, offset: float = 0.0
) -> None:
    """Draw scores as points with their intervals."""
    there = [(place + offset, score) for place, score in enumerate(scores) if score is not None]
    axes.errorbar(
        [score.value for _, score in there],
        [place for place, _ in there],
        xerr=_reach([score for _, score in there]),
        fmt="o",
        markersize=4,
        color=colour,
    )


def _reach(scores: Sequence[Interval]) -> NDArray[np.float64]:
    """Say how far below and above its value each interval goes, (2, n); 0 where there is none."""
    ends = [
        (0.0, 0.0)
        if score.low is None or score.high is None
        else (score.value - score.low, score.high - score.value)
        for score in scores
    ]
    return np.array(ends, np.float64).reshape(-1, 2).T.clip(min=0)


def _bars(
    axes: Axes,
    scores: Sequence[Interval | None],
    colour: str,
    offset: float = 0.0,
    height: float = 0.7,
    label: str | None = None,
) -> None:
    """Draw horizontal bars with their intervals; a score that does not apply leaves a gap."""
    there = [(place + offset, score) for place, score in enumerate(scores) if score is not None]
    axes.barh(
        [place for place, _ in there],
        [score.value for _, score in there],
        height,
        xerr=_reach([score for _, score in there]),
        color=colour,
        error_kw={"linewidth": 1, "ecolor": "#333333"},
        label=label,
    )
