"""Time to convert one 1920 x 1080 frame of a film, by kind of film, and its parts.

    OMP_NUM_THREADS=1 python benchmarks/film_conversion.py

The frames are gradients with noise. Each figure is the least CPU time of several repetitions.
"""

import time
from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np

from avseg.media.conversion import stored_i420, stored_rgb
from avseg.media.deinterlacing import Deinterlacer

HEIGHT, WIDTH = 1080, 1920


def gradient(pixel_format: str, **tags: int) -> av.VideoFrame:
    """Draw a gradient with noise."""
    rng = np.random.default_rng(0)
    shades = np.linspace(16, 235, WIDTH)[None, :, None] * np.array([1.0, 0.9, 0.8])
    image = shades + rng.normal(0, 4, (HEIGHT, WIDTH, 3))
    frame = av.VideoFrame.from_ndarray(image.clip(0, 255).astype(np.uint8), format="rgb24")
    frame = frame.reformat(format=pixel_format)
    for name, number in tags.items():
        setattr(frame, name, number)
    return frame


def milliseconds(work: Callable[[], object], repetitions: int = 7) -> float:
    """Return the least CPU time of a call, in milliseconds."""
    times = []
    for _ in range(repetitions):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return min(times) * 1000


def deinterlacing() -> float:
    """Return the CPU time of de-interlacing one frame, in milliseconds."""
    count, frame, deinterlacer = 12, gradient("yuv420p"), Deinterlacer()
    # PyAV cannot mark a frame as interlaced; a filter does it.
    graph = av.filter.Graph()
    graph.link_nodes(
        graph.add_buffer(
            width=WIDTH, height=HEIGHT, format=frame.format, time_base=Fraction(1, 25)
        ),
        graph.add("setfield", "tff"),
        graph.add("buffersink"),
    ).configure()
    graph.push(frame)
    frame = graph.vpull()
    begin = time.process_time()
    for _ in range(count):
        list(deinterlacer.add(frame))
    return (time.process_time() - begin) * 1000 / deinterlacer.count


def main() -> None:
    """Print the table."""
    kinds = {
        "8 bits, BT.709": gradient("yuv420p", colorspace=1, color_range=1),
        "10 bits, BT.709": gradient("yuv420p10le", colorspace=1, color_range=1),
        "HLG": gradient("yuv420p10le", colorspace=9, color_trc=18, color_primaries=9),
        "PQ": gradient("yuv420p10le", colorspace=9, color_trc=16, color_primaries=9),
        "BT.2020, SDR": gradient("yuv420p10le", colorspace=9, color_trc=14, color_primaries=9),
    }
    print("| film | for the model | for the overlay |\n| --- | --- | --- |")
    for name, frame in kinds.items():
        seen = milliseconds(lambda frame=frame: stored_rgb(frame, HEIGHT, WIDTH))
        drawn = milliseconds(lambda frame=frame: stored_i420(frame, HEIGHT, WIDTH))
        print(f"| {name} | {seen:.0f} ms | {drawn:.0f} ms |")
    print(f"\nde-interlacing: {deinterlacing():.0f} ms")


if __name__ == "__main__":
    main()
