"""The tables and sentences of a report, for Markdown and for the terminal."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from avseg.evaluation.report import Report, SemanticScores
from avseg.evaluation.robustness import DESCRIPTIONS, NEGATIVES
from avseg.evaluation.scores import (
    LEAST_CLIPS,
    LEVEL,
    RESAMPLES,
    SCORE_COLUMNS,
    Interval,
    by_category,
    score_with_intervals,
)
from avseg.metrics.protocol_table import PROTOCOLS
from avseg.metrics.semantic import SEMANTIC_PROTOCOLS

#: Columns of the table of conditions: attribute of `ConditionScores` -> heading.
_CONDITION_COLUMNS = {
    "marked_frames": "frames marked",
    "marked_area": "area marked (FPR)",
    "silenced_marked": "still marked",
    "j_condition": "J strict, new ground truth",
    "j_own_sounding": "J, original ground truth",
    "iou_with_original": "overlap with the original masks",
}

#: Heading of the column that lists the quirks of a protocol.
_QUIRKS = "differences from AVSBench on single clips"

#: Scores in the table of categories.
_CATEGORY_SCORES = ("j", "j_strict", "f", "dataset_iou")

#: Cell of a table: a text, a number, a score with its interval, or None if no value applies.
Cell = str | float | Interval | None

#: Key of `Report.robustness` -> its definition.
ROBUSTNESS = {
    "g_miou": "G-mIoU: harmonic mean of J (original audio) and 1 - J (negative conditions)",
    "g_f": "G-F: the same for F at the threshold",
    "g_fpr": "G-FPR: mean area marked under negative conditions; lower is better",
    "vision_bias": "vision bias: the share of J that remains when muted; lower is better",
}


@dataclass(frozen=True)
class Table:
    """A printed table.

    Attributes:
        title: Title of the table.
        headings: Heading of each column.
        rows: Cells of each row, the name of the row first.
        note: Text below the title; empty for none.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    def without(self, *headings: str) -> "Table":
        """Return a copy of the table without the columns with these headings."""
        kept = [number for number, heading in enumerate(self.headings) if heading not in headings]
        return replace(
            self,
            headings=tuple(self.headings[number] for number in kept),
            rows=tuple(tuple(row[number] for number in kept) for row in self.rows),
        )

    def to_markdown(self) -> str:
        """Format the table as Markdown, below its title."""
        lines = [f"## {self.title}", ""]
        if self.note:
            lines += [self.note, ""]
        rule = ("---",) * len(self.headings)
        cells = [[format_cell(cell) for cell in row] for row in self.rows]
        lines += [f"| {' | '.join(row)} |" for row in (self.headings, rule, *cells)]
        return "\n".join(lines) + "\n"


def full_tables(report: Report) -> Iterator[Table]:
    """Format a report as tables.

    Args:
        report: The report.

    Yields:
        All tables for which the report has scores.
    """
    yield score_table(report)
    yield from protocol_tables(report)
    if report.semantic is not None:
        yield semantic_table(report.semantic.protocols)
    if report.conditions:
        yield condition_table(report)
    if report.robustness:
        yield robustness_table(report)
    if any(clip.categories for clip in report.clips):
        yield category_table(report)
    if report.semantic is not None:
        yield class_table(report.semantic)


def brief_tables(report: Report) -> Iterator[Table]:
    """Format the main scores of a report as tables that fit a terminal.

    Args:
        report: The report.

    Yields:
        The tables without long ones and wide columns.
    """
    yield score_table(report).without(
        *(SCORE_COLUMNS[name].heading for name in ("f_at_threshold", "dataset_iou"))
    )
    for protocols in protocol_tables(report):
        yield protocols.without(_QUIRKS)
    if report.semantic is not None:
        yield semantic_table(report.semantic.protocols)
    if report.conditions:
        table = condition_table(report).without(_CONDITION_COLUMNS["j_own_sounding"])
        # A terminal is too narrow for the descriptions of the conditions.
        named = zip(report.conditions, table.rows, strict=True)
        yield replace(table, rows=tuple((name, *row[1:]) for name, row in named))
    if report.robustness:
        yield robustness_table(report)


def score_table(report: Report) -> Table:
    """Return the scores of the model beside those of masks made without a model."""
    own = (report.model, *(report.scores.get(name) for name in SCORE_COLUMNS))
    baselines = (
        # Italics distinguish rows without a model; `show_table` removes the asterisks.
        (f"*{name}*", *(getattr(scores, column) for column in SCORE_COLUMNS))
        for name, scores in report.baselines.items()
    )
    return Table(
        title="Scores with the original audio",
        headings=("", *(column.heading for column in SCORE_COLUMNS.values())),
        rows=(own, *baselines),
        note=(
            f"In brackets: the interval that contains the score in {LEVEL:.0%} of {RESAMPLES} "
            f"draws of the clips with replacement (from {LEAST_CLIPS} clips on). In italics: masks "
            "made without a model."
        ),
    )


def protocol_groups(report: Report) -> dict[str, tuple[str, ...]]:
    """Group the protocols whose figures are comparable with each other.

    Args:
        report: The report.

    Returns:
        Names of protocols by the title of each group.
    """
    groups = {
        # Pooled protocols give large objects more weight: their figures are another quantity.
        "Published protocols, frame by frame": False,
        "Published protocols, pixels of the whole data set together": True,
    }
    named = {
        title: tuple(name for name in report.protocols if PROTOCOLS[name].is_pooled == pooled)
        for title, pooled in groups.items()
    }
    return {title: names for title, names in named.items() if names}


def protocol_tables(report: Report) -> list[Table]:
    """Return the scores by each published protocol, one table for each comparable group."""
    return [
        Table(
            title=title,
            headings=("protocol", "name", "J", "F", _QUIRKS),
            rows=tuple(
                (
                    PROTOCOLS[name].title,
                    name,
                    report.protocols[name]["j"],
                    report.protocols[name]["f"],
                    "; ".join(quirk.effect for quirk in PROTOCOLS[name].quirks),
                )
                for name in names
            ),
            note="The same masks, scored as the codes of the papers do. Figures of this table and "
            "of the other one are not comparable.",
        )
        for title, names in protocol_groups(report).items()
    ]


def semantic_table(protocols: Mapping[str, Mapping[str, float]]) -> Table:
    """Return the scores of the classes by each protocol of `SEMANTIC_PROTOCOLS`."""
    columns = {
        "j": "mIoU",
        "f": "F",
        "j_without_background": "mIoU without background",
        "f_without_background": "F without background",
    }
    return Table(
        title="Classes, by published protocols",
        headings=("protocol", "name", *columns.values()),
        rows=tuple(
            (SEMANTIC_PROTOCOLS[name].title, name, *(scores[key] for key in columns))
            for name, scores in protocols.items()
        ),
        note="Not comparable with J and F of the masks, which have no classes.",
    )


def class_table(semantic: SemanticScores) -> Table:
    """Return the scores of each class, the lowest IoU first."""
    order = sorted(semantic.classes.items(), key=lambda item: item[1]["j"])
    return Table(
        title="Scores of each class",
        headings=("class", "frames", "IoU", "F"),
        rows=tuple(
            (name, f"{scores['frames']:.0f}", scores["j"], scores["f"]) for name, scores in order
        ),
        note="Over the frames in which the class is predicted or in the ground truth.",
    )


def condition_table(report: Report) -> Table:
    """Return the scores under each condition, with replaced audio."""
    rows = []
    for condition, scores in report.conditions.items():
        # Some clips lack a condition, for instance if no silent object is visible.
        count = sum(condition in clip.conditions for clip in report.clips)
        cells = (scores.get(name) for name in _CONDITION_COLUMNS)
        rows.append((f"{condition}: {DESCRIPTIONS[condition]}", str(count), *cells))
    return Table(
        title="Robustness: the same frames with replaced audio",
        headings=("condition", "clips", *_CONDITION_COLUMNS.values()),
        rows=tuple(rows),
        note=(
            "*Still marked*: marked share of the objects that sounded with the original audio and "
            "are silent now. *Overlap*: 1 for a model that does not use the audio."
        ),
    )


def robustness_table(report: Report) -> Table:
    """Return the G-measures and vision bias, each one figure over the negative conditions."""
    return Table(
        title="Robustness in one figure",
        headings=("measure", "value"),
        rows=tuple((ROBUSTNESS[name], value) for name, value in report.robustness.items()),
        note=(
            "Over frames in which a visible object sounds; negative conditions are "
            f"{', '.join(name for name in NEGATIVES if name in report.conditions)}. "
            "AVSBench-Robust does not publish the formulas of its G-measures: these are "
            "ours."
        ),
    )


def category_table(report: Report) -> Table:
    """Return the scores of each category, the lowest J first."""
    groups = by_category(report.clips)
    scored = {name: score_with_intervals(clips) for name, clips in groups.items()}
    order = sorted(scored, key=lambda name: scored[name]["j"].value)
    return Table(
        title="Scores of each category",
        headings=("category", "clips", *(SCORE_COLUMNS[n].heading for n in _CATEGORY_SCORES)),
        rows=tuple(
            (
                name,
                str(len(groups[name])),
                *(scored[name].get(column) for column in _CATEGORY_SCORES),
            )
            for name in order
        ),
        note="A clip in which several categories sound counts for each of them.",
    )


def summary_sentences(report: Report) -> list[str]:
    """Format the results that have no table as sentences."""
    frames = sum(clip.frames for clip in report.clips)
    silent = sum(clip.silent_frames for clip in report.clips)
    sentences = [f"{len(report.clips)} clips, {frames} frames, {silent} of them silent."]
    if report.following is not None:
        f = report.following
        sentences.append(
            f"Each category alone in {f.scene_count} scenes: the mask follows the audio in "
            f"{f.follows:.1%} of {f.frame_count} frames; IoU {f.iou:.3f} with sounding objects, "
            f"{f.iou_of_others:.3f} with silent ones."
        )
    return sentences


def to_markdown(report: Report, pictures: Mapping[str, str]) -> str:
    """Format a report as Markdown: sentences, tables, pictures and provenance.

    Args:
        report: The report.
        pictures: Title -> file name of each picture in the same folder.

    Returns:
        The text.
    """
    parts = [f"# {report.model} on {report.subset}/{report.split}\n"]
    parts.append("\n".join(f"- {sentence}" for sentence in summary_sentences(report)) + "\n")
    parts += [table.to_markdown() for table in full_tables(report)]
    parts += [f"## {title}\n\n![{title}]({name})\n" for title, name in pictures.items()]
    # Provenance in one line: with it, the report can be reproduced.
    vocabulary = f", vocabulary {', '.join(report.vocabulary)}" if report.vocabulary else ""
    parts.append(
        f"Weights {report.weights_sha256 or 'never saved'}, threshold {report.threshold}"
        f"{vocabulary}, data {report.data}, commit {report.environment['commit'] or 'unknown'}, "
        f"{report.environment['device']}, {report.seconds:.0f} s.\n"
    )
    return "\n".join(parts)


def format_cell(cell: Cell) -> str:
    """Format a cell; a score is followed by its interval, and None becomes "-"."""
    if isinstance(cell, Interval) and cell.low is not None and cell.high is not None:
        return f"{cell.value:.3f} [{cell.low:.3f}, {cell.high:.3f}]"
    return format_cell_briefly(cell)


def format_cell_briefly(cell: Cell) -> str:
    """Format a cell; the interval of a score is omitted, and None becomes "-"."""
    if cell is None:
        return "-"
    if isinstance(cell, str):
        return cell
    return f"{cell.value if isinstance(cell, Interval) else cell:.3f}"
