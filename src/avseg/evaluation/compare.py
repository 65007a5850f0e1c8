"""Several models on the same clips: their scores side by side, and how sure the differences are."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from avseg.errors import ReportError
from avseg.evaluation.report import Report
from avseg.evaluation.scores import (
    LEVEL,
    MEASURES,
    Column,
    Interval,
    columns,
    difference_with_interval,
    draw_clips,
    sound_columns,
)
from avseg.evaluation.tables import LISTENING, Table, protocol_groups

#: Scores under other sounds that are compared: attribute of `SoundScores` -> heading.
_OF_SOUNDS = {"still_marked": "still marked", "j_then": "J strict", "unmoved": "overlap"}

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
        sound_differences: The same under each other sound, by attribute of `SoundScores`.
    """

    reports: dict[str, Report]
    differences: dict[str, dict[str, Interval]]
    sound_differences: dict[str, dict[str, dict[str, Interval]]]

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
            "sound_differences": {
                name: {
                    sound: {measure: asdict(found) for measure, found in differences.items()}
                    for sound, differences in by_sound.items()
                }
                for name, by_sound in self.sound_differences.items()
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
        differences={
            name: _differences(columns(report.clips), columns(reference.clips), drawn)
            for name, report in others
        },
        sound_differences={
            name: _sound_differences(report, reference, drawn) for name, report in others
        },
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
    return [*tables, *_sound_tables(comparison)]


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


def _sound_tables(comparison: Comparison) -> list[Table]:
    """Put what was found under other sounds beside each other, if they were tried for any."""
    reports = comparison.reports
    found = {name: report.sounds for name, report in reports.items()}
    if not any(found.values()):
        return []
    figures = Table(
        title="Listening in one figure",
        headings=("measure", *reports),
        rows=tuple(
            (title, *(report.listening.get(name) for report in reports.values()))
            for name, title in LISTENING.items()
        ),
    )
    return [
        figures,
        _by_sound("Other sounds for the same pictures", found),
        _by_sound(
            f"Differences from {comparison.first} under other sounds", comparison.sound_differences
        ),
    ]


def _by_sound(title: str, found: Mapping[str, Mapping[str, Mapping[str, Interval]]]) -> Table:
    """Put sounds below each other, with columns for each model."""
    sounds = dict.fromkeys(sound for by_sound in found.values() for sound in by_sound)
    return Table(
        title=title,
        headings=("sound", *(f"{name}: {what}" for name in found for what in _OF_SOUNDS.values())),
        rows=tuple(
            (
                sound,
                *(each.get(sound, {}).get(key) for each in found.values() for key in _OF_SOUNDS),
            )
            for sound in sounds
        ),
        note="*Still marked* and *overlap*: lower is better where the sound no longer is there.",
    )


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
    report: Mapping[str, Column], reference: Mapping[str, Column], drawn: NDArray[np.float64]
) -> dict[str, Interval]:
    """Subtract the scores of a reference from those of another model on the same clips."""
    found = {n: difference_with_interval(report[n], reference[n], drawn) for n in report}
    return {name: difference for name, difference in found.items() if difference is not None}


def _sound_differences(
    report: Report, reference: Report, drawn: NDArray[np.float64]
) -> dict[str, dict[str, Interval]]:
    return {
        sound: _differences(
            sound_columns(report.clips, sound), sound_columns(reference.clips, sound), drawn
        )
        for sound in report.sounds
        if sound in reference.sounds
    }
