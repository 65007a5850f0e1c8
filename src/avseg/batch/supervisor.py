"""Segmentation of a batch in a worker process, which is replaced when it dies.

A crash of a native library, a kill for lack of memory, and a hang end the worker process. The error
becomes the outcome of the video that it was segmenting, and a new process continues with the next
video. No video is tried twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from avseg.atomic import remove_abandoned
from avseg.batch.pipes import WorkerEnd, WorkerProcess
from avseg.batch.records import Batch, BatchProgress, VideoOutcome
from avseg.batch.videos import LESS_MEMORY
from avseg.errors import AvsegError, StallError, WorkerDiedError

#: Module that a worker process runs.
WORKER_MODULE = "avseg.batch.worker"

#: Time in seconds without a packet or a layer after which a video counts as hanging. The slowest
#: layer of the largest model takes seconds, on 16 frames and one core.
STALL_LIMIT_S = 600.0


def segment_in_workers(
    batch: Batch, stall_limit_s: float, on_progress: Callable[[BatchProgress], None]
) -> list[VideoOutcome]:
    """Segment a batch in a worker process, and in a new one after each that dies.

    Args:
        batch: Videos and options.
        stall_limit_s: Time without a sign of progress after which a video counts as hanging, in
            seconds; infinite for no limit. It does not apply to the loading of the model.
        on_progress: Called in this process, as in `segment`.

    Returns:
        One outcome for each video.

    Raises:
        WorkerDiedError: If the first worker process dies before its first video.
        AvsegError: As in `segment_batch`, whose other errors are raised too.
    """
    outcomes: list[VideoOutcome] = []

    def report(progress: BatchProgress) -> None:
        if progress.outcome is not None:
            outcomes.append(progress.outcome)
        on_progress(progress)

    total = len(batch.videos)
    while (start := len(outcomes)) < total:
        error = _run_worker(replace(batch, start=start), stall_limit_s, report)
        if error is None or len(outcomes) > start:
            continue  # at least one video is finished, so that the loop ends
        if start == 0:
            raise error
        # The model was loaded before, but cannot be loaded again.
        for index in range(start, total):
            video, folder = batch.videos[index], batch.folders[index]
            report(BatchProgress(video, index + 1, total, share=0.0))
            outcome = VideoOutcome(video, folder, error=error)
            report(BatchProgress(video, index + 1, total, share=1.0, outcome=outcome))
    return outcomes


def _run_worker(
    batch: Batch, stall_limit_s: float, report: Callable[[BatchProgress], None]
) -> AvsegError | None:
    """Run one worker process until it has finished or died.

    Return an error if it died between two videos or before the first; None otherwise.
    """
    current: BatchProgress | None = None
    finished = batch.start
    try:
        with WorkerProcess(WORKER_MODULE, batch) as worker:
            while finished < len(batch.videos):
                message = worker.receive(None if current is None else stall_limit_s)
                if isinstance(message, AvsegError):
                    return message
                if isinstance(message, Exception):
                    raise message
                if isinstance(message, WorkerEnd):
                    break
                assert isinstance(message, BatchProgress)  # noqa: S101 - sent by worker.py
                current = message if message.outcome is None else None
                finished += message.outcome is not None
                report(message)
            else:
                return None
    finally:
        # After Ctrl-C too: a killed process cannot remove its unfinished output.
        if current is not None:
            remove_abandoned(batch.folders[current.number - 1])
    if current is None:
        return _error_without_video(str(batch.model), message)
    error = _error_of_video(current.video, message, stall_limit_s)
    outcome = VideoOutcome(current.video, batch.folders[current.number - 1], error=error)
    report(replace(current, share=1.0, outcome=outcome))
    return None


def _error_of_video(video: Path, end: WorkerEnd, stall_limit_s: float) -> AvsegError:
    """Return the error of a video during which a worker process ended."""
    if end.exit_code is None:
        return StallError(
            f"{video}: there was no progress for {stall_limit_s:g} s, so the worker process was "
            "ended. Re-encode the video with FFmpeg; on a very slow machine, raise --stall-limit."
        )
    advice = LESS_MEMORY if end.signal_name == "SIGKILL" else "re-encode the video with FFmpeg"
    return WorkerDiedError(
        f"{video}: the worker process {_cause(end)} while it segmented the video; {advice}."
    )


def _error_without_video(model: str, end: WorkerEnd) -> AvsegError:
    """Return the error of a worker process that ended while it was loading the model."""
    advice = LESS_MEMORY if end.signal_name == "SIGKILL" else "try --device cpu, or another model"
    return WorkerDiedError(
        f"{model}: the worker process {_cause(end)} while it loaded the model; {advice}."
    )


def _cause(end: WorkerEnd) -> str:
    if end.signal_name is None:
        return f"ended with exit code {end.exit_code}"
    if end.signal_name == "SIGKILL":
        return "was killed (SIGKILL), probably because the memory ran out,"
    return f"crashed ({end.signal_name}) in a native library"
