"""Comparison of several models on the same clips: scores, differences, confidence intervals."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avseg.atomic import OwnFolder, has_marker
from avseg.errors import ReportError
from avseg.evaluation.figures.plots import DPI, plot_comparison
from avseg.evaluation.report import Report, read_reports, write_files
from avseg.evaluation.scores import (
    LEVEL,
    SCORE_COLUMNS,
    Interval,
    WeightedValues,
    clip_values,
    condition_values,
    difference_with_interval,
    draw_clips,
)
from avseg.evaluation.tables import ROBUSTNESS, Cell, Table, protocol_groups

#: Scores under conditions that are compared: attribute of `ConditionScores` -> heading.
_CONDITION_COLUMNS = {
    "silenced_marked": "still marked",
    "j_condition": "J strict",
    "iou_with_original": "overlap",
}

_JSON_FILE = "compare.json"
_OWN_FOLDER = OwnFolder("a comparison", has_marker(_JSON_FILE, ("compared_with", "differences")))

#: Properties that must be equal in all reports: name -> function that reads it.
_MUST_BE_EQUAL: dict[str, Callable[[Report], object]] = {
    "subset": lambda report: report.subset,
    "split": lambda report: report.split,
    "threshold": lambda report: report.threshold,
    "protocols": lambda report: ", ".join(report.protocols),
    # Equal clips with other numbers of frames would have another ground truth.
    "clips": lambda report: [(c.clip_id, c.frames, c.silent_frames) for c in report.clips],
}


@dataclass(frozen=True)
class Comparison:
    """Reports of several models on the same clips, and the differences between them.

    Attributes:
        reports: The reports by a unique name; the first one is the reference.
        differences: For each other report, its score minus that of the reference, with the interval
            of this difference, by key of `scores.SCORE_COLUMNS`.
        condition_differences: For each other report and each condition, the same differences by
            attribute of `ConditionScores`.
    """

    reports: dict[str, Report]
    differences: dict[str, dict[str, Interval]]
    condition_differences: dict[str, dict[str, dict[str, Interval]]]

    @property
    def first(self) -> str:
        """Name of the reference."""
        return next(iter(self.reports))

    def to_json(self) -> str:
        """Return the differences as JSON."""
        facts = {
            "compared_with": self.first,
            "differences": {
                name: {column: asdict(difference) for column, difference in differences.items()}
                for name, differences in self.differences.items()
            },
            "condition_differences": {
                name: {
                    condition: {column: asdict(each) for column, each in differences.items()}
                    for condition, differences in by_condition.items()
                }
                for name, by_condition in self.condition_differences.items()
            },
        }
        return json.dumps(facts, indent=2) + "\n"

    def tables(self) -> list[Table]:
        """Format the comparison as tables: scores, differences, protocols, conditions."""
        scores = {name: report.scores for name, report in self.reports.items()}
        tables = [
            _score_table("Scores with the original audio", scores),
            replace(
                _score_table(f"Differences from {self.first}", self.differences),
                note=(
                    f"In brackets: {LEVEL:.0%} of the draws of the same clips for both. A "
                    "difference whose brackets contain 0 may be random."
                ),
            ),
        ]
        # Protocol scores have no intervals: with batches of clips they are no means over clips.
        for title, group in protocol_groups(self.reports[self.first]).items():
            headings = (f"{name}: {key}" for name in self.reports for key in "JF")
            rows: tuple[tuple[Cell, ...], ...] = tuple(
                (name, *(r.protocols[name][key] for r in self.reports.values() for key in "jf"))
                for name in group
            )
            tables.append(Table(title, ("protocol", *headings), rows))
        return [*tables, *self._condition_tables()]

    def _condition_tables(self) -> list[Table]:
        """Format the scores under conditions; empty if no report has any."""
        scores = {name: report.conditions for name, report in self.reports.items()}
        if not any(scores.values()):
            return []
        figures = Table(
            title="Robustness in one figure",
            headings=("measure", *self.reports),
            rows=tuple(
                (title, *(report.robustness.get(name) for report in self.reports.values()))
                for name, title in ROBUSTNESS.items()
            ),
        )
        return [
            figures,
            _condition_table("The same frames with replaced audio", scores),
            _condition_table(
                f"Differences from {self.first} with replaced audio", self.condition_differences
            ),
        ]


def compare(
    reports: Sequence[str | PathLike[str]] | Mapping[str, Report],
    *,
    output: str | PathLike[str] | None = None,
) -> Comparison:
    """Compare models that were evaluated on the same clips with the same options.

    Args:
        reports: Folders that `evaluate` wrote, or reports by a unique name, at least two. The
            others are compared with the first.
        output: Folder for compare.md, compare.json and compare.png; None to write no files.

    Returns:
        The comparison.

    Raises:
        OutputError: If the folder has other contents, or a file cannot be written.
        ReportError: If there are fewer than two reports, one cannot be read, or they have different
            clips, splits, thresholds or protocols.
    """
    if output is not None:
        _OWN_FOLDER.check(Path(output))
    named = dict(reports) if isinstance(reports, Mapping) else read_reports(reports)
    if len(named) < 2:
        raise ReportError(f"there is {len(named)} report; give at least two to compare.")
    (first, reference), *others = named.items()
    for name, report in others:
        _check_comparable(first, reference, name, report)
    # All models share the resamples, which makes the bootstrap paired.
    drawn = draw_clips(len(reference.clips))
    comparison = Comparison(
        reports=named,
        differences={
            name: _differences(clip_values(report.clips), clip_values(reference.clips), drawn)
            for name, report in others
        },
        condition_differences={
            name: _condition_differences(report, reference, drawn) for name, report in others
        },
    )
    if output is not None:
        _save(comparison, Path(output))
    return comparison


def _save(comparison: Comparison, folder: Path) -> None:
    report = comparison.reports[comparison.first]
    parts = [f"# {len(comparison.reports)} models on {report.subset}/{report.split}\n"]
    parts += [table.to_markdown() for table in comparison.tables()]
    parts.append("![Scores and differences](compare.png)\n")
    figure = plot_comparison(comparison.reports, comparison.differences)
    files: dict[str, Callable[[Path], object] | str] = {
        _JSON_FILE: comparison.to_json(),
        "compare.png": partial(figure.savefig, dpi=DPI),
        "compare.md": "\n".join(parts),
    }
    write_files(files, folder, _OWN_FOLDER)


def _score_table(title: str, scores: Mapping[str, Mapping[str, Interval]]) -> Table:
    """Return a table with one score per row and one model per column."""
    return Table(
        title=title,
        headings=("measure", *scores),
        rows=tuple(
            (column.heading, *(of_model.get(name) for of_model in scores.values()))
            for name, column in SCORE_COLUMNS.items()
        ),
    )


def _condition_table(
    title: str, scores: Mapping[str, Mapping[str, Mapping[str, Interval]]]
) -> Table:
    """Return a table with one condition per row and several columns per model."""
    # Reports may have different conditions; a dict keeps the order of the first report.
    conditions = dict.fromkeys(name for by_condition in scores.values() for name in by_condition)
    columns = _CONDITION_COLUMNS
    return Table(
        title=title,
        headings=("condition", *(f"{name}: {c}" for name in scores for c in columns.values())),
        rows=tuple(
            (name, *(each.get(name, {}).get(key) for each in scores.values() for key in columns))
            for name in conditions
        ),
        note="*Still marked* and *overlap*: lower is better if the sound is gone.",
    )


def _check_comparable(first: str, reference: Report, name: str, report: Report) -> None:
    for what, read in _MUST_BE_EQUAL.items():
        own, expected = read(report), read(reference)
        if own == expected:
            continue
        if what == "clips":  # too long to print
            own, expected = f"{len(report.clips)} clips", f"{len(reference.clips)} others"
        raise ReportError(
            f"{name} and {first} have different {what}: {own} and {expected}; evaluate both on the "
            "same clips with the same options."
        )


def _differences(
    values: Mapping[str, WeightedValues],
    reference: Mapping[str, WeightedValues],
    drawn: NDArray[np.float64],
) -> dict[str, Interval]:
    """Compute the differences of all scores that both models have."""
    differences = {
        name: difference_with_interval(values[name], reference[name], drawn) for name in values
    }
    # A score that applies to no clip, such as one of silent frames, has no difference.
    return {name: difference for name, difference in differences.items() if difference is not None}


def _condition_differences(
    report: Report, reference: Report, drawn: NDArray[np.float64]
) -> dict[str, dict[str, Interval]]:
    return {
        name: _differences(
            condition_values(report.clips, name), condition_values(reference.clips, name), drawn
        )
        for name in report.conditions
        if name in reference.conditions
    }
