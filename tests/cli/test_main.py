"""Tests of the whole command line: help, exit codes, error display."""

import inspect

import pytest
from cyclopts import App

import avseg
from avseg.cli.main import TRAINING_LIMIT, Terminated, app, memory_limit, run

COMMANDS = [
    *([name] for name in ("segment", "evaluate", "score", "compare", "train")),
    *([name] for name in ("import-checkpoint", "make-cascade", "make-open-cascade", "models")),
    *(["reproduce", name] for name in ("av2t-sam", "tavis", "small-models")),
    *(["data", name] for name in ("synthesize", "check")),
    *(["draw", name] for name in ("comparison", "embeddings")),
]


def command_that(outcome: BaseException | int | None) -> App:
    """Return a command line with one subcommand, `go`, which raises or returns the outcome."""
    command = App(name="toy", version="1", suppress_keyboard_interrupt=False)

    @command.command
    def go() -> int | None:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return command


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(app, ["--version"]) == 0
    assert capsys.readouterr().out.strip() == avseg.__version__


@pytest.mark.parametrize("arguments", [["--help"], []], ids=["--help", "nothing"])
def test_help_names_every_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(app, arguments) == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in ("segment", "evaluate", "train", "models", "data"))


def test_help_of_data_names_synthesize(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(app, ["data", "--help"]) == 0
    assert "synthesize" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_of_a_command_shows_its_whole_description(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(app, [*command, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    subcommand = app
    for name in command:
        subcommand = subcommand[name]
    docstring = inspect.getdoc(subcommand.default_command) or ""
    description = docstring.partition("\n\nArgs:")[0].replace("`", "")
    assert len(description) > 40
    assert " ".join(description.split()) in shown


def test_a_misspelt_command_exits_with_2_and_suggests_the_right_spelling(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(app, ["segmnt", "clip.mp4"]) == 2
    captured = capsys.readouterr()
    assert "segment" in captured.err
    assert not captured.out


def test_an_avseg_error_exits_with_1_and_prints_its_message_on_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    message = (
        f"{'long/' * 40}take [2].mp4: no sound track; pass --silent-ok to treat it as silence."
    )
    assert run(command_that(avseg.AvsegError(message)), ["go"]) == 1
    captured = capsys.readouterr()
    assert captured.err == f"error: {message}\n"
    assert not captured.out


def test_an_interrupt_exits_with_130(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command_that(KeyboardInterrupt()), ["go"]) == 130
    assert capsys.readouterr().err == "error: interrupted.\n"


def test_a_termination_exits_with_143(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command_that(Terminated()), ["go"]) == 143
    assert capsys.readouterr().err == "error: terminated.\n"


def test_an_unexpected_exception_is_not_caught() -> None:
    with pytest.raises(ZeroDivisionError):
        run(command_that(ZeroDivisionError()), ["go"])


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (3, 3)])
def test_the_number_a_command_returns_is_the_exit_code(returned: int | None, code: int) -> None:
    assert run(command_that(returned), ["go"]) == code


@pytest.mark.parametrize(
    ("arguments", "limit"),
    [
        (["train", "clip_small"], TRAINING_LIMIT),
        (["segment", "train"], None),
        (["evaluate", "--data", "train"], None),
        (["trian"], None),
        (["--help"], None),
        ([], None),
    ],
)
def test_only_training_returns_large_blocks(arguments: list[str], limit: int | None) -> None:
    assert memory_limit(arguments) == limit
