"""Damaged files of data sets, predictions and reports: reported or refused, never an exception."""

import csv
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import pytest

from avseg.datasets import AVSBench, check_data
from avseg.datasets.layout import LAYOUTS
from avseg.errors import AvsegError
from avseg.evaluation.evaluate import evaluate
from avseg.evaluation.protocol_scores import score
from avseg.evaluation.report import read_report
from avseg.segmenter import load_segmenter
from avseg.synthavs.contents import find_synthavs_split, read_contents
from avseg.synthavs.generators import SynthavsOptions
from avseg.synthavs.writer import write_synthavs
from avseg.training.recipe import load_recipe
from tests.models.factories import TPAVI
from tests.reliability.outcomes import CRASH, HANG, RAW, Outcome, Table
from tests.reliability.subjects import Subject
from tests.reliability.workers import try_each
from tests.segmenters import save_random_baseline
from tests.training import tiny

pytestmark = [pytest.mark.reliability, pytest.mark.timeout(0)]

_READ, _REPORTED, _REFUSED, _MISSED = "read", "reported", "refused", "refused, not reported"
_KINDS = (_READ, _REPORTED, _REFUSED, _MISSED, RAW, CRASH, HANG)
_LIMIT_S = 60
_SPLIT = "val"


def count_findings(folder: Path) -> Counter[str]:
    """Count the findings of `avseg data check` by their kind."""
    findings = check_data(folder, workers=1).findings.values()
    return Counter(finding.kind for of_subset in findings for finding in of_subset)


def read_data(folder: Path, subset: Literal["s4", "avss"], intact: Counter[str]) -> str:
    """Check a data set, and read its clips as `evaluate` and `train` do."""
    is_reported = bool(count_findings(folder) - intact)
    try:
        clips = AVSBench(folder, subset, _SPLIT)
        for _ in clips:
            pass
        read_contents(clips, find_synthavs_split(clips))
    except AvsegError:
        return _REFUSED if is_reported else _MISSED
    return _REPORTED if is_reported else _READ


def write_data(folder: Path, subset: Literal["s4", "avss"]) -> Subject:
    """Write one clip of a subset, with its metadata."""
    options = SynthavsOptions(subset=subset, clips=1, evaluation_clips=1, side=32)
    write_synthavs(folder, options, workers=1)
    layout = LAYOUTS[subset]
    (table,) = folder.rglob(layout.metadata)
    with table.open(newline="") as file:
        rows = list(csv.reader(file))
    # The clips of one split: every other file would be read for each damage too.
    kept = [row for row in rows if row is rows[0] or _SPLIT in row][:2]
    with table.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(kept)
    clips = AVSBench(folder, subset, _SPLIT)
    intact = count_findings(folder)
    files = {path for path in clips.folder.glob("*") if path.is_file()}
    files |= {clips.audio_path(0)} | {
        path for path in clips.folder.rglob("*.*g") if clips.entries[0].name in str(path)
    }
    relative = tuple(sorted(path.relative_to(folder) for path in files))
    return Subject(subset, folder, relative, partial(read_data, subset=subset, intact=intact))


def read_scores(folder: Path, data: Path) -> str:
    """Score saved predictions."""
    score(folder, data, protocol=["tpavi"])
    return _READ


def read_reports(folder: Path) -> str:
    """Read a report, and the recipe beside it."""
    read_report(folder)
    return _READ


def read_recipes(folder: Path) -> str:
    """Read a recipe."""
    load_recipe(str(folder / "tiny.yaml"))
    return _READ


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> list[Subject]:
    """Small data sets, predictions, a report and a recipe."""
    folder = tmp_path_factory.mktemp("subjects")
    s4, avss = (write_data(folder / subset, subset) for subset in ("s4", "avss"))
    segmenter = load_segmenter(save_random_baseline(folder / "model", TPAVI), "cpu")
    predictions, reports, recipes = (folder / name for name in ("predictions", "report", "recipes"))
    clips = AVSBench(s4.folder, "s4", _SPLIT)
    evaluate(segmenter, clips, robustness=False, output=reports, save_predictions=predictions)
    recipes.mkdir()
    (recipes / "tiny.yaml").write_text(tiny.BRIDGE.to_yaml())
    return [
        *(s4, avss, s4, avss, s4, avss),  # most damages are of data sets
        Subject.of_folder("predictions", predictions, partial(read_scores, data=s4.folder)),
        Subject.of_folder("report", reports, read_reports, "report.json"),
        Subject.of_folder("recipe", recipes, read_recipes),
    ]


def test_damaged_files_of_data_sets_are_reported_or_refused(
    subjects: list[Subject],
    tmp_path: Path,
    scaled: Callable[..., int],
    publish: Callable[[Table, str], None],
) -> None:
    table = Table("Damaged files of data sets", _KINDS)

    def damage(number: int) -> Outcome:
        row, outcome = subjects[number % len(subjects)].damage(number, tmp_path)
        return Outcome(outcome.kind, f"{row}|{outcome.detail}")

    numbers = range(scaled(5000, at_least=len(subjects)))
    for number, outcome in try_each(damage, numbers, _LIMIT_S):
        row, _, detail = outcome.detail.partition("|")
        row = row if outcome.kind not in (CRASH, HANG) else "(ended)"
        table.add(row, Outcome(outcome.kind, detail or f"case {number}"))
    table.counts = dict(sorted(table.counts.items()))
    publish(table, "data_sets")
    assert table.total(CRASH, HANG, RAW) == 0, table.to_markdown()
