"""Small videos made on the spot, and masks to draw on them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
import numpy.typing as npt
import pytest

from avseg.types import NamedSource, Segmentation

SAMPLE_RATE = 48000
MILLISECONDS = Fraction(1, 1000)


@dataclass(frozen=True)
class VideoFile:
    """Video file of a test with its properties."""

    path: Path
    height: int
    width: int


class VideoMaker:
    """Writer of grey videos with a brighter left half and a tone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(  # noqa: PLR0913 -- one argument for each property of the file
        self,
        name: str = "video.mp4",
        *,
        size: tuple[int, int] = (48, 64),
        times_ms: Sequence[int] = range(0, 1000, 100),
        audio_codec: str | None = None,
        rotation: int = 0,
        mirrored: bool = False,
        full_range: bool = False,
    ) -> VideoFile:
        """Write a video of a size (height, width) with frames at the given times."""
        path = self.folder / name
        height, width = size
        with av.open(str(path), "w") as output:
            # Odd sizes need 4:4:4 here; chroma at half the size would have to be even.
            pixels = "yuv444p" if height % 2 or width % 2 else "yuv420p"
            video = output.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
            video.height, video.width = height, width
            video.pix_fmt = f"yuvj{pixels[3:]}" if full_range else pixels
            video.codec_context.time_base = MILLISECONDS
            if rotation or mirrored:
                video.set_display_rotation(rotation, hflip=mirrored)
            audio: av.AudioStream | None = None
            if audio_codec is not None:
                stream = output.add_stream(audio_codec, rate=SAMPLE_RATE, layout="stereo")
                audio = cast("av.AudioStream", stream)
            picture = np.full((height, width, 3), 90, dtype=np.uint8)
            picture[:, : width // 2] = 150
            for time in times_ms:
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = time, MILLISECONDS
                output.mux(video.encode(frame))
            output.mux(video.encode(None))
            if audio is not None:
                self._add_tone(output, audio, (times_ms[-1] + 100) / 1000)
        return VideoFile(path, height, width)

    def _add_tone(
        self, output: av.container.OutputContainer, audio: av.AudioStream, duration_s: float
    ) -> None:
        resampler = av.AudioResampler(
            format=audio.codec_context.format,
            layout="stereo",
            rate=SAMPLE_RATE,
            frame_size=audio.codec_context.frame_size or 1024,
        )
        time_s = np.arange(round(duration_s * SAMPLE_RATE)) / SAMPLE_RATE
        tone = (9000 * np.sin(2 * np.pi * 440 * time_s)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(tone.repeat(2)[None], format="s16", layout="stereo")
        frame.sample_rate, frame.pts = SAMPLE_RATE, 0
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(audio.encode(part))
        output.mux(audio.encode(None))


@pytest.fixture
def make_video(tmp_path: Path) -> VideoMaker:
    """Return a writer of videos in the folder of the test."""
    return VideoMaker(tmp_path)


def segment(
    video: VideoFile, times_s: Sequence[float], *, sounding: Sequence[bool] | None = None
) -> Segmentation:
    """Return a segmentation with a box in the middle of the sounding frames, by default all."""
    masks = np.zeros((len(times_s), video.height, video.width), dtype=np.bool_)
    rows = slice(video.height // 4, video.height * 3 // 4)
    columns = slice(video.width // 4, video.width * 3 // 4)
    for mask, sounds in zip(masks, sounding or [True] * len(times_s), strict=True):
        mask[rows, columns] = sounds
    return Segmentation(
        origin=str(video.path),
        frame_times=np.array(times_s, dtype=np.float64),
        masks=masks,
        scores=np.full(len(times_s), 0.75, dtype=np.float32),
        model="drawn",
        threshold=0.5,
    )


def segment_named(
    video: VideoFile,
    times_s: Sequence[float],
    **sources: tuple[tuple[slice, slice], Sequence[float]],
) -> Segmentation:
    """Return a segmentation with a box for each name and a score for each frame, 0 if silent."""
    named = []
    for name, (box, scores) in sources.items():
        masks = np.zeros((len(times_s), video.height, video.width), np.bool_)
        masks[np.array(scores) > 0, *box] = True
        named.append(NamedSource(name, masks, np.array(scores, np.float32)))
    return Segmentation(
        origin=str(video.path),
        frame_times=np.array(times_s, np.float64),
        masks=np.logical_or.reduce([source.masks for source in named]),
        scores=np.max([source.scores for source in named], axis=0),
        model="drawn",
        threshold=0.5,
        sources=tuple(named),
    )


def chunks_of(segmentation: Segmentation) -> list[Segmentation]:
    """Split a segmentation into chunks of one frame, with the sources that have a mask in it."""
    return [
        replace(
            segmentation,
            frame_times=segmentation.frame_times[k : k + 1],
            masks=segmentation.masks[k : k + 1],
            scores=segmentation.scores[k : k + 1],
            sources=segmentation.sources
            and tuple(
                NamedSource(s.name, s.masks[k : k + 1], s.scores[k : k + 1])
                for s in segmentation.sources
                if s.masks[k].any()
            ),
        )
        for k in range(len(segmentation.masks))
    ]


def video_times(path: Path) -> list[float]:
    """Read the time of every frame, in seconds."""
    with av.open(str(path)) as container:
        return [float(frame.time) for frame in container.decode(video=0)]


def luma(path: Path) -> npt.NDArray[np.uint8]:
    """Read the luma of every frame, (T, H, W), as stored."""
    with av.open(str(path)) as container:
        return np.stack([_luma_plane(frame) for frame in container.decode(video=0)])


def _luma_plane(frame: av.VideoFrame) -> npt.NDArray[np.uint8]:
    plane = frame.planes[0]
    memory = np.frombuffer(cast("memoryview", plane), dtype=np.uint8)
    return memory.reshape(plane.height, plane.line_size)[:, : plane.width].copy()


def audio_packets(path: Path) -> list[tuple[float, str]]:
    """Read the time in seconds and the MD5 hash of every audio packet."""
    with av.open(str(path)) as container:
        return [
            (
                float(packet.pts * packet.time_base),
                hashlib.md5(bytes(packet), usedforsecurity=False).hexdigest(),
            )
            for packet in container.demux(audio=0)
            if packet.size and packet.pts is not None and packet.time_base is not None
        ]
