"""Reproductions of all papers: rows, runs and files."""

from pathlib import Path

import pytest

from avseg.errors import OutputError
from avseg.reproduction import papers
from avseg.reproduction.papers import PAPERS, reproduce
from avseg.reproduction.runs import Measures, PlannedRun


@pytest.mark.parametrize("paper", PAPERS)
def test_all_rows_are_trained_if_none_is_named(
    paper: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = PAPERS[paper]
    planned: list[PlannedRun] = []

    def train_runs(rows: dict[str, list[PlannedRun]], *_: object) -> dict[str, list[Measures]]:
        assert tuple(rows) == tables.row_names
        planned.extend(run for runs in rows.values() for run in runs)
        return {}

    monkeypatch.setattr(papers, "measure_baselines", lambda _: {})
    monkeypatch.setattr(papers, "train_runs", train_runs)
    reproduction = reproduce(paper, output=tmp_path, data=tmp_path, seeds=2, steps=7)
    assert reproduction.steps == 7
    assert {run.recipe.trainer["max_steps"] for run in planned} == {7}
    assert len({run.output for run in planned}) == 2 * len(tables.row_names)
    assert (tmp_path / f"{tables.paper}.md").is_file()


def test_a_report_of_another_origin_is_kept(tmp_path: Path) -> None:
    (tmp_path / "tavis.md").write_text("my own")
    with pytest.raises(OutputError, match=r"other files than a reproduction of tavis \(tavis.md\)"):
        reproduce("tavis", output=tmp_path)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["my own"]


def test_an_unknown_paper_raises_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no paper 'av3t'; choose from av2t-sam, tavis"):
        reproduce("av3t", output=tmp_path)
