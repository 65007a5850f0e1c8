"""`avseg reproduce`, as typed."""

from pathlib import Path

import pytest

from avseg.cli.main import app, run
from avseg.reproduction import reproduce as reproducing
from avseg.reproduction.av2t_sam import Av2tSamTables
from avseg.reproduction.grid import Stage
from avseg.reproduction.tavis import TavisTables
from tests.training import tiny


def test_the_grid_is_trained_as_asked_and_its_tables_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[object] = []

    def reproduce(tables: object, output: Path, data: Path, **options: object) -> Av2tSamTables:
        assert tables is Av2tSamTables
        on_stage = options.pop("on_stage")
        assert callable(on_stage)
        on_stage(Stage(tiny.BRIDGE, output / "bridge_mul_0"), 1, 2)
        asked.extend([output, data, options["rows"], options["seeds"], options["steps"]])
        return Av2tSamTables({"mul": [{"s4_test_j": 0.5, "ms3_test_j": 0.25}]}, 7)

    monkeypatch.setattr(reproducing, "reproduce", reproduce)
    options = ["--output", str(tmp_path), "--data", "d", "--seeds", "2", "--steps", "7"]
    arguments = ["reproduce", "av2t-sam", *options, "--rows", "mul", "mul+adapters"]
    assert run(app, arguments) == 0
    assert asked == [tmp_path, Path("d"), ("mul", "mul+adapters"), 2, 7]
    shown = capsys.readouterr()
    assert f"training 1 of 2: {tmp_path}/bridge_mul_0" in shown.err
    assert "| mul | 1 | 0.500 | - | 0.250 | - |" in shown.out


def test_without_rows_all_of_the_paper_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def reproduce(tables: object, *_: object, **options: object) -> TavisTables:
        asked.extend([tables, options["rows"]])
        return TavisTables({}, 300)

    monkeypatch.setattr(reproducing, "reproduce", reproduce)
    assert run(app, ["reproduce", "tavis", "--output", str(tmp_path)]) == 0
    assert asked == [TavisTables, None]


def test_an_unknown_paper_is_not_understood() -> None:
    assert run(app, ["reproduce", "av3t"]) == 2
