"""Does `avseg segment` need more memory for longer videos?

    python benchmarks/long_video_memory.py 2 10 20 [--model DIR] [--fps 5] [--size 144x192]

For each length it writes a video, segments all frames in a new process, and prints a line of JSON
with the peak of resident memory of that process (`peak_mb`, 10^6 bytes).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from _material import circumstances, make_video

from avseg.checkpoints import DEFAULT_MODEL

COMMAND = "import sys; from avseg.cli.main import main; sys.exit(main())"

#: Unit of `ru_maxrss` in bytes: kibibytes on Linux, bytes on macOS.
RSS_UNIT = 1 if sys.platform == "darwin" else 1024


def main() -> None:
    """Measure each length and print one JSON line for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("minutes", nargs="+", type=float)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--fps", type=int, default=5)
    parser.add_argument("--size", default="144x192", help="height x width, even numbers")
    options = parser.parse_args()
    height, width = map(int, options.size.split("x"))
    facts = circumstances(options.model)
    for minutes in options.minutes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "video.mp4")
            video = make_video(path, 60 * minutes, (height, width), options.fps)
            figures = measure(video, Path(folder, "out"), options.model)
        row = {"minutes": minutes, "size": [height, width], "fps": options.fps} | figures
        row["video_s_per_wall_s"] = round(60 * minutes / figures["wall_s"], 2)
        row["video_s_per_cpu_s"] = round(60 * minutes / figures["cpu_s"], 2)
        print(json.dumps(row | facts), flush=True)


def measure(video: Path, output: Path, model: str) -> dict[str, float]:
    """Run the command in a new process and measure its time and memory.

    Args:
        video: The video to segment.
        output: Folder for the result.
        model: Name or folder of the model.

    Returns:
        `peak_mb`, `wall_s`, `cpu_s` (all threads), `result_mb` (size on disk).

    Raises:
        RuntimeError: If the command fails.
    """
    arguments = ["segment", str(video), "-o", str(output), "--model", model, "--device", "cpu"]
    start = time.perf_counter()
    process = subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", COMMAND, *arguments], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - start
    if status:
        raise RuntimeError(f"the command ended with status {status}.")
    written = sum(path.stat().st_size for path in output.rglob("*") if path.is_file())
    return {
        "peak_mb": round(usage.ru_maxrss * RSS_UNIT / 1e6, 1),
        "wall_s": round(wall_s, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
        "result_mb": round(written / 1e6, 1),
    }


if __name__ == "__main__":
    main()
