"""A report of an evaluation: what was found and with what, for programs and to be read again.

The tables are in `tables.py`, the plots in `plots.py`.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from avseg.errors import ReportError
from avseg.evaluation.conditions import NEGATIVES
from avseg.evaluation.following import FollowingScores
from avseg.evaluation.scores import (
    ClipScores,
    Interval,
    SoundScores,
    score_sounds,
    score_with_intervals,
)
from avseg.metrics.binary import BinaryScores
from avseg.metrics.robustness import global_false_positive_rate, global_score, vision_bias

#: Increased whenever a reader of the JSON has to change.
SCHEMA_VERSION = 2

JSON_FILE, CLIPS_FILE = "report.json", "clips.csv"


@dataclass(frozen=True)
class SemanticScores:
    """How well each pixel's class is told, where data set and model tell classes.

    Attributes:
        protocols: "j", "f" and the same "without_background" by each protocol of
            `metrics.semantic.SEMANTIC_PROTOCOLS`.
        classes: "j", "f" and number of "frames" of each class that occurs, by its name.
    """

    protocols: dict[str, dict[str, float]]
    classes: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Report:
    """What an evaluation found, and with what.

    Attributes:
        model: Name of the model.
        weights_sha256: Of its weights; None for a model that was never saved.
        vocabulary: Names among which a model that names what sounds chose; empty for any other.
        data: Folder of the data set.
        subset: Name of the subset, such as "ms3".
        split: Name of the split.
        threshold: Probability above which a pixel was marked.
        clips: Scores of each clip, in the order of the split.
        protocols: "j" and "f" by each protocol of `metrics.protocols.PROTOCOLS`, with the true
            sound.
        f_curve: Mean F of the frames that are not silent, at each of AVSBench's 255 thresholds;
            empty if all are silent.
        semantic: Scores of classes; None if the data set or the model tells none.
        baselines: Of masks made without a model: "nothing", "everything", "all objects".
        following: Whether the mask goes to what sounds; None where it was not measured.
        seconds: How long it all took.
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

    @cached_property
    def scores(self) -> dict[str, Interval]:
        """Scores with the true sound, by key of `scores.MEASURES`."""
        return score_with_intervals(self.clips)

    @cached_property
    def sounds(self) -> dict[str, dict[str, Interval]]:
        """Scores under each other sound, by attribute of `SoundScores`."""
        return score_sounds(self.clips)

    @cached_property
    def listening(self) -> dict[str, float]:
        """G-mIoU, G-F and G-FPR over the negative sounds, and vision bias without sound.

        Over frames in which something sounds; empty if no negative sounds were tried or nothing
        ever sounds.
        """
        tried = {name: self.sounds[name] for name in NEGATIVES if name in self.sounds}
        if not tried or "j_sounding" not in self.scores:
            return {}
        j, f = self.scores["j_sounding"].value, self.scores["f_at_threshold"].value
        left = {name: scores["j_own_sounding"].value for name, scores in tried.items()}
        f_left = {name: scores["f_own_sounding"].value for name, scores in tried.items()}
        areas = {name: scores["marked_area"].value for name, scores in tried.items()}
        bias = vision_bias(j, left["muted"])
        found = {
            "g_miou": global_score(j, left),
            "g_f": global_score(f, f_left),
            "g_fpr": global_false_positive_rate(areas),
        }
        return found if bias is None else {**found, "vision_bias": bias}

    def to_json(self) -> str:
        """Write the report for programs."""
        derived = {
            "listening": self.listening,
            "scores": {name: asdict(score) for name, score in self.scores.items()},
            "sounds": {
                sound: {name: asdict(score) for name, score in scores.items()}
                for sound, scores in self.sounds.items()
            },
        }
        facts = {"schema_version": SCHEMA_VERSION, **asdict(self), **derived}
        return json.dumps(facts, indent=2) + "\n"

    def clips_to_csv(self) -> str:
        """Write the scores of each clip, one in a row."""
        rows = [_flatten(clip, self.sounds) for clip in self.clips]
        text = io.StringIO()
        writer = csv.DictWriter(text, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()


def read_report(path: Path) -> Report:
    """Read what `Report.to_json` wrote.

    Args:
        path: The JSON file, or the folder it is in.

    Returns:
        The report.

    Raises:
        ReportError: If there is none, or it is of another version.
    """
    path = path / JSON_FILE if path.is_dir() else path
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ReportError(
            f"{path}: no report can be read ({error}); give the folder that `avseg evaluate` wrote."
        ) from error
    version = facts.get("schema_version") if isinstance(facts, dict) else None
    if version != SCHEMA_VERSION:
        raise ReportError(
            f"{path}: is of version {version}, this avseg reads version {SCHEMA_VERSION}; evaluate "
            "the model again."
        )
    wanted = {each.name: facts[each.name] for each in fields(Report)}
    following, semantic = wanted["following"], wanted["semantic"]
    return Report(
        **wanted
        | {
            "vocabulary": tuple(wanted["vocabulary"]),
            "clips": tuple(_read_clip(clip) for clip in wanted["clips"]),
            "f_curve": tuple(wanted["f_curve"]),
            "semantic": None if semantic is None else SemanticScores(**semantic),
            "baselines": {n: BinaryScores(**s) for n, s in wanted["baselines"].items()},
            "following": None if following is None else FollowingScores(**following),
        }
    )


def name_reports(paths: Sequence[Path]) -> dict[str, Report]:
    """Read several reports, and give each a name of its own.

    Args:
        paths: JSON files, or the folders they are in.

    Returns:
        The reports by the names of their models; where two have one, the path is added.

    Raises:
        ReportError: If one cannot be read, or is there twice.
    """
    reports = {path: read_report(path) for path in paths}
    if len(reports) < len(paths):
        twice = next(path for path in paths if paths.count(path) > 1)
        raise ReportError(f"{twice}: is given twice; give each report once.")
    models = [report.model for report in reports.values()]
    return {
        report.model if models.count(report.model) == 1 else f"{report.model} ({path})": report
        for path, report in reports.items()
    }


def _read_clip(facts: Mapping[str, Any]) -> ClipScores:
    sounds = {name: SoundScores(**scores) for name, scores in facts["sounds"].items()}
    return ClipScores(**{**facts, "categories": tuple(facts["categories"]), "sounds": sounds})


def _flatten(clip: ClipScores, sounds: Mapping[str, object]) -> dict[str, object]:
    """Put a clip's scores beside each other; empty where one does not apply."""
    row = asdict(clip)
    given = row.pop("sounds")
    row["categories"] = " ".join(clip.categories)
    for sound in sounds:
        scores = given.get(sound, {})
        for each in fields(SoundScores):
            row[f"{sound}: {each.name}"] = scores.get(each.name)
    return row
