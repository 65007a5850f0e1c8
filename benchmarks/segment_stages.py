"""How much time does each stage of `avseg segment` take?

    python benchmarks/segment_stages.py [VIDEO] [--model DIR] [--frames-per-second R]

Segments a video (by default a generated one of 20 s, 360 x 640, 25 fps) in this process and prints
a line of JSON: elapsed and processor time (all threads) of each stage, in seconds. Loading the
model is a stage of its own. The time of a nested stage is not counted in the stage around it.
"""

import argparse
import functools
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from _material import circumstances, make_video

from avseg import segmenter as path
from avseg.batch import SegmentOptions, segment_to_folder
from avseg.checkpoints import DEFAULT_MODEL
from avseg.export import overlay, png, rle
from avseg.media import stream_clips


class Stopwatch:
    """Stopwatch that sums the time of each stage without the stages nested in it."""

    def __init__(self) -> None:
        self.wall_s: defaultdict[str, float] = defaultdict(float)
        self.cpu_s: defaultdict[str, float] = defaultdict(float)
        self._running = ["rest"]
        self._since = (time.perf_counter(), time.process_time())

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of a block for a stage.

        Args:
            name: Name of the stage.

        Yields:
            Nothing.
        """
        self.charge()
        self._running.append(name)
        try:
            yield
        finally:
            self.charge()
            self._running.pop()

    def charge(self) -> None:
        """Add the time since the last call to the current stage."""
        now = (time.perf_counter(), time.process_time())
        self.wall_s[self._running[-1]] += now[0] - self._since[0]
        self.cpu_s[self._running[-1]] += now[1] - self._since[1]
        self._since = now

    def watch(self, owner: Any, name: str, stage: str) -> None:
        """Count all calls of a function for a stage.

        Args:
            owner: Module, class or object with the function.
            name: Attribute name of the function.
            stage: Name of the stage.
        """
        function: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            with self.stage(stage):
                return function(*args, **kwargs)

        setattr(owner, name, watched)


def main() -> None:
    """Measure all stages and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", nargs="?", type=Path)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--frames-per-second", type=float)
    options = parser.parse_args()
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        video = options.video or make_video(Path(folder, "video.mp4"), 20, (360, 640), 25)
        watch.charge()
        with watch.stage("load model"):
            segmenter = path.load_segmenter(options.model, "cpu")
        watch_stages(watch, segmenter)
        chosen = SegmentOptions(frames_per_second=options.frames_per_second)
        with watch.stage("other"):
            result = segment_to_folder(segmenter, video, Path(folder, "out"), chosen)
    del watch.wall_s["rest"], watch.cpu_s["rest"]  # time to generate the video
    summary = result.summary
    work_s = {
        name: sum(times.values()) - times["load model"]
        for name, times in (("wall", watch.wall_s), ("cpu", watch.cpu_s))
    }
    row = {
        "video_s": round(summary.duration_s, 2),
        "frames": summary.frame_count,
        "video_s_per_wall_s": round(summary.duration_s / work_s["wall"], 2),
        "video_s_per_cpu_s": round(summary.duration_s / work_s["cpu"], 2),
        "wall_s": {name: round(value, 2) for name, value in watch.wall_s.items()},
        "cpu_s": {name: round(value, 2) for name, value in watch.cpu_s.items()},
    }
    print(json.dumps(row | circumstances(options.model)))


def watch_stages(watch: Stopwatch, segmenter: path.Segmenter) -> None:
    """Wrap the functions of all stages, so that the stopwatch counts them.

    Args:
        watch: The stopwatch.
        segmenter: The segmenter that will be used.
    """
    clips = stream_clips

    def watched_clips(*args: Any, **kwargs: Any) -> Iterator[Any]:
        iterator = iter(clips(*args, **kwargs))
        while True:
            with watch.stage("decode"):
                clip = next(iterator, None)
            if clip is None:
                return
            yield clip

    vars(path)["stream_clips"] = watched_clips
    model = segmenter.model
    watch.watch(type(segmenter.processor), "__call__", "inputs")
    watch.watch(type(segmenter.processor), "post_process", "masks at video size")
    watch.watch(model, "forward", "model: prompt and mask decoder")
    for name in ("clip", "clap"):
        if getattr(model, name) is not None:
            watch.watch(getattr(model, name), "forward", f"model: {name}")
    watch.watch(model.segmenter.beit3, "forward", "model: beit3")
    watch.watch(model.segmenter.sam, "encode_images", "model: sam2 image encoder")
    watch.watch(overlay.OverlayWriter, "write", "write overlay (decode, draw, encode)")
    watch.watch(overlay.OverlayWriter, "finish", "write overlay (decode, draw, encode)")
    watch.watch(png.MaskWriter, "write", "write png")
    watch.watch(rle, "encode_mask", "write result.json")


if __name__ == "__main__":
    main()
