"""`avseg evaluate`, as typed."""

import json
from pathlib import Path

import pytest

from avseg.cli.main import app, run
from avseg.datasets.synthetic.recipe import Recipe
from avseg.datasets.synthetic.writer import write_synthavs
from tests.segmenters import save_random_model


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """S4 of SynthAVS with two clips in each split."""
    folder = tmp_path_factory.mktemp("data")
    write_synthavs(folder, Recipe(subset="s4", clips=2, evaluation_clips=2, side=64), workers=1)
    return str(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a model with random weights."""
    return str(save_random_model(tmp_path_factory.mktemp("models") / "random"))


def test_a_table_is_shown_and_a_report_written(
    model: str, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", data, "--subset", "s4", "--split", "test_seen", "--device", "cpu"]
    assert run(app, ["evaluate", model, *arguments, "--output", str(tmp_path / "report")]) == 0
    shown = capsys.readouterr().out
    assert "random on s4/test_seen" in shown
    assert "2 clips, 10 frames, 0 of them silent." in shown
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["model"] == "random"
    assert set(report["baselines"]) == {"nothing", "everything", "all objects"}
    assert (tmp_path / "report" / "clips.png").exists()
    assert (tmp_path / "report" / "report.md").exists()


def test_a_split_that_is_not_there_is_named(
    model: str, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", data, "--subset", "s4", "--split", "tset", "--output", str(tmp_path)]
    assert run(app, ["evaluate", model, *arguments]) == 1
    assert "has no clips of split 'tset'; choose from" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [["--subset", "avss"], ["--subset", "s4", "--threshold", "1"]])
def test_options_out_of_range_are_not_understood(options: list[str], tmp_path: Path) -> None:
    arguments = ["--data", str(tmp_path), "--output", str(tmp_path), *options]
    assert run(app, ["evaluate", "small", *arguments]) == 2
