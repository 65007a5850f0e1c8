"""A report as tables and sentences, for readers: Markdown, or the terminal."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from avseg.evaluation.conditions import DESCRIPTIONS, NEGATIVES
from avseg.evaluation.report import Report, SemanticScores
from avseg.evaluation.scores import (
    LEAST_CLIPS,
    LEVEL,
    MEASURES,
    RESAMPLES,
    Interval,
    by_category,
    score_with_intervals,
)
from avseg.metrics.protocols import PROTOCOLS
from avseg.metrics.semantic import SEMANTIC_PROTOCOLS

#: Columns of the table of sounds: attribute of `SoundScores` -> heading.
_OF_SOUNDS = {
    "marked_frames": "frames marked",
    "marked_area": "area marked (FPR)",
    "still_marked": "still marked",
    "j_then": "J strict, with what then sounds",
    "j_own_sounding": "J with what sounded before",
    "unmoved": "overlap with the masks before",
}

#: Heading of what protocols do.
_OTHERWISE = "otherwise than AVSBench on single clips"

#: Measures in the table of categories.
_OF_CATEGORIES = ("j", "j_strict", "f", "dataset_iou")


#: What is in a cell: text, a figure, or nothing where none applies.
Cell = str | float | Interval | None

#: Key of `Report.listening` -> what it is.
LISTENING = {
    "g_miou": "G-mIoU: harmonic mean of J with the true sound and of 1 - J with negative sounds",
    "g_f": "G-F: the same of F at the threshold",
    "g_fpr": "G-FPR: mean area marked under negative sounds; lower is better",
    "vision_bias": "vision bias: the share of J that remains without sound; lower is better",
}


@dataclass(frozen=True)
class Table:
    """Cells with headings.

    Attributes:
        title: Of the table.
        headings: One for each column.
        rows: A name and figures in each.
        note: What a reader has to know; empty if nothing.
    """

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    def without(self, *headings: str) -> "Table":
        """Leave columns out, those with these headings."""
        kept = [number for number, heading in enumerate(self.headings) if heading not in headings]
        return replace(
            self,
            headings=tuple(self.headings[number] for number in kept),
            rows=tuple(tuple(row[number] for number in kept) for row in self.rows),
        )

    def to_markdown(self) -> str:
        """Write the table for readers, under its title."""
        lines = [f"## {self.title}", ""]
        if self.note:
            lines += [self.note, ""]
        rule = ("---",) * len(self.headings)
        cells = [[spell(cell) for cell in row] for row in self.rows]
        lines += [f"| {' | '.join(row)} |" for row in (self.headings, rule, *cells)]
        return "\n".join(lines) + "\n"


def tables_of(report: Report) -> Iterator[Table]:
    """Spell a report out.

    Args:
        report: The report.

    Yields:
        Its tables; those that its data set says nothing for are left out.
    """
    yield score_table(report)
    yield from protocol_tables(report)
    if report.semantic is not None:
        yield semantic_table(report.semantic)
    if report.sounds:
        yield sound_table(report)
    if report.listening:
        yield listening_table(report)
    if any(clip.categories for clip in report.clips):
        yield category_table(report)
    if report.semantic is not None:
        yield class_table(report.semantic)


def brief_tables(report: Report) -> Iterator[Table]:
    """Spell the main scores out, for a terminal.

    Args:
        report: The report.

    Yields:
        Its tables without those that are long or wide.
    """
    yield score_table(report).without(
        *(MEASURES[name].heading for name in ("f_at_threshold", "dataset_iou"))
    )
    for protocols in protocol_tables(report):
        yield protocols.without(_OTHERWISE)
    if report.semantic is not None:
        yield semantic_table(report.semantic)
    if report.sounds:
        sounds = sound_table(report).without(_OF_SOUNDS["j_own_sounding"])
        named = zip(report.sounds, sounds.rows, strict=True)
        yield replace(sounds, rows=tuple((name, *row[1:]) for name, row in named))
    if report.listening:
        yield listening_table(report)


def score_table(report: Report) -> Table:
    """Put the model beside the masks that need no model."""
    own = (report.model, *(report.scores.get(name) for name in MEASURES))
    baselines = (
        (f"*{name}*", *(getattr(scores, measure) for measure in MEASURES))
        for name, scores in report.baselines.items()
    )
    return Table(
        title="Scores with the true sound",
        headings=("", *(measure.heading for measure in MEASURES.values())),
        rows=(own, *baselines),
        note=(
            f"In brackets: between what the score lies in {LEVEL:.0%} of {RESAMPLES} draws of the "
            f"clips with replacement (from {LEAST_CLIPS} clips on). In italics: masks made without "
            "a model."
        ),
    )


def protocol_groups(report: Report) -> dict[str, tuple[str, ...]]:
    """Sort protocols into those that may be compared with each other.

    Args:
        report: The report.

    Returns:
        Names of protocols by a title for each group.
    """
    groups = {
        "Published protocols, frame by frame": False,
        "Published protocols, pixels of the whole data set together": True,
    }
    named = {
        title: tuple(name for name in report.protocols if PROTOCOLS[name].is_pooled == pooled)
        for title, pooled in groups.items()
    }
    return {title: names for title, names in named.items() if names}


def protocol_tables(report: Report) -> list[Table]:
    """Put the published protocols beside each other, only those that may be compared."""
    return [
        Table(
            title=title,
            headings=("protocol", "name", "J", "F", _OTHERWISE),
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
            "of the other are not comparable.",
        )
        for title, names in protocol_groups(report).items()
    ]


def semantic_table(semantic: SemanticScores) -> Table:
    """Put the protocols for classes beside each other."""
    keys = ("j", "f", "j_without_background", "f_without_background")
    return Table(
        title="Classes, by published protocols",
        headings=(
            "protocol",
            "name",
            "mIoU",
            "F",
            "mIoU without background",
            "F without background",
        ),
        rows=tuple(
            (SEMANTIC_PROTOCOLS[name].title, name, *(scores[key] for key in keys))
            for name, scores in semantic.protocols.items()
        ),
        note="Not comparable with J and F of the masks, which do not tell classes.",
    )


def class_table(semantic: SemanticScores) -> Table:
    """Put the classes beside each other, those with the lowest IoU first."""
    order = sorted(semantic.classes.items(), key=lambda item: item[1]["j"])
    return Table(
        title="Scores of each class",
        headings=("class", "frames", "IoU", "F"),
        rows=tuple(
            (name, f"{scores['frames']:.0f}", scores["j"], scores["f"]) for name, scores in order
        ),
        note="Over the frames in which the class is marked or true.",
    )


def sound_table(report: Report) -> Table:
    """Put the sounds that are not the clips' own beside each other."""
    rows = []
    for sound, scores in report.sounds.items():
        count = sum(sound in clip.sounds for clip in report.clips)
        cells = (scores.get(name) for name in _OF_SOUNDS)
        rows.append((f"{sound}: {DESCRIPTIONS[sound]}", str(count), *cells))
    return Table(
        title="Does it listen? Other sounds for the same pictures",
        headings=("sound", "clips", *_OF_SOUNDS.values()),
        rows=tuple(rows),
        note=(
            "*Still marked*: of what sounded before and no longer does, the share that is marked. "
            "*Overlap*: 1 for a model that does not listen."
        ),
    )


def listening_table(report: Report) -> Table:
    """Put what the negative sounds say together into one figure each."""
    return Table(
        title="Listening in one figure",
        headings=("measure", "value"),
        rows=tuple((LISTENING[name], value) for name, value in report.listening.items()),
        note=(
            "Over frames in which something sounds; negative sounds are "
            f"{', '.join(name for name in NEGATIVES if name in report.sounds)}. AVSBench-Robust "
            "does not say how its G-measures are put together: these formulas are ours."
        ),
    )


def category_table(report: Report) -> Table:
    """Put the categories beside each other, those with the lowest J first."""
    groups = by_category(report.clips)
    scored = {name: score_with_intervals(clips) for name, clips in groups.items()}
    order = sorted(scored, key=lambda name: scored[name]["j"].value)
    return Table(
        title="Scores of each category",
        headings=("category", "clips", *(MEASURES[name].heading for name in _OF_CATEGORIES)),
        rows=tuple(
            (
                name,
                str(len(groups[name])),
                *(scored[name].get(measure) for measure in _OF_CATEGORIES),
            )
            for name in order
        ),
        note="A clip in which several categories sound counts in each.",
    )


def sentences_of(report: Report) -> list[str]:
    """Say in words what the tables do not hold."""
    frames = sum(clip.frames for clip in report.clips)
    silent = sum(clip.silent_frames for clip in report.clips)
    said = [f"{len(report.clips)} clips, {frames} frames, {silent} of them silent."]
    if report.following is not None:
        f = report.following
        said.append(
            f"Each object alone in {f.scene_count} scenes: the mask follows the sound in "
            f"{f.follows:.1%} of {f.frame_count} frames; IoU {f.iou:.3f} with what sounds, "
            f"{f.iou_of_others:.3f} with what is silent."
        )
    return said


def to_markdown(report: Report, pictures: Mapping[str, str]) -> str:
    """Write a report for readers.

    Args:
        report: The report.
        pictures: Title and file name of each picture beside it.

    Returns:
        The text.
    """
    parts = [f"# {report.model} on {report.subset}/{report.split}\n"]
    parts.append("\n".join(f"- {sentence}" for sentence in sentences_of(report)) + "\n")
    parts += [table.to_markdown() for table in tables_of(report)]
    parts += [f"## {title}\n\n![{title}]({name})\n" for title, name in pictures.items()]
    vocabulary = f", vocabulary {', '.join(report.vocabulary)}" if report.vocabulary else ""
    parts.append(
        f"Weights {report.weights_sha256 or 'never saved'}, threshold {report.threshold}"
        f"{vocabulary}, data {report.data}, commit {report.environment['commit'] or 'unknown'}, "
        f"{report.environment['device']}, {report.seconds:.0f} s.\n"
    )
    return "\n".join(parts)


def spell(cell: Cell) -> str:
    """Spell a cell out, a score with its interval if it has one; "-" if nothing applies."""
    if isinstance(cell, Interval) and cell.low is not None and cell.high is not None:
        return f"{cell.value:.3f} [{cell.low:.3f}, {cell.high:.3f}]"
    return spell_short(cell)


def spell_short(cell: Cell) -> str:
    """Spell a cell out, a score without its interval; "-" if nothing applies."""
    if cell is None or isinstance(cell, str):
        return cell or ("-" if cell is None else "")
    return f"{cell.value if isinstance(cell, Interval) else cell:.3f}"
