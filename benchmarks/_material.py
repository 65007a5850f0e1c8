"""Inputs and metadata shared by the benchmarks: a test video, and facts about the machine."""

import os
import platform
import subprocess
from pathlib import Path

import av
import numpy as np
import torch
import transformers

from avseg.checkpoints import DEFAULT_MODEL, find_checkpoint

SAMPLE_RATE = 48_000


def make_video(path: Path, seconds: float, size: tuple[int, int], fps: int) -> Path:
    """Write a video of two moving discs over noise, with a 220 Hz tone in every other second.

    Args:
        path: The mp4 file to write.
        seconds: Duration.
        size: Height and width, in pixels.
        fps: Frames per second.

    Returns:
        The path.
    """
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    background = np.random.default_rng(0).integers(60, 120, (height, width, 3), dtype=np.uint8)
    hum = 0.3 * np.sin(2 * np.pi * 220 * np.arange(SAMPLE_RATE) / SAMPLE_RATE)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast"})
        video.height, video.width, video.pix_fmt = height, width, "yuv420p"
        audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        for index in range(round(seconds * fps)):
            if index % fps == 0:
                second = index // fps
                samples = (hum * (second % 2)).astype(np.float32)[None]
                sound = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
                sound.sample_rate, sound.pts = SAMPLE_RATE, second * SAMPLE_RATE
                container.mux(audio.encode(sound))
            picture = background.copy()
            for phase, colour in ((0.0, (230, 60, 40)), (2.5, (40, 90, 230))):
                x = width * (0.5 + 0.3 * np.sin(index / fps + phase))
                y = height * (0.5 + 0.3 * np.cos(0.7 * index / fps + phase))
                picture[np.hypot(columns - x, rows - y) < height / 7] = colour
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        for stream in (video, audio):
            container.mux(stream.encode(None))
    return path


def circumstances(model: str = DEFAULT_MODEL) -> dict[str, object]:
    """Collect the facts that a figure depends on besides the code.

    Args:
        model: Name or folder of the model.

    Returns:
        Model and its hash, commit, processor, threads, load, library versions.
    """
    checkpoint = find_checkpoint(model)
    return {
        "model": checkpoint.name,
        "model_sha256": checkpoint.sha256(),
        "commit": _git("describe", "--always", "--dirty"),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "load_average": round(os.getloadavg()[0], 1),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "av": av.__version__,
    }


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603 - fixed arguments


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
