"""`avseg models`: which models there are, for people and for machines."""

import json
from pathlib import Path
from typing import Any

import pytest

from avseg.checkpoints import DEFAULT_MODEL, PACKAGED_MODELS
from avseg.checkpoints.known_models import BACKBONES, RELEASES
from avseg.cli.main import app, run
from tests.test_public_api import HEAVY, modules_loaded_by


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVSEG_CACHE", str(tmp_path / "cache"))


def listed(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    """What `--json` writes, by name."""
    assert run(app, ["models", "--json"]) == 0
    return {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}


def test_the_list_loads_nothing_heavy() -> None:
    code = "from avseg.cli.main import app, run\nassert run(app, ['models', '--json']) == 0"
    assert not modules_loaded_by(code) & (HEAVY | {"huggingface_hub", "numpy"})


def test_the_table_names_every_model_and_where_its_figures_are_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run(app, ["models"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in (*PACKAGED_MODELS, *RELEASES, *BACKBONES))
    assert "Figures: arXiv:2502.16359, Table 1" in shown
    assert str(tmp_path / "cache") in shown
    (line,) = (line.split() for line in shown.splitlines() if "evf-sam2 " in line)
    assert line == [
        "evf-sam2",
        "to",
        "download",
        "3.15",
        "GB",
        "Apache-2.0",
        "RES",
        "score",
        "83.6",
    ]


def test_machines_get_everything_that_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    models = listed(capsys)
    assert list(models) == [*PACKAGED_MODELS, *RELEASES, *BACKBONES]
    assert models[DEFAULT_MODEL]["state"] == "packaged"
    assert models["av2t-sam2-s4"]["state"] == "downloadable"
    assert models["av2t-sam2-s4"]["licence"] is None
    assert models["av2t-sam2-s4"]["figures"] == {"S4 mIoU": 86.67, "S4 F": 0.924}
    assert models["imagebind-huge"]["state"] == "by hand"
    assert models["imagebind-huge"]["licence"] == "CC-BY-NC-SA-4.0"
    assert models["evf-sam2"]["files"] == {
        "YxZhang/evf-sam2/model.safetensors@main": "the Hub's page",
        "YxZhang/evf-sam2/sentencepiece.bpe.model@main": "the Hub's page",
    }


def test_a_model_that_was_imported_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("avseg.checkpoints.import_cache._edition", lambda release: release.name)
    folder = tmp_path / "cache" / "models" / "evf-sam" / "evf-sam-0"
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "processor_config.json"):
        (folder / name).touch()
    models = listed(capsys)
    assert models["evf-sam"]["state"] == "imported"
    assert models["evf-sam"]["folder"] == str(folder)
    assert models["evf-sam2"]["folder"] is None
