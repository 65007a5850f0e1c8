"""`avseg evaluate`, as typed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from avseg.cli.main import app, run
from avseg.synthavs.generators import SynthavsOptions
from avseg.synthavs.writer import write_synthavs
from tests.segmenters import save_random_cascade, save_random_model, save_random_text_model


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """S4 of SynthAVS with two clips in each split."""
    folder = tmp_path_factory.mktemp("data")
    write_synthavs(
        folder, SynthavsOptions(subset="s4", clips=2, evaluation_clips=2, side=64), workers=1
    )
    return str(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a model with random weights."""
    return str(save_random_model(tmp_path_factory.mktemp("models") / "random"))


def test_tables_are_shown_and_a_report_is_written(
    model: str, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", data, "--subset", "s4", "--split", "test_seen", "--device", "cpu"]
    assert run(app, ["evaluate", model, *arguments, "--output", str(tmp_path / "report")]) == 0
    shown = capsys.readouterr().out
    assert "Scores with the original audio" in shown
    assert "AVSBench (TPAVI)" in shown
    assert "2 clips, 10 frames, 0 of them silent." in shown
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["model"] == "random"
    assert set(report["baselines"]) == {"nothing", "everything", "all objects"}
    assert "muted" in report["conditions"]
    for name in ("clips.png", "report.md", "clips.csv", "robustness.png", "categories.png"):
        assert (tmp_path / "report" / name).exists()
    assert "report.md, report.json, clips.csv and pictures" in shown


def test_saved_predictions_have_the_same_scores(model: str, data: str, tmp_path: Path) -> None:
    kept = str(tmp_path / "kept")
    options = ["--no-robustness", "--save-predictions", kept, "--device", "cpu"]
    arguments = ["--data", data, "--subset", "s4", "--split", "test_seen", *options]
    assert run(app, ["evaluate", model, *arguments, "-o", str(tmp_path / "report")]) == 0
    scores = tmp_path / "scores.json"
    assert run(app, ["score", kept, "--data", data, "--output", str(scores)]) == 0
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    again = json.loads(scores.read_text())["protocols"]
    for name, found in report["protocols"].items():
        assert again[name]["j"] == pytest.approx(found["j"], abs=1e-3)
        assert again[name]["f"] == pytest.approx(found["f"], abs=1e-3)


def test_robustness_tests_and_vocabulary_are_options(
    data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cascade = str(save_random_cascade(tmp_path / "cascade"))
    options = ["--no-robustness", "--vocabulary", "dog, bus", "--offline", "--device", "cpu"]
    arguments = ["--data", data, "--subset", "s4", "--split", "test_seen", *options]
    assert run(app, ["evaluate", cascade, *arguments, "-o", str(tmp_path / "report")]) == 0
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["vocabulary"] == ["dog", "bus"]
    assert report["conditions"] == {}
    assert "Robustness" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("save", "options", "problem"),
    [
        (save_random_text_model, [], "is prompted by texts, which these data sets do not have"),
        (save_random_model, ["--vocabulary", "dog"], "does not name sounding objects"),
    ],
    ids=["texts", "vocabulary"],
)
def test_an_option_that_the_model_cannot_use_is_an_error(
    save: Callable[[Path], Path],
    options: list[str],
    problem: str,
    data: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["--data", data, "--subset", "s4", "--output", str(tmp_path / "report"), *options]
    assert run(app, ["evaluate", str(save(tmp_path / "model")), *arguments]) == 1
    assert problem in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "report").exists()


def test_the_error_for_a_missing_split_names_it(
    model: str, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", data, "--subset", "s4", "--split", "tset", "--output", str(tmp_path)]
    assert run(app, ["evaluate", model, *arguments]) == 1
    assert "has no clips of split 'tset'; choose from" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [["--subset", "s5"], ["--subset", "s4", "--threshold", "1"]])
def test_options_out_of_range_exit_with_2(options: list[str], tmp_path: Path) -> None:
    arguments = ["--data", str(tmp_path), "--output", str(tmp_path), *options]
    assert run(app, ["evaluate", "small", *arguments]) == 2
