"""The checks of the machine find what would make segmentation or a download fail."""

import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from avseg.checkpoints import PACKAGED_MODELS, Checkpoint
from avseg.diagnosis import Check, check_machine, machine
from tests.checkpoints.hub import LocalHub


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVSEG_CACHE", str(tmp_path / "cache"))


def checks(*, online: bool = False) -> dict[str, Check]:
    return {check.name: check for check in check_machine(online=online)}


def test_a_machine_that_runs_the_tests_can_segment() -> None:
    found = checks()
    assert "Hub" not in found
    assert not [check for check in found.values() if check.status == "error"]
    assert found["codecs"].status == "ok"
    assert torch.__version__ in found["software"].found


def test_every_warning_and_error_has_a_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "available_memory", lambda: 10)
    monkeypatch.setattr(machine, "DECODERS", ("h264", "no-such-codec"))
    monkeypatch.setitem(PACKAGED_MODELS, "tavis-small", Checkpoint("tavis-small", Path("/none")))
    found = checks()
    assert {name for name, check in found.items() if check.status != "ok"} == {
        *("memory", "codecs", "packaged models"),
    }
    assert all(bool(check.next_step) == (check.status != "ok") for check in found.values())
    assert "no-such-codec (decoder)" in found["codecs"].found


def test_a_full_disk_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    assert checks()["cache"].status == "warning"
    assert "1 kB free" in checks()["cache"].found


def test_a_cache_in_place_of_which_there_is_a_file_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    assert checks()["cache"].status == "warning"
    assert "AVSEG_CACHE" in checks()["cache"].next_step


def test_the_models_are_grouped_by_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "available_memory", lambda: 2_000_000_000)
    found = checks()["models"].found
    fit, _, other = found.partition("too large: ")
    assert "av2t-sam-small" in fit
    assert "evf-sam2," in other


def test_the_hub_is_contacted_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with LocalHub().running() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        checks()
        assert hub.requests == []
        checks(online=True)
    assert hub.requests


def test_a_hub_that_cannot_be_reached_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    found = checks(online=True)["Hub"]
    assert found.status == "warning"
    assert "cannot be reached" in found.found
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in checks(online=True)["Hub"].found
