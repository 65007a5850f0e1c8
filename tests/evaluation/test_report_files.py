"""Files of reports."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from avseg.errors import OutputError
from avseg.evaluation.compare import compare
from avseg.evaluation.figures.plots import PLOTS
from avseg.evaluation.report import read_report
from avseg.evaluation.report_files import save_comparison, save_report
from tests.evaluation.reports import REPORT, better


def test_a_report_is_tables_figures_and_pictures(tmp_path: Path) -> None:
    names = save_report(REPORT, tmp_path / "report", Image.new("RGB", (4, 4)))
    files = {path.name for path in (tmp_path / "report").iterdir()}
    assert files == set(names) == {"report.md", "report.json", "clips.csv", "clips.png", *PLOTS}
    assert read_report(tmp_path / "report") == REPORT
    for name in (*PLOTS, "clips.png"):
        assert f"]({name})" in (tmp_path / "report" / "report.md").read_text()
        Image.open(tmp_path / "report" / name).verify()


def test_a_report_can_be_written_again_and_without_a_sheet(tmp_path: Path) -> None:
    save_report(REPORT, tmp_path)
    assert "clips.png" not in save_report(replace(REPORT, model="other"), tmp_path)
    assert (tmp_path / "report.md").read_text().startswith("# other on ms3/test")


def test_a_plot_that_cannot_be_drawn_is_not_linked(tmp_path: Path) -> None:
    assert "f_curve.png" not in save_report(replace(REPORT, f_curve=()), tmp_path)
    assert "f_curve.png" not in (tmp_path / "report.md").read_text()


def test_a_comparison_is_tables_figures_and_a_picture(tmp_path: Path) -> None:
    names = save_comparison(compare({"a": REPORT, "b": better(REPORT, 0.1)}), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(names)
    assert set(names) == {"compare.md", "compare.json", "compare.png"}
    assert (tmp_path / "compare.md").read_text().startswith("# 2 models on ms3/test")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        save_report(REPORT, tmp_path / "file" / "report")
