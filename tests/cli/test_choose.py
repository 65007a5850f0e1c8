"""`avseg models --choose`: three questions, one model with its command."""

import io

import pytest

from avseg.cli.main import app, run


def choose(answers: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{answer}\n" for answer in answers)))
    return run(app, ["models", "--choose"])


def test_the_answers_lead_to_one_model_with_its_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert choose(["drawings", "names", "y"], monkeypatch) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "avseg segment VIDEO -o out --model tavis-small"
    assert "20.8 MB" in "\n".join(lines)


def test_the_recommendation_is_wrapped_between_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("avseg.cli.choose.available_memory", lambda: 10**12)
    assert choose(["film", "names", "y"], monkeypatch) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[lines.index("open-cascade") :])) <= 80
    assert "Download: ~3.1 GB. Needs: about 4.58 GB of memory. Licence: Apache-2.0." in lines


def test_a_small_memory_leads_to_the_lighter_model(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("avseg.cli.choose.available_memory", lambda: 3 * 10**9)
    assert choose(["film", "names", "y"], monkeypatch) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("--model open-cascade-light")


def test_the_command_of_a_model_prompted_by_texts_has_a_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert choose(["film", "text", "n"], monkeypatch) == 0
    assert '--text "' in capsys.readouterr().out.splitlines()[-1]


def test_without_a_fitting_model_the_nearest_ones_are_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert choose(["drawings", "text", "n"], monkeypatch) == 1
    shown = capsys.readouterr().out
    assert "No model fulfils all of this" in shown
    assert "with masks: by name: tavis-small" in shown


def test_missing_answers_are_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert choose(["film"], monkeypatch) == 1
    assert "before all three questions were answered" in capsys.readouterr().err
