"""`avseg compare`, as typed."""

from dataclasses import replace
from pathlib import Path

import pytest

from avseg.cli.main import app, run
from avseg.evaluation.report import Report
from tests.evaluation.reports import LONG_REPORT, better


def write(folder: Path, report: Report) -> str:
    """Write a report into a folder."""
    folder.mkdir()
    (folder / "report.json").write_text(report.to_json())
    return str(folder)


def test_reports_are_put_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reports = [write(tmp_path / r.model, r) for r in (LONG_REPORT, better(LONG_REPORT, 0.1))]
    assert run(app, ["compare", *reports, "-o", str(tmp_path / "out")]) == 0
    assert "Differences from small" in capsys.readouterr().out
    assert "0.100 [0.100, 0.100]" in (tmp_path / "out" / "compare.md").read_text()


def test_reports_of_different_splits_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = replace(LONG_REPORT, split="val", model="other")
    reports = [write(tmp_path / report.model, report) for report in (LONG_REPORT, other)]
    assert run(app, ["compare", *reports, "-o", str(tmp_path / "out")]) == 1
    assert "different split: val and test" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_report_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(app, ["compare", str(tmp_path / "a"), str(tmp_path / "b"), "-o", "out"]) == 1
    assert "no report can be read" in capsys.readouterr().err
