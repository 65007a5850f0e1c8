"""Frames and audio of a video on one clock, sampled at a given frame rate.

The sampling rule: at r frames per second, interval k lasts from k/r to (k+1)/r seconds after the
first frame of the video. Its frame is the one on screen at (k + 15/16)/r; at 1 fps this is where
AVSBench took its frames. Its audio window is centred on (k + 1/2)/r, so that at 1 fps each frame
has exactly its own second of audio. If the video ends within the last interval, the interval is
kept with the last frame if the video covers at least half of it. A shorter video still gives one
frame. Without a rate, every frame of the video is used, and its audio window is centred on the
middle of its time on screen.

All times are on the clock of the container. Its video often starts later than 0, and audio and
video need not start together, so both are positioned by their timestamps.

H and W are the height and width of a displayed frame.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from avseg.errors import CorruptVideoError, NoAudioStreamError
from avseg.media.audio import SILENT_OK, count_rows
from avseg.media.colour import ColourTags, has_alpha
from avseg.media.container import (
    PathLike,
    announced_frames,
    choose_audio_stream,
    choose_video_stream,
    damage_as_clip_error,
    has_variable_rate,
    open_media,
)
from avseg.media.duration import video_duration_s
from avseg.media.limits import CLIP_PIXELS, CLIP_SPAN_S
from avseg.media.mix import AudioMix, open_mix
from avseg.media.timecode import start_timecode
from avseg.media.track_choice import check_option, list_audio_tracks, select_audio
from avseg.media.video import (
    Orientation,
    ShownFrame,
    VideoTrack,
    average_rate,
    to_rgb,
)
from avseg.types import AudioSelection, AudioTrackOption, Clip, VideoInfo

logger = logging.getLogger(__name__)

#: Position of the sampled frame in its interval. AVSBench's frame number i, counted from 1, was on
#: screen at (i - 1) + 0.9375 s (docs/decisions/0002).
FRAME_POSITION = 15 / 16

#: Audio that a clip includes before its first and after its last audio time, in seconds. A window
#: of one second needs a quarter of it; the search for sound changes needs nearly all.
AUDIO_MARGIN_S = 2.0

#: Longest time of one frame on screen, and of one clip of a stream, in seconds. More is a damaged
#: time base or timestamp, for which the audio would not fit into the memory. A whole video as one
#: clip may be longer, if its frames are not further apart than the last value on average.
MAX_FRAME_S = MAX_CLIP_S = 24 * 3600.0
MAX_SPACING_S = 3600.0

#: Tolerance for comparing times in seconds. Timestamps are exact fractions; converted to floats,
#: equal times differ by less than this.
EPSILON_S = 1e-6


@dataclass(frozen=True)
class _Sample:
    """One sampled frame.

    Attributes:
        rgb: Displayed frame, (H, W, 3).
        frame_s: Its presentation time, in seconds.
        audio_s: Centre of its audio window, in seconds.
        duration_s: Time that it stands for, in seconds: its time on screen, or its interval.
    """

    rgb: npt.NDArray[np.uint8]
    frame_s: float
    audio_s: float
    duration_s: float


def probe(path: PathLike) -> VideoInfo:
    """Read the metadata of a video, decoding only its first frames.

    A file that cannot be read raises a `ClipError`: `NotAVideoError`, `NoVideoStreamError`,
    `EmptyVideoError`, `TruncatedVideoError` (no index) or `CorruptVideoError` (no frame can be
    decoded). Later damage is found only when the whole video is read.

    Args:
        path: Path of the video file.

    Returns:
        The metadata.
    """
    origin = os.fspath(path)
    with damage_as_clip_error(origin), open_media(path) as container:
        video = choose_video_stream(container, origin)
        audio = choose_audio_stream(container, video)
        video_track = VideoTrack(container, video, origin)
        first = _first_frame(video_track)
        colour = ColourTags.of(first.frame)
        orientation = Orientation.of(first.frame)
        height, width = orientation.size(first.frame.height, first.frame.width)
        return VideoInfo(
            path=origin,
            container=container.format.name,
            width=width,
            height=height,
            rotation=orientation.rotation,
            start_s=first.start_s,
            duration_s=video_duration_s(container, video, first.start_s),
            average_rate=average_rate(video),
            frame_count=announced_frames(video),
            variable_rate=has_variable_rate(video),
            video_codec=video.codec_context.name,
            pixel_format=video.codec_context.pix_fmt or "unknown",
            colour_primaries=colour.primaries,
            colour_transfer=colour.transfer,
            colour_matrix=colour.matrix,
            colour_range=colour.range,
            hdr=colour.hdr,
            interlaced=video_track.interlaced,
            alpha=has_alpha(video, first.frame),
            timecode=start_timecode(container, video, first.frame),
            audio_codec=None if audio is None else audio.codec_context.name,
            audio_sample_rate=None if audio is None else audio.sample_rate,
            audio_channels=None if audio is None else audio.channels,
            audio_tracks=list_audio_tracks(container),
        )


def read_clip(
    path: PathLike,
    frames_per_second: float | None = 1,
    sample_rate: int = 16000,
    silent_ok: bool = False,
    audio_track: AudioTrackOption = "auto",
    audio_channels: int = 1,
) -> Clip:
    """Read a whole video as one clip, with frames at a given rate and their audio.

    The clip has the frames and audio of all clips of `stream_clips` together. The same errors are
    raised; a damaged video gives no clip. Memory grows with the length of the video.

    Args:
        path: Path of the video file.
        frames_per_second: Number of frames per second, by the sampling rule of this module; None
            for every frame of the video.
        sample_rate: Sample rate of the audio, in Hz.
        silent_ok: Whether to read a video without an audio track as a silent one.
        audio_track: Number of the audio track to read, from 1; "mix" for the sum of all tracks;
            "auto" for the default track, or another one if the default track is digitally silent.
        audio_channels: 2 for a clip with left and right channel beside its mono audio, else 1.

    Returns:
        The clip.
    """
    _check_options(frames_per_second, sample_rate, audio_track, audio_channels)
    # Unpacking exhausts the generator, which also runs the checks after the last frame.
    (clip,) = _clips(
        path,
        frames_per_second,
        sample_rate,
        None,
        silent_ok,
        None,
        audio_track,
        audio_channels,
    )
    return clip


def stream_clips(  # noqa: PLR0913 - each option of reading
    path: PathLike,
    frames_per_second: float | None = 1,
    sample_rate: int = 16000,
    frames_per_chunk: int = 25,
    silent_ok: bool = False,
    on_warning: Callable[[str], None] | None = None,
    audio_track: AudioTrackOption | AudioSelection = "auto",
    audio_channels: int = 1,
) -> Iterator[Clip]:
    """Read a video in chunks, in memory that does not grow with its length.

    A file that cannot be read raises a `ClipError` when the first clip is requested:
    `NotAVideoError`, `NoVideoStreamError`, `NoAudioStreamError` (unless `silent_ok`),
    `EmptyVideoError`, or `TruncatedVideoError` (no index). A frame or an audio packet that is too
    large for the memory raises `VideoTooLargeError`. Other damage is reported at the end: the
    iterator yields the readable chunks, then raises `TruncatedVideoError` (the file ends early) or
    `CorruptVideoError` (it decodes to much less than its container announces). `VideoTrack.damage`
    and `AudioTrack.damage` document how much may be missing.

    Args:
        path: Path of the video file.
        frames_per_second: Number of frames per second, by the sampling rule of this module; None
            for every frame of the video.
        sample_rate: Sample rate of the audio, in Hz.
        frames_per_chunk: Largest number of frames in a clip. A clip has fewer at the end of the
            video, if they would be more than 300 s apart, or if they would have more than 2^25
            pixels together (16 frames of 1920 x 1080).
        silent_ok: Whether to read a video without an audio track as a silent one.
        on_warning: Called with each warning about the video; the log has them too. Those about the
            choice of the audio track come before the first clip, all others, such as a few missing
            frames, after the last one.
        audio_track: Number of the audio track to read, from 1; "mix" for the sum of all tracks;
            "auto" for the default track, or another one if the default track is digitally silent;
            or a selection that `choose_audio` made before.
        audio_channels: 2 for clips with left and right channel beside their mono audio, else 1.

    Returns:
        Clips in order of time. Each includes the audio from two seconds before its first to two
        seconds after its last audio time, so the audio of consecutive clips overlaps.

    Raises:
        ValueError: If a rate or `frames_per_chunk` is not positive, there is no such
            `audio_track`, or `audio_channels` is not 1 or 2.
    """
    _check_options(frames_per_second, sample_rate, audio_track, audio_channels)
    if frames_per_chunk < 1:
        raise ValueError(f"frames_per_chunk is {frames_per_chunk}; it must be at least 1.")
    return _clips(
        path,
        frames_per_second,
        sample_rate,
        frames_per_chunk,
        silent_ok,
        on_warning,
        audio_track,
        audio_channels,
    )


def _check_options(
    frames_per_second: float | None,
    sample_rate: int,
    audio_track: AudioTrackOption | AudioSelection,
    audio_channels: int,
) -> None:
    """Validate that both rates are positive, and that there are such options for the audio."""
    if frames_per_second is not None and not 0 < frames_per_second < math.inf:
        raise ValueError(
            f"frames_per_second is {frames_per_second}; it must be positive, or None for every "
            "frame of the video."
        )
    if sample_rate < 1:
        raise ValueError(f"sample_rate is {sample_rate} Hz; it must be at least 1.")
    if audio_channels not in {1, 2}:
        raise ValueError(f"audio_channels is {audio_channels}; it must be 1 or 2.")
    if not isinstance(audio_track, AudioSelection):
        check_option(audio_track)


def _clips(  # noqa: PLR0913 - the arguments of `stream_clips`
    path: PathLike,
    frames_per_second: float | None,
    sample_rate: int,
    frames_per_chunk: int | None,
    silent_ok: bool,
    on_warning: Callable[[str], None] | None,
    audio_track: AudioTrackOption | AudioSelection,
    audio_channels: int,
) -> Iterator[Clip]:
    """Yield the chunks, then raise an error if the file is damaged, or report its warnings.

    Without a number of frames, the whole video is one chunk.
    """
    origin = os.fspath(path)

    def warn(warning: str) -> None:
        logger.warning("%s: %s", origin, warning)
        if on_warning is not None:
            on_warning(warning)

    with damage_as_clip_error(origin), ExitStack() as files:
        container = files.enter_context(open_media(path))
        video = choose_video_stream(container, origin)
        selection = (
            audio_track
            if isinstance(audio_track, AudioSelection)
            else select_audio(container, video, origin, audio_track)
        )
        for warning in selection.warnings:
            warn(warning)
        video_track = VideoTrack(container, video, origin)
        audio = open_mix(files, path, selection, sample_rate, audio_channels)
        if audio is None and not silent_ok:
            raise NoAudioStreamError(origin, f"has no audio track that can be decoded; {SILENT_OK}")
        shown = map(partial(_plausible, origin=origin), video_track.shown_frames())
        for chunk in _chunks(_samples(shown, frames_per_second), frames_per_chunk):
            yield _clip(origin, chunk, audio, sample_rate, audio_channels)
        for warning in _check(origin, video_track, audio, silent_ok):
            warn(warning)


def _check(
    origin: str, video_track: VideoTrack, audio: AudioMix | None, silent_ok: bool
) -> list[str]:
    """Raise an error if the file is damaged; return its warnings. Call it after the last frame."""
    damage = video_track.damage()
    if damage is not None:
        raise damage
    warnings = video_track.warnings()
    return (
        warnings
        if audio is None
        else warnings + audio.check(origin, video_track.range_s, silent_ok)
    )


def _plausible(frame: ShownFrame, origin: str) -> ShownFrame:
    """Return a frame; raise an error if it is on screen for an impossible time."""
    if frame.end_s - frame.start_s > MAX_FRAME_S:
        raise CorruptVideoError(
            origin,
            f"its times are damaged: the frame at {frame.start_s:.0f} s lasts until "
            f"{frame.end_s:.0f} s. Copy or download the file again, or re-encode it.",
        )
    return frame


def _samples(shown: Iterator[ShownFrame], frames_per_second: float | None) -> Iterator[_Sample]:
    """Yield the frames that the sampling rule selects; only these are converted to RGB."""
    if frames_per_second is None:
        return _every_frame(shown)
    return _at_rate(shown, frames_per_second)


def _chunks(samples: Iterator[_Sample], frames_per_chunk: int | None) -> Iterator[list[_Sample]]:
    """Divide the frames into chunks of bounded memory; without a number, yield all together."""
    if frames_per_chunk is None:
        chunk = list(samples)
        if chunk:
            yield chunk
        return
    chunk = []
    for sample in samples:
        height, width, _ = sample.rgb.shape
        if chunk and sample.audio_s - chunk[0].audio_s > CLIP_SPAN_S:
            yield chunk
            chunk = []
        chunk.append(sample)
        del sample  # it may be large, and the chunk is emptied by its consumer
        if len(chunk) >= min(frames_per_chunk, CLIP_PIXELS // (height * width)):
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _every_frame(shown: Iterator[ShownFrame]) -> Iterator[_Sample]:
    # All frames get the size of the first: a clip is one array, but a stream may change its size.
    size: tuple[int, int] | None = None
    for frame in shown:
        sample = _Sample(
            to_rgb(frame.frame, size),
            frame.start_s,
            (frame.start_s + frame.end_s) / 2,
            frame.end_s - frame.start_s,
        )
        size = size or sample.rgb.shape[:2]
        del frame  # large pictures, while the next one is converted
        yield sample
        del sample


def _at_rate(shown: Iterator[ShownFrame], frames_per_second: float) -> Iterator[_Sample]:
    interval, length_s = 0, 1 / frames_per_second
    start_s: float | None = None
    size: tuple[int, int] | None = None
    last: ShownFrame | None = None
    # One sample is kept back, because the end of the video decides how long the last one lasts.
    pending: _Sample | None = None
    for last in shown:
        start_s = last.start_s if start_s is None else start_s
        while start_s + (interval + FRAME_POSITION) / frames_per_second < last.end_s - EPSILON_S:
            if pending is not None:
                yield pending
                pending = None  # a large picture, while the next one is converted
            middle_s = start_s + (interval + 0.5) / frames_per_second
            pending = _Sample(to_rgb(last.frame, size), last.start_s, middle_s, length_s)
            size = size or pending.rgb.shape[:2]
            interval += 1
    if last is None or start_s is None:
        return
    # The last, incomplete interval: kept if the video covers its middle, and always for a video
    # that has given no frame yet.
    middle_s = start_s + (interval + 0.5) / frames_per_second
    if pending is None or middle_s <= last.end_s + EPSILON_S:
        if pending is not None:
            yield pending
        pending = _Sample(to_rgb(last.frame, size), last.start_s, middle_s, length_s)
    # All durations together are the length of the video.
    begin_s = pending.audio_s - length_s / 2
    yield replace(pending, duration_s=last.end_s - begin_s)


def _clip(
    origin: str,
    samples: list[_Sample],
    audio: AudioMix | None,
    sample_rate: int,
    audio_channels: int,
) -> Clip:
    """Build the clip of one chunk of frames, with the audio around them; empty the list."""
    span_s = samples[-1].audio_s - samples[0].audio_s
    if span_s > max(MAX_CLIP_S, MAX_SPACING_S * len(samples)):
        raise CorruptVideoError(
            origin,
            f"its times are damaged: {len(samples)} frames are {span_s:.0f} s long. Copy or "
            "download the file again, or re-encode it.",
        )
    begin = math.floor((samples[0].audio_s - AUDIO_MARGIN_S) * sample_rate)
    end = math.ceil((samples[-1].audio_s + AUDIO_MARGIN_S) * sample_rate) + 1
    if audio is None:
        rows = np.zeros((count_rows(audio_channels), end - begin), np.float32)
    else:
        rows = audio.read_rows(begin, end)
    return Clip(
        origin=origin,
        frame_times=np.array([sample.frame_s for sample in samples]),
        audio_times=np.array([sample.audio_s for sample in samples]),
        audio=rows[0],
        audio_start_s=begin / sample_rate,
        sample_rate=sample_rate,
        durations=np.array([sample.duration_s for sample in samples]),
        channels=rows[1:] if audio_channels == 2 else None,
        frames=_stack_frames(samples),
    )


def _stack_frames(samples: list[_Sample]) -> npt.NDArray[np.uint8]:
    """Move the frames of samples into one array, (T, H, W, 3); empty the list.

    A frame is released when it is copied, so that the frames are not in memory twice. The pages of
    a new large array take no memory before they are written.
    """
    count = len(samples)
    if count == 1:  # a frame may have many pixels, and a single one is not copied
        return samples.pop().rgb[None]
    frames = np.empty((count, *samples[0].rgb.shape), np.uint8)
    for k in reversed(range(count)):
        frames[k] = samples.pop().rgb
    return frames


def _first_frame(video_track: VideoTrack) -> ShownFrame:
    """Decode the first frame; raise the damage of the track if there is none."""
    for frame in video_track.shown_frames():
        return frame
    raise video_track.damage() or AssertionError("a track without frames must report damage")
