"""A batch goes on after a worker process that crashes, is killed, hangs, or cannot start."""

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

import avseg
from avseg.batch import BatchProgress, VideoOutcome
from avseg.errors import (
    CheckpointError,
    CorruptVideoError,
    OutOfMemoryError,
    StallError,
    WorkerDiedError,
)
from tests.segmenters import make_video

CRASHING_WORKER = "tests.batch.crashing_worker"

Segment = Callable[..., list[VideoOutcome]]


@pytest.fixture
def segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Segment:
    """Segment videos of the given names by the fake segmenter; `out` gets the results."""
    monkeypatch.setattr("avseg.batch.supervisor.WORKER_MODULE", CRASHING_WORKER)
    monkeypatch.setenv("CRASHING_WORKER_FILE", str(tmp_path / "loaded"))

    def run(names: Iterable[str], **options: Any) -> list[VideoOutcome]:
        videos = [make_video(tmp_path / f"{name}.mkv", seconds=1) for name in names]
        chosen: dict[str, Any] = {"model": "fake", "overlay": False} | options
        return avseg.segment(videos, tmp_path / "out", **chosen)

    return run


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_each_crash_is_the_error_of_its_video_and_the_others_are_written(
    segment: Segment, tmp_path: Path
) -> None:
    names = ["first", "segfault", "killed", "between", "exit", "last"]
    outcomes = segment(names)
    assert [outcome.video.stem for outcome in outcomes] == names
    assert {name: type(each.error) for name, each in zip(names, outcomes, strict=True)} == {
        **dict.fromkeys(("first", "between", "last"), type(None)),
        **dict.fromkeys(("segfault", "killed", "exit"), WorkerDiedError),
    }
    messages = {outcome.video.stem: str(outcome.error) for outcome in outcomes if outcome.error}
    assert "segfault.mkv: the worker process crashed (SIGSEGV) in a" in messages["segfault"]
    assert "was killed (SIGKILL), probably because the memory ran out" in messages["killed"]
    assert "--memory low" in messages["killed"]
    assert "ended with exit code 3" in messages["exit"]
    # Nothing else: the unfinished output of the dead processes is removed.
    assert files(tmp_path / "out") == ["between", "first", "last"]


def test_a_video_without_progress_is_an_error_and_one_with_slow_progress_is_not(
    segment: Segment, tmp_path: Path
) -> None:
    slow, hang, last = segment(["slow", "hang", "last"], stall_limit_s=2.5)
    assert (slow.error, last.error) == (None, None)
    assert isinstance(hang.error, StallError)
    assert "hang.mkv: there was no progress for 2.5 s" in str(hang.error)
    assert files(tmp_path / "out") == ["last", "slow"]


def test_an_error_of_native_code_ends_its_process_and_a_new_one_continues(
    segment: Segment, tmp_path: Path
) -> None:
    memory, cuda, last = segment(["cuda_memory", "cuda", "last"])
    assert isinstance(memory.error, OutOfMemoryError)
    assert isinstance(cuda.error, CorruptVideoError)
    assert "RuntimeError: CUDA error" in str(cuda.error)
    assert last.error is None
    assert files(tmp_path / "out") == ["last"]


def test_a_worker_that_dies_while_it_loads_the_model_is_an_error_of_the_batch(
    segment: Segment,
) -> None:
    with pytest.raises(WorkerDiedError, match=r"^killed: .*\(SIGKILL\).* while it loaded the mod"):
        segment(["first"], model="killed")


def test_a_model_that_cannot_be_loaded_again_is_the_error_of_the_remaining_videos(
    segment: Segment,
) -> None:
    seen: list[BatchProgress] = []
    outcomes = segment(
        ["a", "exit", "b", "c"], model="killed_at_the_second_time", on_progress=seen.append
    )
    texts = [str(outcome.error or "") for outcome in outcomes]
    assert texts[0] == ""
    assert "exit code 3 while it segmented" in texts[1]
    assert all("while it loaded the model" in text for text in texts[2:])
    assert [each.outcome for each in seen if each.outcome is not None] == outcomes
    assert [each.number for each in seen if each.share == 0] == [1, 2, 3, 4]


def test_an_error_of_the_batch_comes_back_as_itself(segment: Segment) -> None:
    with pytest.raises(CheckpointError, match=r"^there is no such model\.$"):
        segment(["first"], model="missing")


def test_a_defect_comes_back_with_the_traceback_of_the_worker(segment: Segment) -> None:
    with pytest.raises(KeyError) as caught:
        segment(["first"], model="defect")
    (note,) = caught.value.__notes__
    assert "in load_segmenter" in note


def test_log_records_of_the_worker_reach_the_loggers_of_this_process(
    segment: Segment, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        segment(["warning"])
    record = caplog.records[0]
    assert (record.name, record.levelname) == ("avseg.media", "WARNING")
    assert record.getMessage() == "one frame is missing"


def test_an_exception_of_the_caller_ends_the_worker_and_removes_its_output(
    segment: Segment, tmp_path: Path
) -> None:
    def interrupt(_: BatchProgress) -> None:
        if list((tmp_path / "out").glob(".hang.partial-*/masks/*")):
            raise KeyboardInterrupt

    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        segment(["hang"], on_progress=interrupt)
    assert files(tmp_path / "out") == []
    assert threading.active_count() == threads


def test_a_script_needs_no_main_guard_and_loads_no_torch(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mkv", seconds=1)
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, avseg, avseg.batch.supervisor\n"
        f"avseg.batch.supervisor.WORKER_MODULE = {CRASHING_WORKER!r}\n"
        f"sys.path.append({str(Path.cwd())!r})\n"
        f"print(avseg.segment({str(video)!r}, {str(tmp_path / 'out')!r}, model='fake'))\n"
        "print('torch' in sys.modules)\n"
    )
    # A module of the working folder must not be imported by the worker.
    (tmp_path / "torch.py").write_text("raise SystemExit('wrong module')")
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-P", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    outcome, loaded = done.stdout.splitlines()
    assert outcome.startswith("[VideoOutcome(")
    assert "error=None" in outcome
    assert loaded == "False"


def test_a_limit_that_is_not_positive_is_an_error() -> None:
    with pytest.raises(ValueError, match="stall_limit_s must be positive, got 0"):
        avseg.segment([], "out", stall_limit_s=0)
