"""`avseg verify`: a Markdown table of checks, and an exit code."""

from pathlib import Path

import pytest

from avseg.cli.main import app, run
from tests.segmenters import save_random_model


def test_the_report_is_a_markdown_table_with_the_software(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = save_random_model(tmp_path / "model")
    assert run(app, ["verify", str(model), "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "Python 3" in lines[0]
    assert lines[2:4] == ["| check | status | found |", "| --- | --- | --- |"]
    assert all(line.count(" | ") == 2 for line in lines[4:])
    assert lines[4].startswith(f"| files | ok | {model}, weights with SHA-256 ")


def test_an_error_sets_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(app, ["verify", str(tmp_path / "none")]) == 1
    out = capsys.readouterr().out
    assert "| CheckpointError | error | " in out
    assert ". Next step: " in out
    assert ".." not in out.partition("error")[2]
