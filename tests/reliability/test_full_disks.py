"""Writers on disks that fill up: a clear error, nothing half-written, and complete with room."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.reliability import jobs
from tests.reliability.commands import run_task
from tests.reliability.jobs import Inputs, Job, make_inputs
from tests.reliability.outcomes import CRASH, HALF, HANG, OTHER, RAW, Outcome, Table
from tests.reliability.small_disks import AMPLE, can_mount, resize, small_disk, used
from tests.reliability.workers import try_each

pytestmark = [pytest.mark.reliability, pytest.mark.timeout(0)]

_KINDS = ("clear error", "complete", "unclear error", RAW, HALF, OTHER, CRASH, HANG)
_FAILURES = tuple(kind for kind in _KINDS if kind not in ("clear error", "complete"))
_CLEAR = re.compile(r"(cannot be|could not be) (written|created|saved)|is full")
_LIMIT_S = 600
_LEVELS = 50

JOBS = (
    *(jobs.SEGMENT, jobs.EVALUATE, jobs.SAVE_MASKS, jobs.IMPORT, jobs.EXPORT, jobs.TRAIN),
    *(jobs.SYNTHESIZE, jobs.REPRODUCE, jobs.DRAW),
)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """Files that the writers read."""
    return make_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def table(publish: Callable[[Table, str], None]) -> Iterator[Table]:
    """One table for all writers."""
    table = Table("Writers on disks that fill up", _KINDS, _FAILURES)
    yield table
    publish(table, "full_disks")


def write_with_room(job: Job, inputs: Inputs, folder: Path) -> Outcome:
    """Write with enough room; the detail of the outcome is the size of the written files."""
    with small_disk(folder, AMPLE):
        ended = run_task(job.task(inputs, folder), folder.with_suffix(".log"))
        assert ended.code == 0, ended.text
        return Outcome("mounted" if can_mount() else "limited", str(used(folder)))


def try_level(job: Job, inputs: Inputs, folder: Path, size: int) -> Outcome:
    """Write to a disk of a size, examine what there is, and write again with enough room."""
    task, log = job.task(inputs, folder), folder.with_suffix(".log")
    with small_disk(folder, size):
        ended = run_task(task, log)
        done = job.complete(folder)
        left = [str(path) for path in folder.rglob(".*.partial-*")]
        resize(folder, AMPLE)
        again = run_task(task, folder.with_suffix(".again.log"))
        whole = job.complete(folder)
    where = f"{size} bytes: "
    if "Traceback" in ended.text:
        return Outcome(RAW, where + ended.text[-600:])
    if again.code != 0:
        return Outcome(OTHER, f"{where}with room: exit code {again.code}: {again.text[-400:]}")
    if not done.items() <= whole.items() or left:
        return Outcome(HALF, f"{where}{sorted(done)} {left}")
    if ended.code == 0:
        return Outcome("complete") if done == whole else Outcome(OTHER, f"{where}{sorted(done)}")
    if ended.code != 1:
        return Outcome(CRASH, f"{where}exit code {ended.code}: {ended.text[-400:]}")
    is_clear = _CLEAR.search(" ".join(ended.text.split()))
    return (
        Outcome("clear error") if is_clear else Outcome("unclear error", where + ended.text[-400:])
    )


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_a_full_disk_is_a_clear_error_and_nothing_is_half_written(
    job: Job, inputs: Inputs, tmp_path: Path, scaled: Callable[..., int], table: Table
) -> None:
    ((_, measured),) = try_each(
        lambda _: write_with_room(job, inputs, tmp_path / "whole"), [0], _LIMIT_S
    )
    assert measured.kind in ("mounted", "limited"), measured
    count = scaled(_LEVELS)
    # In the middle of equal steps: with nothing at all, no writer comes far.
    sizes = [int(int(measured.detail) * (level + 0.5) / count) for level in range(count)]
    for _, outcome in try_each(
        lambda size: try_level(job, inputs, tmp_path / str(size), size), sizes, _LIMIT_S
    ):
        table.add(f"{job.name}, {int(measured.detail) // 1000} kB {measured.kind}", outcome)
    assert table.total(*_FAILURES) == 0, table.to_markdown()
