"""Requests, messages, log records and signs of progress between a supervisor and its worker."""

import logging

import pytest

from avseg.batch.pipes import WorkerEnd, WorkerProcess

WORKER = "tests.batch.pipe_worker"


@pytest.mark.parametrize(
    ("exit_code", "name"),
    [(-11, "SIGSEGV"), (-9, "SIGKILL"), (-40, "signal 40"), (3, None), (0, None), (None, None)],
)
def test_a_negative_exit_code_is_a_signal(exit_code: int | None, name: str | None) -> None:
    assert WorkerEnd(exit_code).signal_name == name


def test_output_of_libraries_goes_to_stderr_and_not_between_the_messages(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with WorkerProcess(WORKER, "print") as worker:
        assert worker.receive(60) == ("done", "print")
        assert worker.receive(60) == WorkerEnd(0)
    assert capfd.readouterr() == ("", "from a library\n")


def test_the_level_of_the_logger_of_the_package_is_that_of_this_process(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "avseg"), WorkerProcess(WORKER, "log") as worker:
        assert worker.receive(60) == ("done", "log")
    assert [record.getMessage() for record in caplog.records] == ["level INFO"]


def test_an_exception_that_cannot_be_pickled_is_sent_by_its_text() -> None:
    with WorkerProcess(WORKER, "error") as worker:
        error = worker.receive(60)
    assert isinstance(error, RuntimeError)
    assert str(error) == "UnpicklableError: number 7"


def test_a_message_that_cannot_be_read_is_an_exception_and_ends_the_worker() -> None:
    with WorkerProcess(WORKER, "foreign") as worker:
        assert isinstance(worker.receive(60), AttributeError)
        assert isinstance(worker.receive(60), WorkerEnd)


def test_signs_of_progress_are_not_messages_and_prolong_the_wait() -> None:
    with WorkerProcess(WORKER, "beat") as worker:
        assert worker.receive(60) == ("done", "beat")


def test_a_module_that_cannot_be_started_has_ended(capfd: pytest.CaptureFixture[str]) -> None:
    with WorkerProcess("tests.batch.no_such_module", "x" * 10**6) as worker:
        assert worker.receive(60) == WorkerEnd(1)
    assert "No module named" in capfd.readouterr().err
