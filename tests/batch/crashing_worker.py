"""The worker process of avseg with a fake segmenter, whose action is the name of the video.

It loads no torch, so it starts in half a second. The supervisor, the pipes, the loop over the
videos and the result folders are the real ones.
"""

import ctypes
import logging
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np

from avseg.errors import CheckpointError
from avseg.heartbeat import beat
from avseg.types import Segmentation


def segfault() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # no dump
    ctypes.string_at(0)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def progress_slowly() -> None:
    for _ in range(8):
        time.sleep(0.5)
        beat()


def fail(error: Exception) -> None:
    raise error


def kill_at_the_second_time() -> None:
    try:
        Path(os.environ["CRASHING_WORKER_FILE"]).touch(exist_ok=False)
    except FileExistsError:
        kill()


#: What happens during a video, or the loading of a model, of that name.
ACTIONS: dict[str, Callable[[], object]] = {
    "segfault": segfault,
    "killed": kill,
    "killed_at_the_second_time": kill_at_the_second_time,
    "exit": lambda: os._exit(3),
    "hang": lambda: time.sleep(600),
    "slow": progress_slowly,
    "defect": lambda: fail(KeyError("defect")),
    "missing": lambda: fail(CheckpointError("there is no such model.")),
    "cuda": lambda: fail(RuntimeError("CUDA error: an illegal memory access was encountered")),
    "cuda_memory": lambda: fail(RuntimeError("CUDA out of memory. Tried to allocate 20 GiB.")),
    "warning": lambda: logging.getLogger("avseg.media").warning("one %s is missing", "frame"),
}


def act(name: str) -> None:
    ACTIONS.get(name, lambda: None)()


class FakeSegmenter:
    """The parts of a segmenter that a batch uses."""

    weights_sha256 = "0" * 64
    licence = None
    texts = vocabulary = ()
    image_size = None
    dtype = "float32"
    name = "fake"
    processor = SimpleNamespace(window_s=None)

    def with_texts(self, *_: str) -> "FakeSegmenter":
        """Return this segmenter."""
        return self

    with_vocabulary = with_texts

    def stream(self, video: Path, *_: object) -> Iterator[Segmentation]:
        """Yield two chunks of one frame, with the action of the video between them."""
        for time_s in (0.5, 0.9):
            if time_s > 0.5:
                act(Path(video).stem)
            yield Segmentation(
                origin=str(video),
                frame_times=np.array([time_s]),
                masks=np.ones((1, 48, 64), np.bool_),
                scores=np.ones(1, np.float32),
                model="fake",
                threshold=0.5,
            )


def load_segmenter(model: Path, *_: object, **__: object) -> FakeSegmenter:
    act(model.name)
    return FakeSegmenter()


def module(name: str, **contents: object) -> None:
    """Replace a module that loads torch by one with the given contents."""
    sys.modules[name] = ModuleType(name)
    vars(sys.modules[name]).update(contents)


if __name__ == "__main__":
    module("avseg.segmenter", Segmenter=FakeSegmenter, load_segmenter=load_segmenter)
    module("avseg.models.vocabulary", read_vocabulary=lambda text: (text,))
    for name in ("torch", "torch.nn", "torch.nn.modules"):
        module(name)
    module("torch.nn.modules.module", register_module_forward_hook=lambda _: None)

    from avseg.batch.worker import main

    sys.exit(main())
