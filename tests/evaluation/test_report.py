"""Reports: their JSON and CSV, and that they are read as they were written."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from avseg.errors import ReportError
from avseg.evaluation.report import Report, SemanticScores, read_report, read_reports
from avseg.metrics.protocols import vision_bias
from tests.evaluation.reports import LONG_REPORT, MUTED, REPORT, clip_of


def write(folder: Path, report: Report) -> Path:
    """Write the JSON of a report to a new folder."""
    folder.mkdir()
    (folder / "report.json").write_text(report.to_json())
    return folder


@pytest.mark.parametrize(
    "report",
    [
        REPORT,
        replace(REPORT, following=None, vocabulary=("dog", "cat")),
        replace(REPORT, semantic=SemanticScores({"avss": {"j": 0.5}}, {"dog": {"j": 0.5}})),
    ],
    ids=["full", "not followed", "semantic"],
)
def test_a_report_is_read_as_it_was_written(report: Report, tmp_path: Path) -> None:
    folder = write(tmp_path / "report", report)
    assert read_report(folder) == report
    assert read_report(folder / "report.json") == report


def test_the_json_has_the_means_over_clips_too() -> None:
    facts = json.loads(LONG_REPORT.to_json())
    assert facts["schema_version"] == 3
    assert facts["scores"]["j"]["value"] == LONG_REPORT.scores["j"].value
    assert facts["scores"]["j"]["low"] < facts["scores"]["j"]["value"]
    assert facts["conditions"]["muted"]["marked_area"]["value"] == pytest.approx(0.01)
    assert set(facts["robustness"]) == {"g_miou", "g_f", "g_fpr", "vision_bias"}


def test_g_measures_are_over_frames_that_are_not_silent() -> None:
    found = REPORT.robustness
    j = REPORT.scores["j_sounding"].value
    assert MUTED.j_own_sounding is not None
    assert found["vision_bias"] == pytest.approx(vision_bias(j, MUTED.j_own_sounding))
    assert found["g_fpr"] == pytest.approx(MUTED.marked_area)
    assert found["g_miou"] == pytest.approx(2 * j * 0.7 / (j + 0.7))


def test_without_negative_conditions_there_are_no_g_measures() -> None:
    shifted = replace(REPORT.clips[0], conditions={"shifted": MUTED})
    assert replace(REPORT, clips=(shifted,)).robustness == {}


def test_without_sounding_frames_there_are_no_g_measures() -> None:
    assert replace(REPORT, clips=(clip_of(0, 0.5, silent_frames=5),)).robustness == {}


def test_the_csv_has_one_row_per_clip() -> None:
    rows = list(csv.DictReader(REPORT.clips_to_csv().splitlines()))
    assert [row["clip_id"] for row in rows] == ["clip-0", "clip-1"]
    assert rows[0]["categories"] == "dog cat"
    assert float(rows[0]["j"]) == REPORT.clips[0].j
    assert rows[0]["silent_clean"] == ""
    assert float(rows[1]["muted: marked_area"]) == 0.01


def test_a_clip_without_a_condition_has_empty_cells() -> None:
    clips = (replace(REPORT.clips[0], conditions={}), REPORT.clips[1])
    rows = list(csv.DictReader(replace(REPORT, clips=clips).clips_to_csv().splitlines()))
    assert rows[0]["muted: marked_area"] == ""


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "no report can be read"),
        ("{", "no report can be read"),
        ("[]", "is of version None"),
        ('{"schema_version": 1}', "is of version 1, this avseg reads version 3"),
    ],
)
def test_the_error_for_an_unreadable_report_names_the_file(
    text: str | None, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "report.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ReportError, match=rf"report\.json: {problem}"):
        read_report(path)


def test_reports_have_the_names_of_their_models(tmp_path: Path) -> None:
    paths = [write(tmp_path / name, replace(REPORT, model=name)) for name in ("a", "b")]
    assert list(read_reports(paths)) == ["a", "b"]


def test_two_reports_of_one_model_have_their_paths_in_their_names(tmp_path: Path) -> None:
    paths = [write(tmp_path / name, REPORT) for name in ("a", "b")]
    assert list(read_reports(paths)) == [f"small ({path})" for path in paths]


def test_a_report_that_is_given_twice_raises_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a", REPORT)
    with pytest.raises(ReportError, match="is given twice"):
        read_reports([path, path])


@pytest.mark.parametrize("change", [{"clips": 3}, {"clips": [{}]}, {"semantic": {"x": 1}}])
def test_a_damaged_report_raises_an_error(change: dict[str, object], tmp_path: Path) -> None:
    facts = json.loads(REPORT.to_json()) | change
    (tmp_path / "report.json").write_text(json.dumps(facts))
    with pytest.raises(ReportError, match=r"report.json: is damaged"):
        read_report(tmp_path)
