"""`avseg import-checkpoint` writes a folder and prints its published files."""

import sys
from pathlib import Path

import pytest

from avseg.checkpoints import find_checkpoint
from avseg.checkpoints.loading import load_checkpoint
from avseg.cli.main import app, run
from tests.published import SAM2_CONFIG, make_model, write_config, write_published


def test_files_become_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = write_published(make_model(), tmp_path / "published")
    config = write_config(SAM2_CONFIG, tmp_path)
    arguments = [*map(str, files), "-o", str(tmp_path / "model"), "--config", str(config)]
    assert run(app, ["import-checkpoint", *arguments]) == 0
    model, _ = load_checkpoint(find_checkpoint(tmp_path / "model"))
    assert model.config.model_type == "avseg-av2t-sam"
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("av2t.pth", "clap-2023", "none stated", "--model"))


def test_features_are_one_of_three(tmp_path: Path) -> None:
    arguments = ["import-checkpoint", "a.pth", "-o", str(tmp_path / "m"), "--features", "smell"]
    assert run(app, arguments) == 2


def test_a_file_that_is_not_there_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "none.pth"
    assert run(app, ["import-checkpoint", str(path), "-o", str(tmp_path / "m")]) == 1
    assert f"{path}: there is no such file" in capsys.readouterr().err


def test_help_loads_no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("avseg.cli.import")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert run(app, ["import-checkpoint", "--help"]) == 0
