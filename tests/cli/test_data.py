"""`avseg data`, as typed."""

from pathlib import Path

import pytest

from avseg.cli.main import app, run
from avseg.datasets import AVSBench


def synthesize(*arguments: str) -> int:
    return run(app, ["data", "synthesize", *arguments])


def test_synthesize_writes_a_data_set_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--subset", "ms3", "--out", str(tmp_path), "--clips", "2", "--seed", "3"]
    arguments += ["--evaluation-clips", "1", "--workers", "1"]
    assert synthesize(*arguments) == 0
    summary = capsys.readouterr().out
    assert summary.startswith(f"{tmp_path / 'Multi-sources'}: 6 clips (train 2, val 1, test 1,")
    assert len(AVSBench(tmp_path, "ms3", "train")) == 2

    assert synthesize(*arguments) == 0
    assert "already there" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--subset", "s5", "--clips", "2"],
        ["--subset", "s4", "--clips", "0"],
        ["--subset", "s4", "--clips", "2", "--seed", "-1"],
        ["--subset", "s4", "--clips", "2", "--workers", "0"],
    ],
    ids=" ".join,
)
def test_options_out_of_range_are_not_understood(arguments: list[str], tmp_path: Path) -> None:
    assert synthesize(*arguments, "--out", str(tmp_path)) == 2
    assert not list(tmp_path.iterdir())


def test_a_folder_in_use_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "Single-source").mkdir()
    (tmp_path / "Single-source/mine.txt").touch()
    assert synthesize("--subset", "s4", "--clips", "1", "--out", str(tmp_path)) == 1
    assert "name another folder" in capsys.readouterr().err
