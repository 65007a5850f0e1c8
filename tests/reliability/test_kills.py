"""Commands that are killed at random times: nothing half-written, and a new start completes."""

import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.reliability.commands import Ended, Signal, run_task, still_running
from tests.reliability.conftest import SEED
from tests.reliability.jobs import EVALUATE, SEGMENT, SYNTHESIZE, TRAIN, Inputs, Job, make_inputs
from tests.reliability.outcomes import CRASH, HALF, HANG, OTHER, RAW, Outcome, Table
from tests.reliability.workers import try_each

pytestmark = [pytest.mark.reliability, pytest.mark.timeout(0)]

_KINDS = ("equal", HALF, OTHER, "orphan", RAW, CRASH, HANG)
_TOO_LATE = "ended before the signal"
_ORPHAN_S = 10.0
_LIMIT_S = 300
_SIGNALS = (signal.SIGKILL, signal.SIGTERM)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """Files that the commands read."""
    return make_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def table(publish: Callable[[Table, str], None]) -> Iterator[Table]:
    """One table for all commands."""
    table = Table("Commands killed at random times", _KINDS, _KINDS[1:])
    yield table
    publish(table, "kills")


def try_kill(job: Job, inputs: Inputs, folder: Path, end: Signal, whole: dict[str, str]) -> Outcome:
    """Kill a command, examine its folder, start it again, and compare the result."""
    task, log = job.task(inputs, folder), folder.with_suffix(".log")
    killed = run_task(task, log, end)
    if not killed.was_signalled:
        return Outcome(_TOO_LATE)
    place = f"{end.number.name} after {end.after_cpu_s:.2f} s of CPU: "
    problem = find_problem(killed, end)
    if problem is not None:
        return Outcome(problem, f"{place}exit code {killed.code}: {killed.text[-300:]}")
    done = job.complete(folder)
    if not done.items() <= whole.items():
        return Outcome(HALF, f"{place}{sorted(done)}")
    again = run_task(task, log)
    if again.code != 0:
        return Outcome(OTHER, f"{place}the new start failed: {again.text[-300:]}")
    if job.complete(folder) != whole or list(folder.rglob(".*.partial-*")):
        return Outcome(OTHER, f"{place}{sorted(map(str, folder.rglob('*')))[:20]}")
    return Outcome("equal")


def find_problem(killed: Ended, end: Signal) -> str | None:
    """Return the kind of the outcome if a command did not end as the signal demands."""
    if "Traceback" in killed.text:
        return RAW
    if killed.code not in expected_codes(end):
        return CRASH
    return "orphan" if has_orphans(killed) else None


def expected_codes(end: Signal) -> set[int]:
    """Return the exit codes after a signal; 0 if it came after the last write."""
    return {-signal.SIGKILL, 0} if end.number == signal.SIGKILL else {143, 0, -signal.SIGTERM}


def has_orphans(killed: Ended) -> bool:
    """Return whether processes of a killed command still run after some seconds."""
    until = time.monotonic() + _ORPHAN_S
    while still_running(killed.group):
        if time.monotonic() > until:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(
    ("job", "full"),
    [(SEGMENT, 50), (EVALUATE, 50), (SYNTHESIZE, 50), (TRAIN, 100)],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_killed_command_leaves_nothing_half_written_and_starts_again(
    job: Job, full: int, inputs: Inputs, tmp_path: Path, scaled: Callable[..., int], table: Table
) -> None:
    (tmp_path / "whole").mkdir()
    reference = run_task(job.task(inputs, tmp_path / "whole"), tmp_path / "log")
    assert reference.code == 0, reference.text
    whole = job.complete(tmp_path / "whole")

    def kill(number: int) -> Outcome:
        rng = np.random.default_rng([SEED, number])
        while True:
            end = Signal(_SIGNALS[number % 2], rng.uniform(0, reference.cpu_s))
            folder = tmp_path / str(number)
            folder.mkdir()
            outcome = try_kill(job, inputs, folder, end, whole)
            shutil.rmtree(folder)
            if outcome.kind != _TOO_LATE:  # try again at another time
                return outcome

    numbers = range(scaled(full))
    for _, outcome in try_each(kill, numbers, _LIMIT_S):
        table.add(job.name, outcome)
    assert table.counts[job.name]["equal"] == len(numbers), table.to_markdown()
