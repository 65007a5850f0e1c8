"""A report of an evaluation: figures as JSON, a table as Markdown, the extreme clips as a picture.

T frames of H x W pixels.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

from avseg.errors import OutputError
from avseg.evaluation.listening import FollowingScores
from avseg.export.partial import replace_when_complete
from avseg.metrics.binary import BinaryScores

#: Increased whenever a reader of the JSON has to change.
SCHEMA_VERSION = 1

JSON_FILE, TABLE_FILE, SHEET_FILE = "report.json", "report.md", "clips.png"

#: Columns of the table: heading and attribute of `BinaryScores`.
_COLUMNS = {
    "mIoU (J)": "j",
    "J sounding": "j_sounding",
    "J strict": "j_strict",
    "F": "f",
    "silent clean": "silent_clean",
    "marked in silence": "false_positive_area",
}


@dataclass(frozen=True)
class ClipScores:
    """How well one clip was segmented.

    Attributes:
        clip_id: Name of the clip in its data set.
        category: What sounds, if the data set says it.
        j: Mean J of its frames, silent ones by AVSBench's rule.
        j_strict: Mean J of its frames, silent ones all or nothing.
        f: F of the clip; 0 if it is silent throughout.
        sounding_frames: Frames in which something visible sounds.
    """

    clip_id: str
    category: str | None
    j: float
    j_strict: float
    f: float
    sounding_frames: int


@dataclass(frozen=True)
class PerturbedScores:
    """What was marked under sounds that nothing in the picture makes.

    Attributes:
        scores: Against empty masks; all frames are silent.
        unmoved: Mean IoU with the masks under the true sound, over frames where these mark
            something: 1 for a model that does not listen. None if they never do.
    """

    scores: BinaryScores
    unmoved: float | None


@dataclass(frozen=True)
class Report:
    """What an evaluation found, and with what.

    Attributes:
        model: Name of the model.
        weights_sha256: Of its weights; None for a model that was never saved.
        data: Folder of the data set.
        subset: "s4", "ms3" or "avss".
        split: Name of the split.
        threshold: Probability above which a pixel was marked.
        scores: With the true sound.
        perturbed: By the sound that was given in its place: "muted", "noise", "off-screen".
        baselines: Of masks made without a model: "nothing", "everything", "all objects".
        following: Whether the mask goes to what sounds; None where it cannot be measured.
        clips: With the true sound, in the order of the split.
        seconds: How long it all took.
        environment: Versions, commit, machine and device.
    """

    model: str
    weights_sha256: str | None
    data: str
    subset: str
    split: str
    threshold: float
    scores: BinaryScores
    perturbed: dict[str, PerturbedScores]
    baselines: dict[str, BinaryScores]
    following: FollowingScores | None
    clips: tuple[ClipScores, ...]
    seconds: float
    environment: dict[str, object]

    def rows(self) -> list[tuple[str, BinaryScores]]:
        """Name what was scored, the model with its own sound first."""
        perturbed = [(f"{self.model}, {name}", p.scores) for name, p in self.perturbed.items()]
        return [(self.model, self.scores), *perturbed, *self.baselines.items()]

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Spell the scores out.

        Returns:
            Headings, and for each row its name and figures; "-" where a score does not apply.
        """
        return ("", *_COLUMNS), [(name, *_figures(scores)) for name, scores in self.rows()]

    def sentences(self) -> list[str]:
        """Say in words what the table does not hold."""
        s = self.scores
        said = [f"{s.clip_count} clips, {s.frame_count} frames, {s.silent_count} of them silent."]
        said += [
            f"Sound {name}: {1 - (p.scores.silent_clean or 0):.1%} of the frames marked, "
            f"{p.scores.false_positive_area or 0:.2%} of their area; overlap with the masks under "
            f"the true sound {_figure(p.unmoved)}."
            for name, p in self.perturbed.items()
        ]
        if self.following is not None:
            f = self.following
            said.append(
                f"Each object alone in {f.scene_count} scenes: the mask follows the sound in "
                f"{f.follows:.1%} of {f.frame_count} frames; IoU {f.iou:.3f} with what sounds, "
                f"{f.iou_of_others:.3f} with what is silent."
            )
        return said

    def to_markdown(self) -> str:
        """Write the report for readers."""
        headings, rows = self.table()
        lines = [
            f"# {self.model} on {self.subset}/{self.split}",
            "",
            *(f"| {' | '.join(row)} |" for row in (headings, ["---"] * len(headings), *rows)),
            "",
            *(f"- {sentence}" for sentence in self.sentences()),
            "",
            f"Weights {self.weights_sha256 or 'never saved'}, threshold {self.threshold}, commit "
            f"{self.environment['commit'] or 'unknown'}, {self.environment['device']}, "
            f"{self.seconds:.0f} s.",
        ]
        return "\n".join(lines) + "\n"

    def to_json(self) -> str:
        """Write the report for programs."""
        return json.dumps({"schema_version": SCHEMA_VERSION, **asdict(self)}, indent=2) + "\n"


def save_report(report: Report, folder: Path, sheet: Image.Image | None = None) -> None:
    """Write a report; each file appears when it is complete.

    Args:
        report: The report.
        folder: Where `report.json`, `report.md` and `clips.png` go; made if it is missing.
        sheet: A contact sheet of clips.

    Raises:
        OutputError: If a file cannot be written.
    """
    try:
        for name, text in ((JSON_FILE, report.to_json()), (TABLE_FILE, report.to_markdown())):
            with replace_when_complete(folder / name) as partial:
                partial.write_text(text, encoding="utf-8")
        if sheet is not None:
            with replace_when_complete(folder / SHEET_FILE) as partial:
                sheet.save(partial)
    except OSError as error:
        raise OutputError(
            f"{folder}: the report cannot be written ({error.strerror}); name another folder."
        ) from error


def _figures(scores: BinaryScores) -> list[str]:
    """Spell the scores out; where all frames are silent there is no F, though AVSBench says 0."""
    values = {column: getattr(scores, column) for column in _COLUMNS.values()}
    if scores.silent_count == scores.frame_count:
        values["f"] = None
    return [_figure(value) for value in values.values()]


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
