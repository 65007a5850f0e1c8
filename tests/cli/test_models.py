"""`avseg models`: the list, the details of one model, and JSON."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from avseg.checkpoints import DEFAULT_MODEL, PACKAGED_MODELS, list_models
from avseg.checkpoints.known_models import RELEASES
from avseg.checkpoints.manual_models import MANUAL_MODELS
from avseg.cli.main import app, run
from tests.test_public_api import HEAVY, modules_loaded_by


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVSEG_CACHE", str(tmp_path / "cache"))


def listed(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    """Return the output of `--json` by name."""
    assert run(app, ["models", "--json"]) == 0
    return {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}


def test_the_list_loads_nothing_heavy() -> None:
    code = "from avseg.cli.main import app, run\nassert run(app, ['models', '--json']) == 0"
    assert not modules_loaded_by(code) & (HEAVY | {"huggingface_hub", "numpy"})


@pytest.mark.parametrize("columns", ["80", "120"])
def test_the_list_has_a_line_of_80_characters_for_each_model(
    columns: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert run(app, ["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert str(tmp_path / "cache") in lines[-1]
    assert all(len(line) <= 80 for line in lines[:-1])
    names = [line.split()[0] for line in lines[1 : lines.index("")]]
    assert names == [listing.name for listing in list_models()]
    assert set(names) == {*PACKAGED_MODELS, *RELEASES, *MANUAL_MODELS}


def row(name: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the cells of a model's line in the list."""
    assert run(app, ["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = (line for line in lines if line.startswith(f"{name} "))
    return re.split(r" {2,}", line)


def test_a_line_has_masks_film_training_size_licence_and_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert row("evf-sam2", capsys) == [
        *("evf-sam2", "by text", "yes", "RefCOCO", "3.15 GB", "Apache-2.0", "Hub"),
    ]
    assert row("av2t-sam2-s4", capsys) == [
        *("av2t-sam2-s4", "one", "yes", "AVSBench S4", "?", "not stated", "by hand ?"),
    ]
    assert row("open-cascade-light", capsys)[-3:] == ["~1.4 GB", "Apache-2.0", "Hub ?"]
    assert row("auralsam2-v1m", capsys)[-3:] == ["?", "2 licences", "Hub ?"]
    assert row("tavis-small", capsys)[2:4] == ["no", "SynthAVS"]
    assert row("tavis-small", capsys)[-1] == "package"
    assert row("imagebind-huge", capsys)[1] == "none"


def test_each_small_model_is_described_as_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    models = listed(capsys)
    assert models["av2t-sam-small"]["what"].startswith("AV2T-SAM")
    assert models["tavis-small"]["what"].startswith("TAViS")


def test_one_model_is_described_in_detail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(app, ["models", "av2t-sam2-s4"]) == 0
    shown = capsys.readouterr().out
    for fact in (
        "SAM 2 Hiera-L, prompted by CLIP x CLAP",
        "S4 mIoU 86.67, S4 F 0.924",
        "arXiv:2502.16359, Table 1",
        "https://huggingface.co/Kyungbok/AV2T-SAM and",
        "the trained weights were not seen there",
        "not stated: ask its authors",
        "avseg import-checkpoint *_mul_adapter_evf_sam2_s4_best.pth",
    ):
        assert fact in " ".join(shown.split())


def test_the_files_of_a_model_to_download_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(app, ["models", "evf-sam2"]) == 0
    shown = capsys.readouterr().out
    assert "https://huggingface.co/YxZhang/evf-sam2\n  revision main\n  licence Apache-2.0" in shown
    assert "model.safetensors        3.15 GB\n" in shown


def test_the_files_of_a_repository_are_one_group_of_lines_with_80_characters(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(app, ["models", "open-cascade-sam3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert len([line for line in lines if line.startswith("https://huggingface.co/")]) == 2
    assert len([line for line in lines if "no military, nuclear or weapons use" in line]) == 1
    assert any(re.fullmatch(r"  model.safetensors +~3.4 GB", line) for line in lines)
    assert any(re.fullmatch(r"  config.json +small", line) for line in lines)


def test_a_packaged_model_shows_where_it_is_and_its_limits(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(app, ["models", "tavis-small"]) == 0
    shown = capsys.readouterr().out
    assert f"{PACKAGED_MODELS['tavis-small'].folder}\n" in shown
    assert "this model was trained on SynthAVS's drawn world" in " ".join(shown.split())


def test_a_model_to_download_by_hand_shows_the_commands(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(app, ["models", "imagebind-huge"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "avseg import-checkpoint imagebind_huge.pth bpe_simple_vocab_16e6.txt.gz" in shown


def test_an_unknown_name_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(app, ["models", "evf-sam3"]) == 1
    assert "no model has that name (nearest: evf-sam" in capsys.readouterr().err


def test_json_has_everything_that_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    models = listed(capsys)
    assert list(models) == [listing.name for listing in list_models()]
    assert models[DEFAULT_MODEL]["state"] == "packaged"
    assert models["evf-sam2"]["state"] == "downloadable"
    assert models["evf-sam2"]["masks"] == "by text"
    assert models["evf-sam2"]["training"] == {"data": "RefCOCO", "is_filmed": True}
    assert models["av2t-sam2-s4"]["state"] == "by hand"
    assert models["av2t-sam2-s4"]["is_seen"] is False
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
    monkeypatch.setattr("avseg.checkpoints.import_cache._release_hash", lambda entry: entry.name)
    folder = tmp_path / "cache" / "models" / "evf-sam" / "evf-sam-0"
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "processor_config.json"):
        (folder / name).touch()
    models = listed(capsys)
    assert models["evf-sam"]["state"] == "imported"
    assert models["evf-sam"]["folder"] == str(folder)
    assert models["evf-sam2"]["folder"] is None
