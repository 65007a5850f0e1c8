"""What does the worker process of `avseg segment` cost while nothing crashes?

    python benchmarks/worker_process.py [VIDEO] [--repeats 3] [--frames-per-second R]

Segments a video (by default a generated one of 10 s, 1080 x 1920, 25 fps) in a new program each
time, with `isolate=False` and `isolate=True` in turn. Prints a line of JSON: elapsed and processor
time of the program and its worker process, in seconds, the least of all repeats. Two more figures
are for other designs: `start`, for one process per video, is a program that finds its result
complete and so only loads torch and the model; `copy`, for a process that only decodes, sends the
frames of the video through a pipe.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from _material import circumstances, make_video

import avseg

PROGRAM = """
import sys, time, avseg
from avseg.allocator import reuse_freed_memory
reuse_freed_memory()  # as the command does
video, output, rate, isolate = sys.argv[1:]
(outcome,) = avseg.segment(
    video, output, frames_per_second=float(rate) if rate else None, isolate=isolate == "True"
)
assert outcome.error is None
print(time.process_time())
"""


def main() -> None:
    """Measure all designs in turn and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", nargs="?", type=Path)
    parser.add_argument("--seconds", type=float, default=10, help="length of the generated video")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--frames-per-second", type=float)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        video = options.video or make_video(
            Path(folder, "video.mp4"), options.seconds, (1080, 1920), 25
        )
        rate = str(options.frames_per_second or "")
        times: dict[str, list[Times]] = {"in_process": [], "worker": []}
        for repeat in range(options.repeats):
            for name in times:
                program = [PROGRAM, video, Path(folder, f"{name}{repeat}"), rate, name == "worker"]
                times[name].append(measure(program))
        # The program that finds its result complete.
        times["start"] = [measure([PROGRAM, video, Path(folder, "in_process0"), rate, False])]
        times["copy"] = [copy_frames(video, options.frames_per_second)]
    figures = {name: best(runs)._asdict() for name, runs in times.items()}
    print(json.dumps(figures | circumstances()), flush=True)


class Times(NamedTuple):
    """Processor time, elapsed time, and processor time of the first process alone, in seconds."""

    cpu_s: float
    wall_s: float
    own_cpu_s: float


def best(runs: list[Times]) -> Times:
    """Return the least of each time."""
    return Times(*(round(min(values), 2) for values in zip(*runs, strict=True)))


def measure(arguments: list[object]) -> Times:
    """Run a Python program to its end.

    Args:
        arguments: The program and its arguments. It prints its own processor time.

    Returns:
        Times of the program, with its worker process.
    """
    begin_s = time.perf_counter()
    command = [sys.executable, "-c", *map(str, arguments)]
    process = subprocess.Popen(  # noqa: S603 - our own interpreter
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None  # noqa: S101 - opened as a pipe
    own_cpu_s = float(process.stdout.read())  # fails if the program has failed
    _, _, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - begin_s
    return Times(usage.ru_utime + usage.ru_stime, wall_s, own_cpu_s)


def copy_frames(video: Path, rate: float | None) -> Times:
    """Send the frames of a video to another process, chunk by chunk.

    Args:
        video: The video.
        rate: Frames per second; None for every frame.

    Returns:
        Times of sending and receiving, without decoding.
    """
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=receive_frames, args=(theirs,))
    process.start()
    cpu_s = wall_s = 0.0
    for clip in avseg.stream_clips(video, rate, frames_per_chunk=16):
        cpu, wall = time.process_time(), time.perf_counter()
        ours.send(clip)
        ours.recv()
        cpu_s += time.process_time() - cpu
        wall_s += time.perf_counter() - wall
    ours.send(None)
    theirs_s: float = ours.recv()
    process.join()
    return Times(cpu_s + theirs_s, wall_s, cpu_s)


def receive_frames(connection: Connection) -> None:
    """Receive clips until there is none, then send the processor time that it took.

    Args:
        connection: Pipe to the process that decodes.
    """
    begin_s = time.process_time()
    while connection.recv() is not None:
        connection.send(None)
    connection.send(time.process_time() - begin_s)


if __name__ == "__main__":
    main()
