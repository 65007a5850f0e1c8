"""Several models on the same clips: their scores side by side, and how sure the differences are.

Both models are averaged over the same drawn clips before the difference is taken (the paired
bootstrap), so that clips that are hard for both do not count against either.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from avseg.errors import ReportError
from avseg.evaluation.report import Report
from avseg.evaluation.scores import (
    LEAST_CLIPS,
    LEVEL,
    MEASURES,
    Interval,
    column,
    draw_clips,
    resampled_means,
)
from avseg.evaluation.tables import LISTENING, Cell, Table, protocol_groups

#: What has to be the same in all reports, and what it is called.
_SAME: dict[str, Callable[[Report], object]] = {
    "subset": lambda report: report.subset,
    "split": lambda report: report.split,
    "threshold": lambda report: report.threshold,
    "protocols": lambda report: ", ".join(report.protocols),
    "clips": lambda report: [(c.clip_id, c.frames, c.silent_frames) for c in report.clips],
}


@dataclass(frozen=True)
class Comparison:
    """Reports of several models on the same clips.

    Attributes:
        reports: By the name that tells them apart, the one to compare with first.
        differences: For each other report, by key of `scores.MEASURES`: its score less that of the
            first, with its interval.
    """

    reports: dict[str, Report]
    differences: dict[str, dict[str, Interval]]

    @property
    def first(self) -> str:
        """Name of the report that the others are compared with."""
        return next(iter(self.reports))

    def to_json(self) -> str:
        """Write the differences for programs."""
        facts = {
            "compared_with": self.first,
            "differences": {
                name: {measure: asdict(found) for measure, found in differences.items()}
                for name, differences in self.differences.items()
            },
        }
        return json.dumps(facts, indent=2) + "\n"


def compare(reports: Mapping[str, Report]) -> Comparison:
    """Compare models that were evaluated on the same clips in the same way.

    Args:
        reports: By a name for each, the one to compare with first.

    Returns:
        The comparison.

    Raises:
        ReportError: If there are fewer than two, or they are of different clips, splits,
            thresholds or protocols.
    """
    if len(reports) < 2:
        raise ReportError(f"there is {len(reports)} report; give at least two to compare.")
    (first, reference), *others = reports.items()
    for name, report in others:
        _check_comparable(first, reference, name, report)
    drawn = draw_clips(len(reference.clips))
    return Comparison(
        reports=dict(reports),
        differences={name: _differences(reference, report, drawn) for name, report in others},
    )


def compared_tables(comparison: Comparison) -> list[Table]:
    """Spell a comparison out.

    Args:
        comparison: The comparison.

    Returns:
        Its tables.
    """
    reports = comparison.reports
    found = {name: report.scores for name, report in reports.items()}
    tables = [
        _measure_table("Scores with the true sound", found),
        replace(
            _measure_table(f"Differences from {comparison.first}", comparison.differences),
            note=(
                f"In brackets: {LEVEL:.0%} of the draws of the same clips for both. A difference "
                "whose brackets hold 0 may be chance."
            ),
        ),
    ]
    for title, group in protocol_groups(reports[comparison.first]).items():
        tables.append(
            Table(
                title=title,
                headings=("protocol", *(f"{name}: {key}" for name in reports for key in "JF")),
                rows=tuple(
                    (
                        protocol,
                        *(r.protocols[protocol][key] for r in reports.values() for key in "jf"),
                    )
                    for protocol in group
                ),
            )
        )
    return [*tables, *_sound_tables(reports)]


def _measure_table(title: str, found: Mapping[str, Mapping[str, Interval]]) -> Table:
    """Put measures below each other, with a column for each model."""
    return Table(
        title=title,
        headings=("measure", *found),
        rows=tuple(
            (measure.heading, *(scores.get(name) for scores in found.values()))
            for name, measure in MEASURES.items()
        ),
    )


def _sound_tables(reports: Mapping[str, Report]) -> list[Table]:
    """Put what was found under other sounds beside each other, if they were tried for any."""
    sounds = dict.fromkeys(sound for report in reports.values() for sound in report.sounds)
    if not sounds:
        return []
    figures: dict[str, Sequence[Cell]] = {
        title: [report.listening.get(name) for report in reports.values()]
        for name, title in LISTENING.items()
    }
    shown = {"still_marked": "still marked", "j_then": "J strict", "unmoved": "overlap"}
    return [
        Table(
            title="Listening in one figure",
            headings=("measure", *reports),
            rows=tuple((title, *cells) for title, cells in figures.items()),
        ),
        Table(
            title="Other sounds for the same pictures",
            headings=("sound", *(f"{n}: {what}" for n in reports for what in shown.values())),
            rows=tuple(
                (
                    sound,
                    *(r.sounds.get(sound, {}).get(key) for r in reports.values() for key in shown),
                )
                for sound in sounds
            ),
        ),
    ]


def _check_comparable(first: str, reference: Report, name: str, report: Report) -> None:
    for what, read in _SAME.items():
        here, there = read(report), read(reference)
        if here == there:
            continue
        if what == "clips":
            here, there = f"{len(report.clips)} clips", f"{len(reference.clips)} others"
        raise ReportError(
            f"{name} and {first} have different {what}: {here} and {there}; evaluate both on the "
            "same clips with the same options."
        )


def _differences(
    reference: Report, report: Report, drawn: NDArray[np.float64]
) -> dict[str, Interval]:
    """Subtract the scores of a reference from those of another model on the same clips."""
    differences = {}
    for name in MEASURES.keys() & reference.scores.keys() & report.scores.keys():
        columns = [column(each.clips, name) for each in (report, reference)]
        value = report.scores[name].value - reference.scores[name].value
        if min(np.count_nonzero(weights) for _, weights in columns) < LEAST_CLIPS:
            differences[name] = Interval(value)
            continue
        resampled = np.subtract(*(resampled_means(*each, drawn) for each in columns))
        low, high = np.nanquantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        differences[name] = Interval(value, float(low), float(high))
    return differences
