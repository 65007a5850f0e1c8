"""`avseg reproduce`, as typed."""

from pathlib import Path

import pytest

from avseg.cli.main import app, run
from avseg.reproduction import papers, small_models
from avseg.reproduction.av2t_sam import Av2tSamTables
from avseg.reproduction.runs import PlannedRun
from avseg.reproduction.tavis import TavisTables
from tests.training import tiny


def test_the_rows_are_trained_and_the_tables_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: dict[str, object] = {}

    def reproduce(paper: str, *, output: Path, **options: object) -> Av2tSamTables:
        on_run = options.pop("on_run")
        assert callable(on_run)
        on_run(PlannedRun(tiny.BRIDGE, output / "bridge_mul_0"), 1, 2)
        given.update(options, paper=paper, output=output)
        return Av2tSamTables({"mul": [{"s4_test_j": 0.5, "ms3_test_j": 0.25}]}, 7)

    monkeypatch.setattr(papers, "reproduce", reproduce)
    options = ["--output", str(tmp_path), "--data", "d", "--seeds", "2", "--steps", "7"]
    arguments = ["reproduce", "av2t-sam", *options, "--rows", "mul", "mul+adapters"]
    assert run(app, arguments) == 0
    assert given == {
        "paper": "av2t-sam",
        "output": tmp_path,
        "data": Path("d"),
        "rows": ("mul", "mul+adapters"),
        "seeds": 2,
        "steps": 7,
    }
    shown = capsys.readouterr()
    assert f"training 1 of 2: {tmp_path}/bridge_mul_0" in shown.err
    assert "| mul | 1 | 0.500 | - | 0.250 | - |" in shown.out


def test_without_rows_all_rows_of_the_paper_are_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[object] = []

    def reproduce(paper: str, **options: object) -> TavisTables:
        given.extend([paper, options["rows"]])
        return TavisTables({}, 300)

    monkeypatch.setattr(papers, "reproduce", reproduce)
    assert run(app, ["reproduce", "tavis", "--output", str(tmp_path)]) == 0
    assert given == ["tavis", None]


def test_the_small_models_are_trained_and_their_tables_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def reproduce_small_models(output: Path, **options: object) -> Path:
        on_stage = options.pop("on_stage")
        assert callable(on_stage)
        on_stage("train clip_small", 3, 9)
        assert options == {"seed": 4, "steps": 2, "clips": None}
        (output / "small-models.md").write_text("| run |")
        return output / "small-models.md"

    monkeypatch.setattr(small_models, "reproduce_small_models", reproduce_small_models)
    options = ["--output", str(tmp_path), "--seed", "4", "--steps", "2"]
    assert run(app, ["reproduce", "small-models", *options]) == 0
    shown = capsys.readouterr()
    assert "3 of 9: train clip_small" in shown.err
    assert "| run |" in shown.out


def test_an_unknown_paper_exits_with_2() -> None:
    assert run(app, ["reproduce", "av3t"]) == 2
