"""The report of an evaluation: scores, model, data, options and software, as JSON and CSV.

The tables are in `tables.py`, the plots in `figures/plots.py`.
"""

import csv
import io
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

from avseg.atomic import OwnFolder, add_when_complete, has_marker, replace_when_complete
from avseg.errors import ReportError
from avseg.evaluation.robustness import NEGATIVES, FollowingScores
from avseg.evaluation.scores import (
    ClipScores,
    ConditionScores,
    Interval,
    score_conditions,
    score_with_intervals,
)
from avseg.metrics.binary import BinaryScores
from avseg.metrics.protocols import global_false_positive_rate, global_score, vision_bias

#: Version of the JSON; increased when an older version of avseg cannot read it.
SCHEMA_VERSION = 3

JSON_FILE, CLIPS_FILE = "report.json", "clips.csv"

OWN_FOLDER = OwnFolder(
    "an evaluation report", has_marker(JSON_FILE, ("schema_version", "model", "weights_sha256"))
)


@dataclass(frozen=True)
class SemanticScores:
    """Scores of the predicted classes, if both the data set and the model have classes.

    Attributes:
        protocols: "j", "f", "j_without_background" and "f_without_background" by each protocol of
            `metrics.semantic.SEMANTIC_PROTOCOLS`.
        classes: "j", "f" and the number of "frames" of each class that occurs, by its name.
    """

    protocols: dict[str, dict[str, float]]
    classes: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Report:
    """Results of an evaluation, with the model, data, options and software that gave them.

    Attributes:
        model: Name of the model.
        weights_sha256: SHA-256 of its weights file; None for a model that was never saved.
        vocabulary: Names among which the model chose; empty for a model that names no sources.
        data: Folder of the data set.
        subset: Name of the subset, such as "ms3".
        split: Name of the split.
        threshold: Probability above which a pixel was marked.
        clips: Scores of each clip, in the order of the split.
        protocols: "j" and "f" by each protocol of `metrics.protocols.PROTOCOLS`, with the original
            audio.
        f_curve: Mean F over the frames that are not silent, at each of AVSBench's 255 thresholds;
            empty if all frames are silent.
        semantic: Scores of the classes; None if the data set or the model has no classes.
        baselines: Scores of masks made without a model: "nothing", "everything", "all objects".
        following: Scores of how well masks follow the audio; None if they were not measured.
        seconds: Duration of the evaluation.
        environment: Versions, commit, machine and device.
    """

    model: str
    weights_sha256: str | None
    vocabulary: tuple[str, ...]
    data: str
    subset: str
    split: str
    threshold: float
    clips: tuple[ClipScores, ...]
    protocols: dict[str, dict[str, float]]
    f_curve: tuple[float, ...]
    semantic: SemanticScores | None
    baselines: dict[str, BinaryScores]
    following: FollowingScores | None
    seconds: float
    environment: dict[str, object]

    # Cached: 2000 resamples of all scores take longer than formatting a table.
    @cached_property
    def scores(self) -> dict[str, Interval]:
        """Mean scores with the original audio, by key of `scores.SCORE_COLUMNS`."""
        return score_with_intervals(self.clips)

    @cached_property
    def conditions(self) -> dict[str, dict[str, Interval]]:
        """Mean scores under each condition, by attribute of `ConditionScores`."""
        return score_conditions(self.clips)

    @cached_property
    def robustness(self) -> dict[str, float]:
        """G-mIoU, G-F and G-FPR over the negative conditions, and vision bias.

        They are computed over frames in which a visible object sounds. In a silent frame an empty
        mask scores high with the original audio and with replaced audio, as if the model ignored
        the audio. Empty if no negative condition was tested, or all frames are silent.
        """
        # A condition for which only clips without a sounding object were fit has no such score.
        tested = {
            name: self.conditions[name]
            for name in NEGATIVES
            if "j_own_sounding" in self.conditions.get(name, {})
        }
        if not tested or "j_sounding" not in self.scores:
            return {}
        j, f = self.scores["j_sounding"].value, self.scores["f_at_threshold"].value
        negative_j = {name: scores["j_own_sounding"].value for name, scores in tested.items()}
        negative_f = {name: scores["f_own_sounding"].value for name, scores in tested.items()}
        areas = {name: scores["marked_area"].value for name, scores in tested.items()}
        measures = {
            "g_miou": global_score(j, negative_j),
            "g_f": global_score(f, negative_f),
            "g_fpr": global_false_positive_rate(areas),
        }
        # Every clip can be muted, so this condition is always among the tested ones.
        bias = vision_bias(j, negative_j["muted"])
        return measures if bias is None else {**measures, "vision_bias": bias}

    def to_json(self) -> str:
        """Return the report as JSON, with the means and intervals over clips."""
        # Derived scores are stored for other programs; `read_report` computes them again.
        derived = {
            "robustness": self.robustness,
            "scores": {name: asdict(score) for name, score in self.scores.items()},
            "conditions": {
                name: {key: asdict(score) for key, score in scores.items()}
                for name, scores in self.conditions.items()
            },
        }
        facts = {"schema_version": SCHEMA_VERSION, **asdict(self), **derived}
        return json.dumps(facts, indent=2) + "\n"

    def clips_to_csv(self) -> str:
        """Return the scores of each clip as CSV, one clip per row."""
        # Every row has the columns of all conditions, even if the clip was not tested under some.
        rows = [_flatten(clip, self.conditions) for clip in self.clips]
        text = io.StringIO()
        # CSV ends lines with \r\n by default; \n gives readable diffs.
        writer = csv.DictWriter(text, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()


def read_report(path: str | PathLike[str]) -> Report:
    """Read a report that `avseg evaluate` wrote.

    Args:
        path: The JSON file, or its folder.

    Returns:
        The report.

    Raises:
        ReportError: If there is no report, or it has another schema version.
    """
    path = Path(path)
    path = path / JSON_FILE if path.is_dir() else path
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ReportError(
            f"{path}: no report can be read ({error}); give the folder that `avseg evaluate` wrote."
        ) from error
    version = facts.get("schema_version") if isinstance(facts, dict) else None
    if version != SCHEMA_VERSION:
        raise ReportError(
            f"{path}: is of version {version}, this avseg reads version {SCHEMA_VERSION}; evaluate "
            "the model again."
        )
    try:
        return _restore(facts)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ReportError(f"{path}: is damaged ({error!r}); evaluate the model again.") from error


def _restore(facts: Mapping[str, Any]) -> Report:
    """Build a report from its JSON; the derived means are computed again from the clips."""
    stored = {each.name: facts[each.name] for each in fields(Report)}
    following, semantic = stored["following"], stored["semantic"]
    return Report(
        **stored
        | {
            "vocabulary": tuple(stored["vocabulary"]),
            "clips": tuple(_read_clip(clip) for clip in stored["clips"]),
            "f_curve": tuple(stored["f_curve"]),
            "semantic": None if semantic is None else SemanticScores(**semantic),
            "baselines": {n: BinaryScores(**s) for n, s in stored["baselines"].items()},
            "following": None if following is None else FollowingScores(**following),
        }
    )


def read_reports(paths: Sequence[str | PathLike[str]]) -> dict[str, Report]:
    """Read several reports, each under a unique name.

    Args:
        paths: JSON files, or their folders.

    Returns:
        The reports by model name; the path is appended to a name that occurs twice.

    Raises:
        ReportError: If a report cannot be read, or a path is given twice.
    """
    reports = {Path(path): read_report(path) for path in paths}
    if len(reports) < len(paths):
        given = [Path(path) for path in paths]
        twice = next(path for path in given if given.count(path) > 1)
        raise ReportError(f"{twice}: is given twice; give each report once.")
    models = [report.model for report in reports.values()]
    return {
        report.model if models.count(report.model) == 1 else f"{report.model} ({path})": report
        for path, report in reports.items()
    }


def write_files(
    files: Mapping[str, Callable[[Path], object] | str],
    folder: Path,
    own: OwnFolder,
    besides: Collection[Path] = (),
) -> None:
    """Write several files to a folder; they appear together when all of them are complete.

    Args:
        files: Name of each file -> its text, or a function that writes it to a path.
        folder: The folder; it is created if it is missing.
        own: Mark of the folders that may get the files.
        besides: Files and folders in it that the caller writes too.

    Raises:
        OutputError: If the folder has other contents, or a file cannot be written.
    """
    with add_when_complete(folder, own, besides) as partial:
        for name, content in files.items():
            _write(partial / name, content)


def write_file(path: Path, content: Callable[[Path], object] | str) -> None:
    """Write one file, which appears when it is complete and replaces a file of its name.

    Args:
        path: The file; its folder is created if it is missing.
        content: Its text, or a function that writes it to a path.

    Raises:
        OutputError: If the path is a folder, or cannot be written.
    """
    with replace_when_complete(path) as partial:
        _write(partial, content)


def _write(path: Path, content: Callable[[Path], object] | str) -> None:
    if isinstance(content, str):
        path.write_text(content, encoding="utf-8")
    else:
        content(path)


def _read_clip(facts: Mapping[str, Any]) -> ClipScores:
    conditions = {name: ConditionScores(**scores) for name, scores in facts["conditions"].items()}
    return ClipScores(
        **{**facts, "categories": tuple(facts["categories"]), "conditions": conditions}
    )


def _flatten(clip: ClipScores, conditions: Mapping[str, object]) -> dict[str, object]:
    """Return all scores of a clip as one flat row; None if a score does not apply."""
    row = asdict(clip)
    tested = row.pop("conditions")
    # Categories have no spaces, so a space separates them in one cell.
    row["categories"] = " ".join(clip.categories)
    for name in conditions:
        scores = tested.get(name, {})
        for each in fields(ConditionScores):
            row[f"{name}: {each.name}"] = scores.get(each.name)
    return row
