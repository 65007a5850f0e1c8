"""Frames and sound of a video on one clock, sampled at the rate a model works at.

At r frames per second, slot k lasts from k/r to (k+1)/r seconds after the start of the picture.
Its frame is the one on screen at (k + 15/16)/r, which at 1 fps is where AVSBench took its frames;
its sound is the window centred on (k + 1/2)/r, so that at 1 fps each frame has exactly its own
second of sound. A last slot that the picture does not fill is kept if the picture covers at least
half of it, with the last frame; a video shorter than that still gives one frame. With no rate, each
frame of the video is taken, and its sound is centred on the middle of its time on screen.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from av.container import InputContainer
from av.video.stream import VideoStream

from avseg.errors import NoAudioStreamError
from avseg.media.audio import SILENT_OK, Sound
from avseg.media.container import (
    PathLike,
    choose_audio_stream,
    choose_video_stream,
    open_media,
    packet_end_s,
    packets_of,
    promised_end_s,
    promised_file_end_s,
    promised_frames,
)
from avseg.media.video import Orientation, Picture, ShownFrame, average_rate, to_rgb
from avseg.types import Clip, VideoInfo

#: Where in its slot a frame is taken: AVSBench's frame of second i was on screen at
#: (i - 1) + 0.9375 s.
FRAME_POSITION = 15 / 16

#: Sound that a clip carries before its first and after its last sound time, in seconds: the half
#: second that a window of one second needs, and as much again.
SOUND_MARGIN_S = 1.0

#: Presentation times are fractions; as floats they agree to less than this.
EPSILON_S = 1e-6


@dataclass(frozen=True)
class _Sample:
    """A frame that was wanted, its presentation time, and the middle of its sound."""

    rgb: npt.NDArray[np.uint8]  # (H, W, 3)
    frame_s: float
    sound_s: float


def probe(path: PathLike) -> VideoInfo:
    """Read a video's facts, decoding no more than its first frames.

    A file that cannot be read raises a `ClipError`: `NotAVideoError`, `NoVideoStreamError`,
    `EmptyVideoError`, `TruncatedVideoError` (without an index) or `CorruptVideoError` (not one
    frame can be decoded). Whether the rest is whole shows only when it is read.

    Args:
        path: The video file.

    Returns:
        Its facts.
    """
    origin = os.fspath(path)
    with open_media(path) as container:
        video = choose_video_stream(container, origin)
        audio = choose_audio_stream(container, video)
        picture = Picture(container, video, origin)
        first = _first_frame(picture)
        height, width = to_rgb(first.frame).shape[:2]
        return VideoInfo(
            path=origin,
            width=width,
            height=height,
            rotation=Orientation.of(first.frame).rotation,
            start_s=first.start_s,
            duration_s=_duration_s(container, video, first.start_s),
            average_rate=average_rate(video),
            frame_count=promised_frames(video),
            video_codec=video.codec_context.name,
            pixel_format=video.codec_context.pix_fmt or "unknown",
            audio_codec=None if audio is None else audio.codec_context.name,
            audio_sample_rate=None if audio is None else audio.sample_rate,
            audio_channels=None if audio is None else audio.channels,
        )


def read_clip(
    path: PathLike,
    frames_per_second: float | None = 1,
    sample_rate: int = 16000,
    silent_ok: bool = False,
) -> Clip:
    """Read a whole video: frames at a rate, and the sound that belongs to them.

    The result holds what the clips of `stream_clips` hold, in one, and raises the same errors; a
    damaged video gives no clip at all. Memory grows with the length of the video.

    Args:
        path: The video file.
        frames_per_second: Frames to take per second, by the rule at the top of this module; None
            takes each frame of the video.
        sample_rate: Of the sound wanted, in Hz.
        silent_ok: Whether a video without a sound track is read as a silent one.

    Returns:
        The clip.
    """
    # One chunk without an end. Unpacking also runs the checks that follow the last frame.
    (clip,) = stream_clips(path, frames_per_second, sample_rate, sys.maxsize, silent_ok)
    return clip


def stream_clips(
    path: PathLike,
    frames_per_second: float | None = 1,
    sample_rate: int = 16000,
    frames_per_chunk: int = 25,
    silent_ok: bool = False,
) -> Iterator[Clip]:
    """Read a video chunk by chunk, in memory that does not grow with its length.

    A file that cannot be read raises a `ClipError` when the first clip is asked for:
    `NotAVideoError`, `NoVideoStreamError`, `NoAudioStreamError` (unless `silent_ok`),
    `EmptyVideoError`, or `TruncatedVideoError` (without an index). Other damage shows at the end:
    the iterator gives the chunks that could be read, then raises `TruncatedVideoError` (the file
    ends early) or `CorruptVideoError` (it decodes to much less than its container promises); how
    much may be missing is said at `Picture.damage` and `Sound.damage`.

    Args:
        path: The video file.
        frames_per_second: Frames to take per second, by the rule at the top of this module; None
            takes each frame of the video.
        sample_rate: Of the sound wanted, in Hz.
        frames_per_chunk: Frames in each clip; the last may have fewer.
        silent_ok: Whether a video without a sound track is read as a silent one.

    Returns:
        Clips in the order of time. Each carries the sound from one second before its first sound
        time to one second after its last, so neighbours overlap.

    Raises:
        ValueError: If a rate or `frames_per_chunk` is not positive.
    """
    if frames_per_second is not None and not 0 < frames_per_second < math.inf:
        raise ValueError(
            f"frames_per_second is {frames_per_second}; it must be positive, or None for every "
            "frame of the video."
        )
    if sample_rate < 1 or frames_per_chunk < 1:
        raise ValueError(
            f"sample_rate is {sample_rate} Hz and frames_per_chunk {frames_per_chunk}; "
            "both must be at least 1."
        )
    return _clips(path, frames_per_second, sample_rate, frames_per_chunk, silent_ok)


def _clips(
    path: PathLike,
    frames_per_second: float | None,
    sample_rate: int,
    frames_per_chunk: int,
    silent_ok: bool,
) -> Iterator[Clip]:
    """Read the chunks, then check that the file was whole."""
    origin = os.fspath(path)
    with ExitStack() as files:
        container = files.enter_context(open_media(path))
        picture = Picture(container, choose_video_stream(container, origin), origin)
        # The sound is read through a file handle of its own: in one pass, a file whose sound is
        # stored far from its picture would have to be held in memory.
        sound = _open_sound(files, path, sample_rate, silent_ok)
        chunk: list[_Sample] = []
        for sample in _samples(picture.shown_frames(), frames_per_second):
            chunk.append(sample)
            if len(chunk) == frames_per_chunk:
                yield _clip(origin, chunk, sound, sample_rate)
                chunk = []
        if chunk:
            yield _clip(origin, chunk, sound, sample_rate)
        damage = picture.damage() or (None if sound is None else sound.damage())
        if damage is not None:
            raise damage


def _open_sound(
    files: ExitStack, path: PathLike, sample_rate: int, silent_ok: bool
) -> Sound | None:
    """Open the sound track; None stands for silence."""
    origin = os.fspath(path)
    container = files.enter_context(open_media(path))
    audio = choose_audio_stream(container, choose_video_stream(container, origin))
    if audio is not None:
        return Sound(container, audio, sample_rate, origin)
    if not silent_ok:
        raise NoAudioStreamError(origin, f"has no sound track that can be decoded; {SILENT_OK}")
    return None


def _samples(shown: Iterator[ShownFrame], frames_per_second: float | None) -> Iterator[_Sample]:
    """Choose frames by the rule at the top of this module, and convert only these."""
    if frames_per_second is None:
        return _every_frame(shown)
    return _at_rate(shown, frames_per_second)


def _every_frame(shown: Iterator[ShownFrame]) -> Iterator[_Sample]:
    size: tuple[int, int] | None = None
    for frame in shown:
        rgb = to_rgb(frame.frame, size)
        size = size or rgb.shape[:2]
        yield _Sample(rgb, frame.start_s, (frame.start_s + frame.end_s) / 2)


def _at_rate(shown: Iterator[ShownFrame], frames_per_second: float) -> Iterator[_Sample]:
    slot = 0
    start_s: float | None = None
    size: tuple[int, int] | None = None
    last: ShownFrame | None = None
    for last in shown:
        start_s = last.start_s if start_s is None else start_s
        while start_s + (slot + FRAME_POSITION) / frames_per_second < last.end_s - EPSILON_S:
            rgb = to_rgb(last.frame, size)
            size = size or rgb.shape[:2]
            yield _Sample(rgb, last.start_s, start_s + (slot + 0.5) / frames_per_second)
            slot += 1
    if last is None or start_s is None:
        return
    middle_s = start_s + (slot + 0.5) / frames_per_second
    if slot == 0 or middle_s <= last.end_s + EPSILON_S:
        yield _Sample(to_rgb(last.frame, size), last.start_s, middle_s)


def _clip(origin: str, samples: list[_Sample], sound: Sound | None, sample_rate: int) -> Clip:
    """Put a chunk's frames together with the sound around them."""
    begin = math.floor((samples[0].sound_s - SOUND_MARGIN_S) * sample_rate)
    end = math.ceil((samples[-1].sound_s + SOUND_MARGIN_S) * sample_rate) + 1
    return Clip(
        origin=origin,
        frames=np.stack([sample.rgb for sample in samples]),
        frame_times=np.array([sample.frame_s for sample in samples]),
        audio_times=np.array([sample.sound_s for sample in samples]),
        audio=np.zeros(end - begin, np.float32) if sound is None else sound.read(begin, end),
        audio_start_s=begin / sample_rate,
        sample_rate=sample_rate,
    )


def _first_frame(picture: Picture) -> ShownFrame:
    """Decode the first frame, or say why there is none."""
    for frame in picture.shown_frames():
        return frame
    raise picture.damage() or AssertionError("no frames, and yet no damage")


def _duration_s(container: InputContainer, video: VideoStream, start_s: float) -> float:
    """Ask the stream, then the container, then the packets how long the picture is."""
    end_s = promised_end_s(video)
    if end_s is not None:
        return end_s - start_s
    length_s = promised_file_end_s(container)
    if length_s is not None:
        return length_s
    container.seek(0)
    ends = [packet_end_s(packet) for packet in packets_of(container, video)]
    return max((end for end in ends if end is not None), default=start_s) - start_s
