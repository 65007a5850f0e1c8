"""Worker process of a batch: `supervisor.py` starts it as `python -m avseg.batch.worker`."""

import sys
import traceback

from avseg.allocator import reuse_freed_memory
from avseg.batch.pipes import Channel
from avseg.batch.records import Batch, BatchProgress
from avseg.batch.videos import segment_batch
from avseg.errors import AvsegError
from avseg.heartbeat import add_listener, beat


def main() -> int:
    """Segment the videos of the batch that the supervisor sends.

    Returns:
        The exit code; the supervisor reads the messages instead.
    """
    reuse_freed_memory()
    channel = Channel()
    batch = channel.receive_request()
    assert isinstance(batch, Batch)  # noqa: S101 - sent by supervisor.py

    # Loads torch, after the allocator is set.
    from torch.nn.modules.module import register_module_forward_hook

    add_listener(channel.beat)
    # Each layer of each model is a sign of progress. A hook that returns None changes no output.
    register_module_forward_hook(lambda *_: beat())

    def report(progress: BatchProgress) -> None:
        channel.send(progress)
        error = None if progress.outcome is None else progress.outcome.error
        # An error in native code may have left it unusable, as after most CUDA errors; the
        # supervisor continues the batch in a new process.
        if error is not None and isinstance(error.__cause__, RuntimeError):
            sys.exit()

    try:
        segment_batch(batch, report)
    except Exception as error:  # noqa: BLE001 - the supervisor raises it
        if not isinstance(error, AvsegError):  # a defect, to be found by its traceback
            error.add_note(f"In the worker process:\n{traceback.format_exc()}")
        channel.send_error(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
