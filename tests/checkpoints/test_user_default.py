"""The default model is that of the environment, else the stored one, else the packaged one."""

from pathlib import Path

import pytest

from avseg.checkpoints import DEFAULT_MODEL
from avseg.checkpoints.user_default import default_model, default_model_file, set_default_model
from avseg.errors import CheckpointError


@pytest.fixture(autouse=True)
def _empty_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    monkeypatch.delenv("AVSEG_MODEL", raising=False)


def test_the_packaged_model_is_the_default() -> None:
    assert default_model() == DEFAULT_MODEL


def test_a_name_is_stored_without_a_download(tmp_path: Path) -> None:
    assert set_default_model("evf-sam2") == "evf-sam2"
    assert default_model() == "evf-sam2"
    assert default_model_file() == tmp_path / "settings" / "avseg" / "default-model"


def test_a_folder_is_stored_as_an_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run-7"
    folder.mkdir()
    for name in ("config.json", "model.safetensors", "processor_config.json"):
        (folder / name).touch()
    monkeypatch.chdir(tmp_path)
    set_default_model("run-7")
    assert default_model() == str(folder)


def test_the_environment_takes_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    set_default_model("tavis-small")
    monkeypatch.setenv("AVSEG_MODEL", "evf-sam")
    assert default_model() == "evf-sam"
    monkeypatch.setenv("AVSEG_MODEL", "")
    assert default_model() == "tavis-small"


@pytest.mark.parametrize("name", ["evf-sam3", "av2t-sam2-s4"])
def test_a_model_that_cannot_be_used_is_refused_and_the_default_stays(name: str) -> None:
    with pytest.raises(CheckpointError, match=name):
        set_default_model(name)
    assert default_model() == DEFAULT_MODEL
