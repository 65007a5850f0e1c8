"""`avseg score`, as typed."""

import json
from pathlib import Path

import pytest
import torch

from avseg.cli.main import app, run
from avseg.datasets import AVSBench
from avseg.evaluation.prediction_files import PredictionFacts, write_predictions
from avseg.synthavs.generators import SynthavsOptions
from avseg.synthavs.writer import write_synthavs


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Predictions that mark everything, and the S4 data they are of."""
    root = tmp_path_factory.mktemp("score")
    write_synthavs(
        root, SynthavsOptions(subset="s4", clips=1, evaluation_clips=1, side=64), workers=1
    )
    split = AVSBench(root, "s4", "test")
    facts = PredictionFacts("everything", None, str(root), "s4", "test", 0.5)
    with write_predictions(root / "predictions", facts) as writer:
        for clip in split:
            writer.add(clip.clip_id, torch.full((5, 8, 8), 4.0))
    return root / "predictions", root


def test_protocols_are_listed_and_written_as_json(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictions, data = folders
    arguments = ["score", str(predictions), "--data", str(data), "--output"]
    chosen = ["--protocol", "tpavi", "--protocol", "av2t-sam"]
    assert run(app, [*arguments, str(tmp_path / "s.json"), *chosen]) == 0
    printed = capsys.readouterr().out
    assert "everything on s4/test" in printed
    assert "AVSBench (TPAVI), by category" in printed
    assert "spread" in printed
    assert list(json.loads((tmp_path / "s.json").read_text())["protocols"]) == chosen[1::2]


def test_an_unknown_protocol_exits_with_2_and_lists_the_known_ones(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    predictions, data = folders
    assert run(app, ["score", str(predictions), "--data", str(data), "--protocol", "tpvai"]) == 2
    assert "no protocol 'tpvai'; choose from tpavi, " in " ".join(
        capsys.readouterr().err.replace("│", " ").split()
    )


def test_a_folder_without_predictions_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(app, ["score", str(tmp_path), "--data", str(tmp_path)]) == 1
    assert "manifest.json: cannot be read" in capsys.readouterr().err
