"""`avseg doctor`: a table or JSON of checks, and an exit code."""

import json
from pathlib import Path

import pytest

from avseg.checkpoints import PACKAGED_MODELS, Checkpoint
from avseg.cli.main import app, run


def test_json_has_every_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(app, ["doctor", "--json"]) == 0
    found = {check["name"]: check for check in json.loads(capsys.readouterr().out)}
    assert {"software", "device cpu", "memory", "cache", "codecs", "models"} <= found.keys()
    assert found["codecs"]["status"] == "ok"


def test_an_error_is_shown_with_the_next_step_and_sets_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(PACKAGED_MODELS, "tavis-small", Checkpoint("tavis-small", Path("/none")))
    monkeypatch.setenv("COLUMNS", "80")
    assert run(app, ["doctor"]) == 1
    shown = capsys.readouterr().out
    assert "error" in shown
    assert "Next step: install avseg again." in shown
    assert all(len(line) <= 80 for line in shown.splitlines())
