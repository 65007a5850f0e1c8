"""Does segmenting any file need at most 1 GB in addition to the model?

    PYTHONPATH=. python benchmarks/memory_bounds.py [--model DIR] [--only NAME...]

It writes files that need or announce much: large pictures, many reference frames, long pauses, many
channels, large packets, sizes that are not true. It segments each in a process of its own, as the
worker process of `avseg segment` does, and prints the peak of resident memory above that of a video
of 64 x 64 pixels, the processor time, and the outcome. The exit code is 1 if a peak is above the
bound. Without a model it uses small ones with random weights, whose masks cover most of the frame:
one that marks all sounding objects together, and one that marks what each of 27 texts describes.
For a larger model the figures are lower, because frames reuse the memory of its activations. Linux
only: a process is a copy of one that has loaded the models.
"""

import argparse
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import av
import numpy as np

# The settings of the worker process, before torch is imported.
from avseg.allocator import reuse_freed_memory

reuse_freed_memory()

import torch  # noqa: E402
from PIL import Image  # noqa: E402

from avseg.batch.records import SegmentOptions  # noqa: E402
from avseg.batch.videos import segment_to_folder  # noqa: E402
from avseg.segmenter import Segmenter, load_segmenter  # noqa: E402
from tests.segmenters import save_random_model, save_random_text_model  # noqa: E402

#: Bound in bytes.
BOUND = 10**9

#: A threshold at which the random model marks most pixels.
THRESHOLD = 0.001

#: Options of x264. With the last ones each frame may be predicted from 16 others.
FAST = {"preset": "ultrafast"}
DEEP = {"preset": "ultrafast", "x264-params": "ref=16:bframes=0:scenecut=0"}
FIELDS = {"preset": "ultrafast", "x264-params": "tff=1"}


def main() -> None:
    """Write and measure each file, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="name or folder; by default a small random one")
    parser.add_argument("--only", nargs="*", help="names of files; by default all")
    options = parser.parse_args()
    torch.set_num_threads(1)  # a process with threads cannot be copied
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        marking = load_segmenter(options.model or save_random_model(folder / "model"), device="cpu")
        prompted = load_segmenter(save_random_text_model(folder / "prompted"), device="cpu")
        segmenters = {False: marking, True: prompted.with_texts(*TEXTS)}
        film(folder / "base.mkv", frames=20)
        bases = {}
        for is_prompted, segmenter in segmenters.items():
            bases[is_prompted], _, outcome = measure(segmenter, folder / "base.mkv", folder)
            print(f"64 x 64: {bases[is_prompted] / 1e6:.0f} MB, {outcome}\n", flush=True)
        print("| file | MB above it | CPU-s | outcome |\n| --- | ---: | ---: | --- |", flush=True)
        highest = 0.0
        for case, make in CASES.items():
            if options.only and case not in options.only:
                continue
            path = folder / f"file.{'mp4' if case.startswith('mp4') else 'mkv'}"
            write_in_copy(make, path)
            is_prompted = case.endswith("texts")
            peak, cpu_s, outcome = measure(segmenters[is_prompted], path, folder)
            above = peak - bases[is_prompted]
            highest = max(highest, above)
            print(f"| {case} | {above / 1e6:.0f} | {cpu_s:.0f} | {outcome} |", flush=True)
            path.unlink()
    sys.exit(highest > BOUND)


def write_in_copy(make: Callable[[Path], None], path: Path) -> None:
    """Write a file in a copy of this process, so that its memory does not count."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            make(path)
            code = 0
        finally:
            if code:
                traceback.print_exc()
            os._exit(code)
    if os.waitpid(child, 0)[1]:
        raise SystemExit(f"{path}: could not be written.")


def measure(segmenter: Segmenter, path: Path, folder: Path) -> tuple[float, float, str]:
    """Segment a file in a copy of this process.

    Args:
        segmenter: The loaded model.
        path: The file.
        folder: Folder for the result.

    Returns:
        Peak of resident memory in bytes, processor time in seconds, and what was written or the
        error.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        outcome = "internal error"
        try:
            outcome = segment(segmenter, path, folder / f"result_{os.getpid()}")
        finally:
            os.write(writing, outcome.encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        outcome = pipe.read().decode() or "the process died"
    _, _, usage = os.wait4(child, 0)
    return usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime, outcome


def segment(segmenter: Segmenter, path: Path, folder: Path) -> str:
    """Segment a file and describe the outcome."""
    options = SegmentOptions(None, THRESHOLD, silent_ok=True, overlay=True)
    try:
        outcome = segment_to_folder(segmenter, path, folder, options)
    except Exception as error:  # noqa: BLE001 - each error is an outcome
        text = str(error).removeprefix(str(path)).lstrip(": ")
        return f"{type(error).__name__}: {text[:130]}"
    summary = outcome.summary
    return f"{summary.frame_count} frames, {summary.area:.0%} marked" if summary else "no result"


def film(  # noqa: PLR0913 - each property of a film
    path: Path,
    size: tuple[int, int] = (64, 64),
    frames: int = 6,
    step_ms: int = 100,
    options: dict[str, str] | None = None,
    pixels: str = "yuv420p",
    hlg: bool = False,
    audio_s: float | None = None,
) -> None:
    """Write an h264 video of one grey, with a tone.

    Args:
        path: The file to write.
        size: Height and width, in pixels.
        frames: Number of frames.
        step_ms: Time between two frames, in ms.
        options: Options of x264.
        pixels: Pixel format.
        hlg: Whether the video is tagged as HDR.
        audio_s: Length of the tone, in seconds; None for that of the video.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options=options or FAST)
        stream.height, stream.width = size
        stream.pix_fmt, stream.codec_context.time_base = pixels, Fraction(1, 1000)
        stream.codec_context.thread_count = 1
        if hlg:  # the numbers of BT.2020, HLG, BT.2020 and the limited range
            context = stream.codec_context
            context.color_primaries, context.color_trc = 9, 18
            context.colorspace, context.color_range = 9, 1
        audio = container.add_stream("flac", rate=8000, layout="mono")
        frame = av.VideoFrame(size[1], size[0], pixels)
        value = (480).to_bytes(2, "little") if "10" in pixels else bytes([120, 120])
        for plane in frame.planes:
            plane.update(value * (plane.buffer_size // 2))
        for k in range(frames):
            frame.pts, frame.time_base = k * step_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        length_s = frames * step_ms / 1000 if audio_s is None else audio_s
        add_tone(container, audio, 1, length_s, 4096)


def film_with_audio(path: Path, rate: int, channels: int, seconds: float, packet: int) -> None:
    """Write a video of 64 x 64 pixels, with PCM audio.

    Args:
        path: The file to write.
        rate: Sample rate, in Hz.
        channels: Number of channels.
        seconds: Length of the audio.
        packet: Samples in a packet.
    """
    silent = path.with_name(f"silent_{path.name}")
    film(silent, frames=20)
    with av.open(str(silent)) as original, av.open(str(path), "w") as container:
        copied = container.add_stream_from_template(original.streams.video[0])
        audio = container.add_stream("pcm_f32le", rate=rate, layout=f"{channels}C")
        for part in original.demux(video=0):
            if part.size:
                part.stream = copied
                container.mux(part)
        add_tone(container, audio, channels, seconds, packet)
    silent.unlink()


def film_with_cover(path: Path, side: int) -> None:
    """Write a video of 64 x 64 pixels with a square attached picture of a side in pixels."""
    silent, cover = path.with_name(f"silent_{path.name}"), path.with_name("cover.png")
    film(silent, frames=20)
    Image.new("RGB", (side, side)).save(cover, compress_level=1)
    with av.open(str(silent)) as original, av.open(str(path), "w") as container:
        copies: dict[int, Any] = {
            stream.index: container.add_stream_from_template(stream) for stream in original.streams
        }
        with av.open(str(cover)) as picture:
            added = container.add_stream_from_template(picture.streams.video[0])
            added.disposition = av.stream.Disposition.attached_pic
            for part in original.demux():
                if part.size:
                    part.stream = copies[part.stream_index]
                    container.mux(part)
            part = next(picture.demux())
            part.stream = added
            container.mux(part)
    silent.unlink()
    cover.unlink()


def lying_mp4(path: Path, box: bytes, offset: int, value: int) -> None:
    """Write an mp4 file of which one number of 4 bytes is not true.

    Args:
        path: The file to write.
        box: Type of the box with the number, of which the first one is changed.
        offset: Position of the number after the type, in bytes; -4 for the size of the box.
        value: The number to write.
    """
    film(path, frames=20)
    content = bytearray(path.read_bytes())
    begin = content.index(box) + len(box) + offset - (len(box) if offset < 0 else 0)
    content[begin : begin + 4] = value.to_bytes(4, "big")
    path.write_bytes(content)


def add_tone(
    container: av.container.OutputContainer,
    stream: av.AudioStream,
    channels: int,
    seconds: float,
    packet: int,
) -> None:
    """Encode a tone of an eighth of the sample rate.

    Args:
        container: The file.
        stream: Its audio stream.
        channels: Number of channels.
        seconds: Length.
        packet: Samples in a packet, a multiple of 8, so that all packets are the same.
    """
    rate = stream.codec_context.sample_rate
    samples = (0.3 * np.sin(np.pi / 4 * np.arange(packet)) * 2**15).astype(np.int16)
    packed = np.repeat(samples, channels).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=stream.layout.name)
    frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
    for begin in range(0, round(seconds * rate), packet):
        frame.pts = begin
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


#: Texts that the tokenizer of the random model knows.
TEXTS = [" ".join(words) for words in product(("dog", "cat", "bus"), repeat=3)]

HALF_AN_HOUR_MS, DAY_MS = 1_800_000, 86_400_000

#: Writers of the files, by name.
CASES: dict[str, Callable[[Path], None]] = {
    "1920x1080": partial(film, size=(1080, 1920), frames=16),
    "3840x2160": partial(film, size=(2160, 3840)),
    "3840x2160 HLG 10 bit": partial(
        film, size=(2160, 3840), frames=5, pixels="yuv420p10le", hlg=True
    ),
    "3840x2160 interlaced": partial(film, size=(2160, 3840), options=FIELDS),
    "3840x2160 16 references": partial(film, size=(2160, 3840), frames=18, options=DEEP),
    "7680x4320": partial(film, size=(4320, 7680)),
    "7680x4320 HLG 10 bit": partial(
        film, size=(4320, 7680), frames=3, pixels="yuv420p10le", hlg=True
    ),
    "7680x4320 interlaced": partial(film, size=(4320, 7680), frames=4, options=FIELDS),
    "7680x4320 16 references": partial(film, size=(4320, 7680), frames=18, options=DEEP),
    "8192x8192": partial(film, size=(8192, 8192), frames=2),
    "16384x64": partial(film, size=(64, 16384)),
    "1920x1080, 27 texts": partial(film, size=(1080, 1920), frames=4),
    "3840x2160, 27 texts": partial(film, size=(2160, 3840), frames=2),
    "7680x4320, 27 texts": partial(film, size=(4320, 7680), frames=1),
    "19 frames half an hour apart, 9 h of audio": partial(film, frames=19, step_ms=HALF_AN_HOUR_MS),
    "a frame of 24 h, 6 h of audio": partial(
        film, frames=2, step_ms=DAY_MS - 1000, audio_s=6 * 3600
    ),
    "384 kHz, 64 channels": partial(
        film_with_audio, rate=384_000, channels=64, seconds=2, packet=1024
    ),
    "audio packet of 100 MB": partial(
        film_with_audio, rate=48_000, channels=2, seconds=260, packet=12_500_000
    ),
    "mp4, attached picture of 12000x12000": partial(film_with_cover, side=12_000),
    "mp4, number of sizes (stsz) 2^31 - 1": partial(
        lying_mp4, box=b"stsz", offset=8, value=2**31 - 1
    ),
    "mp4, number of chunks (stco) 2^30": partial(lying_mp4, box=b"stco", offset=4, value=2**30),
    "mp4, size of moov 4 GB": partial(lying_mp4, box=b"moov", offset=-4, value=2**32 - 16),
    "1 minute": partial(film, frames=300, step_ms=200),
    "10 minutes": partial(film, frames=600, step_ms=1000),
}


if __name__ == "__main__":
    main()
