"""Data types that the package passes around: video metadata, clips and segmentations.

T is the number of frames, H x W their height and width in pixels, S the number of audio samples,
N the number of samples in a window. All times are in seconds on the clock of the video's container,
which need not start at 0, so that frames, audio and masks can be aligned with the file again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from avseg.packed_mask import PackedMask

#: RMS level, relative to full scale, below which an audio window counts as silent. The rounding
#: noise of 16-bit audio is at -101 dBFS; a quiet room recorded with a phone is above -60 dBFS.
SILENCE_DBFS = -70.0

#: Which audio of a video to use: the number of an audio track, counted from 1; "mix" for the sum of
#: all audio tracks; "auto" for the default track, or another one if the default track is digitally
#: silent. `avseg.media.track_choice` has the rules.
AudioTrackOption = int | Literal["auto", "mix"]


@dataclass(frozen=True)
class AudioTrackInfo:
    """Metadata of one audio track of a video file, as its container announces it.

    Args:
        number: Number of the track among the audio tracks of the file, from 1.
        codec: FFmpeg's name of the codec, such as "aac"; None if FFmpeg has no decoder for it.
        sample_rate: Stored sample rate in Hz; None without a decoder.
        channels: Number of stored channels; None without a decoder.
        layout: FFmpeg's name of the channel layout, such as "stereo"; None without a decoder.
        language: Language code of the container, such as "deu"; None if it has none.
        title: Title of the track; None if it has none.
        default: Whether the file marks the track as a default one. Several tracks may be marked.
    """

    number: int
    codec: str | None
    sample_rate: int | None
    channels: int | None
    layout: str | None
    language: str | None
    title: str | None
    default: bool


@dataclass(frozen=True)
class AudioSelection:
    """Audio tracks that are used of a video, and why.

    Args:
        asked: The option that the selection was made for.
        used: Numbers of the used tracks, from 1; several are mixed; none if no track can be used.
        because: Why these tracks are used, such as "the only audio track".
        warnings: Tracks that are not used, although they would be in an intact file.
    """

    asked: AudioTrackOption
    used: tuple[int, ...]
    because: str
    warnings: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """Return the entry "audio" of `result.json`, which lists warnings elsewhere."""
        return {"asked": self.asked, "used": list(self.used), "because": self.because}


@dataclass(frozen=True)
class VideoInfo:
    """Metadata of a video file, as its container announces it.

    Args:
        path: Path of the file, as the caller gave it.
        container: FFmpeg's name of the file format, such as "matroska,webm".
        width: Width of a displayed frame (after rotation), in pixels.
        height: Height of a displayed frame (after rotation), in pixels.
        rotation: Counter-clockwise rotation from the stored to the displayed frame, in degrees:
            0, 90, 180 or 270. A mirrored frame is mirrored left to right after the rotation.
        start_s: Presentation time of the first frame, in seconds.
        duration_s: Length of the video stream, in seconds; the length of the whole file if the
            container announces no other.
        average_rate: Average number of frames per second.
        frame_count: Number of frames that the container announces, or None if it does not.
        variable_rate: Whether the time between frames varies by the index of the container; None if
            its index does not list all frames, as in Matroska and MPEG-TS.
        video_codec: FFmpeg's name of the video codec, such as "h264".
        pixel_format: FFmpeg's name of the stored pixel format, such as "yuv420p10le".
        colour_primaries: FFmpeg's name of the colour primaries, such as "bt709"; None if the file
            has none, here and in the next three.
        colour_transfer: FFmpeg's name of the transfer function, such as "bt709", "smpte2084" (PQ)
            or "arib-std-b67" (HLG).
        colour_matrix: FFmpeg's name of the matrix between R'G'B' and Y'CbCr, such as "bt709".
        colour_range: Range of the stored values: "tv" (limited) or "pc" (full).
        hdr: Whether the transfer function is one of high dynamic range (PQ or HLG).
        interlaced: Whether the frames consist of two fields of different times.
        alpha: Whether the frames have an alpha channel.
        timecode: SMPTE timecode of the first frame, such as "01:02:03:04", or "01:02:03;04" for
            drop-frame timecode; None if the file has none.
        audio_codec: FFmpeg's name of the codec of the default audio track, or None without an audio
            track that can be decoded.
        audio_sample_rate: Its stored sample rate in Hz, or None without one.
        audio_channels: Its number of stored channels, or None without one.
        audio_tracks: All audio tracks, in the order of their numbers.
    """

    path: str
    container: str
    width: int
    height: int
    rotation: int
    start_s: float
    duration_s: float
    average_rate: float
    frame_count: int | None
    variable_rate: bool | None
    video_codec: str
    pixel_format: str
    colour_primaries: str | None
    colour_transfer: str | None
    colour_matrix: str | None
    colour_range: str | None
    hdr: bool
    interlaced: bool
    alpha: bool
    timecode: str | None
    audio_codec: str | None
    audio_sample_rate: int | None
    audio_channels: int | None
    audio_tracks: tuple[AudioTrackInfo, ...]


# eq=False here and below: == of arrays has no single truth value, so instances compare by identity.
@dataclass(frozen=True, eq=False)
class Clip:
    """Short video excerpt: frames and their audio on one clock.

    Args:
        origin: Path of the file or folder that the clip was read from, for messages and results.
        frames: Frames as displayed, (T, H, W, 3) uint8 RGB in [0, 255], T at least 1.
        frame_times: Presentation time of each frame, (T,) float64 in seconds, never decreasing. Two
            equal times mean that one frame stays on screen for two sampled times.
        audio_times: Centre of the audio window of each frame, (T,) float64 in seconds. They may
            decrease where windows are moved away from a change of the sound.
        audio: Mono waveform, (S,) float32 in [-1, 1].
        audio_start_s: Time of `audio[0]`, in seconds.
        sample_rate: Sample rate of `audio`, in Hz.
        durations: Time that each frame stands for, (T,) float64 in seconds: its time on screen at
            the full frame rate, else its interval; None if unknown.
        channels: Waveforms of the left and the right channel, (2, S) float32 in [-1, 1]; None if
            the clip was read for a model that uses mono audio.

    Raises:
        ValueError: If a shape, dtype, order or range differs from the above.
    """

    origin: str
    frames: npt.NDArray[np.uint8]
    frame_times: npt.NDArray[np.float64]
    audio_times: npt.NDArray[np.float64]
    audio: npt.NDArray[np.float32]
    audio_start_s: float
    sample_rate: int
    durations: npt.NDArray[np.float64] | None = None
    channels: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        _check_array("frames", self.frames, np.uint8, "THWC")
        if self.frames.shape[-1] != 3 or 0 in self.frames.shape:
            raise ValueError(
                f"frames has shape {self.frames.shape}; it must be (T, H, W, 3), each at least 1."
            )
        _check_times("frame_times", self.frame_times, len(self.frames))
        _check_times("audio_times", self.audio_times, len(self.frames), may_decrease=True)
        _check_array("audio", self.audio, np.float32, "S")
        _check_range("audio", self.audio, -1.0, 1.0)
        _check_durations(self.durations, len(self.frames))
        if self.channels is not None:
            _check_array("channels", self.channels, np.float32, "CS")
            _check_range("channels", self.channels, -1.0, 1.0)
            if self.channels.shape != (2, len(self.audio)):
                raise ValueError(
                    f"channels has shape {self.channels.shape}; it must be (2, {len(self.audio)}), "
                    "left and right with as many samples as audio."
                )
        if self.sample_rate <= 0:
            raise ValueError(f"sample_rate is {self.sample_rate} Hz; it must be positive.")
        if not math.isfinite(self.audio_start_s):
            raise ValueError(
                f"audio_start_s is {self.audio_start_s}; it must be a finite time in seconds."
            )

    def audio_windows(self, window_s: float = 1.0) -> npt.NDArray[np.float32]:
        """Cut one window of the mono audio for each frame, centred on its audio time.

        A window is padded with zeros where it extends beyond `audio`. Clips read by `avseg.media`
        include two seconds of audio before the first and after the last audio time, which is enough
        for windows of up to four seconds.

        Args:
            window_s: Length of each window, in seconds.

        Returns:
            Windows, (T, N) float32 in [-1, 1], with N = round(window_s * sample_rate).

        Raises:
            ValueError: If the window is shorter than one sample.
        """
        windows: npt.NDArray[np.float32] = self._cut_windows(self.audio[None], window_s)[:, 0]
        return windows

    def channel_windows(self, window_s: float = 1.0) -> npt.NDArray[np.float32]:
        """Cut one window of the left and the right channel for each frame.

        Args:
            window_s: Length of each window, in seconds.

        Returns:
            Windows as from `audio_windows`, (T, 2, N); (T, 1, N) of the mono audio for a clip
            without `channels`.

        Raises:
            ValueError: If the window is shorter than one sample.
        """
        return self._cut_windows(
            self.audio[None] if self.channels is None else self.channels, window_s
        )

    def _cut_windows(
        self, rows: npt.NDArray[np.float32], window_s: float
    ) -> npt.NDArray[np.float32]:
        """Cut one window of each row (R, S) for each frame, (T, R, N)."""
        length = round(window_s * self.sample_rate)
        if length < 1:
            raise ValueError(
                f"window_s is {window_s} s, shorter than one sample at {self.sample_rate} Hz; "
                f"it must be at least {1 / self.sample_rate} s."
            )
        # Round on the sample grid of the whole video, not of this clip, so that a window starts at
        # the same sample whether the video was read whole or in chunks. The 1e-3 makes exact halves
        # always round up; otherwise float noise would decide.
        begins = (self.audio_times - window_s / 2) * self.sample_rate
        first = np.floor(begins + 0.5 + 1e-3).astype(np.int64)
        first -= round(self.audio_start_s * self.sample_rate)
        index = first[:, None] + np.arange(length)  # (T, N)
        inside = (index >= 0) & (index < rows.shape[1])
        windows = np.zeros((len(rows), *index.shape), np.float32)
        windows[:, inside] = rows[:, index[inside]]
        return windows.transpose(1, 0, 2)


class NamedSource:
    """Sounding source with a name, and its masks in the frames of a video.

    The masks are stored compressed, because a video may have many sources with large masks.

    Args:
        name: Category or text prompt of the source, such as "dog".
        masks: Predicted masks, (T, H, W) bool, or packed masks of T frames; empty in frames where
            the source is silent.
        scores: Confidence that the source sounds and is visible, (T,) float32 in [0, 1].

    Attributes:
        packed: The packed mask of each frame.
        shape: T, H and W.

    Raises:
        ValueError: If the name is blank, or a shape, dtype or range differs from the above.
    """

    def __init__(
        self,
        name: str,
        masks: npt.NDArray[np.bool_] | Sequence[PackedMask],
        scores: npt.NDArray[np.float32],
    ) -> None:
        if not name.strip():
            raise ValueError(f"name is {name!r}; a source needs a name that is not blank.")
        if isinstance(masks, np.ndarray):
            _check_array("masks", masks, np.bool_, "THW")
            masks = [PackedMask.pack(mask) for mask in masks]
        _check_scores(scores, len(masks))
        shapes = {mask.shape for mask in masks}
        if len(shapes) != 1:
            raise ValueError(
                f"the masks of {name!r} have the shapes {shapes}; a source needs masks of one "
                "shape in at least one frame."
            )
        self.name, self.packed, self.scores = name, tuple(masks), scores
        self.shape = (len(masks), *shapes.pop())

    @property
    def masks(self) -> npt.NDArray[np.bool_]:
        """Masks of all frames, (T, H, W) bool: a new array at each access."""
        return np.stack([mask.unpack() for mask in self.packed])


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Predicted masks of the sounding objects in the frames of one video.

    Args:
        origin: Path of the file or folder that the frames were read from.
        frame_times: Presentation time of each frame, (T,) float64 in seconds, never decreasing.
        masks: Masks of all sounding objects together, (T, H, W) bool at the size of the video.
        scores: Confidence that a visible object sounds in each frame: predicted IoU of the mask
            times the probability of presence, (T,) float32 in [0, 1].
        model: Name of the model.
        threshold: Mask probability above which a pixel was marked, in [0, 1].
        sources: Named sources, which may overlap; `masks` is the union of their masks. None for a
            model that does not separate sources.
        audible: Whether the audio of each frame is above the silence threshold, (T,) bool; None for
            a model that does not use the audio.
        durations: Time that each frame stands for, as in `Clip`.

    Raises:
        ValueError: If a shape, dtype, order or range differs from the above, two sources share a
            name, or `masks` is not the union of the masks of the sources.
    """

    origin: str
    frame_times: npt.NDArray[np.float64]
    masks: npt.NDArray[np.bool_]
    scores: npt.NDArray[np.float32]
    model: str
    threshold: float
    sources: tuple[NamedSource, ...] | None = None
    audible: npt.NDArray[np.bool_] | None = None
    durations: npt.NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        _check_array("masks", self.masks, np.bool_, "THW")
        _check_times("frame_times", self.frame_times, len(self.masks))
        _check_scores(self.scores, len(self.masks))
        if self.audible is not None:
            _check_array("audible", self.audible, np.bool_, "T")
            _check_count("audible", len(self.audible), len(self.masks))
        _check_durations(self.durations, len(self.masks))
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold is {self.threshold}; it must be in [0, 1].")
        if self.sources is not None:
            self._check_sources(self.sources)

    def _check_sources(self, sources: tuple[NamedSource, ...]) -> None:
        names = [source.name for source in sources]
        if len(set(names)) < len(names):
            raise ValueError(f"the names of the sources are {names}; each may occur once only.")
        shapes = {source.name: source.shape for source in sources}
        if set(shapes.values()) - {self.masks.shape}:
            raise ValueError(
                f"the masks of the sources have shapes {shapes}; they must be {self.masks.shape}."
            )
        # Overlay and PNG files use the masks of the sources, scores use `masks`: they must agree.
        # Frame by frame, because the masks may be large.
        for k, mask in enumerate(self.masks):
            union = np.zeros_like(mask)
            for source in sources:
                if not source.packed[k].is_empty:
                    union |= source.packed[k].unpack()
            if not np.array_equal(union, mask):
                raise ValueError(
                    f"masks has {mask.sum()} marked pixels in frame {k}, the union of the masks of "
                    f"{names} has {union.sum()} or others; masks must be that union."
                )

    @staticmethod
    def join(chunks: Sequence[Segmentation]) -> Segmentation:
        """Concatenate the segmentations of consecutive chunks of one video.

        Args:
            chunks: Segmentations in order of time, of one video, model, threshold and size.

        Returns:
            One segmentation with all frames and all named sources. A source has empty masks and
            score 0 in the frames of a chunk that does not name it.

        Raises:
            ValueError: If there are no chunks, or they differ in more than their frames.
        """
        if not chunks:
            raise ValueError("there are no segmentations to join; pass at least one.")
        first = chunks[0]
        kinds = {
            (c.origin, c.model, c.threshold, c.masks.shape[1:], c.sources is not None)
            for c in chunks
        }
        if len(kinds) > 1:
            raise ValueError(
                "only segmentations of one video, model, threshold and size can be joined, all "
                f"with named sources or all without; got {kinds}."
            )
        return Segmentation(
            origin=first.origin,
            frame_times=np.concatenate([c.frame_times for c in chunks]),
            masks=np.concatenate([c.masks for c in chunks]),
            scores=np.concatenate([c.scores for c in chunks]),
            model=first.model,
            threshold=first.threshold,
            sources=None if first.sources is None else _join_sources(chunks),
            audible=_join_arrays([c.audible for c in chunks]),
            durations=_join_arrays([c.durations for c in chunks]),
        )


def _join_arrays(arrays: Sequence[npt.NDArray[Any] | None]) -> npt.NDArray[Any] | None:
    """Concatenate the arrays of all chunks; None if a chunk has none."""
    present = [array for array in arrays if array is not None]
    return np.concatenate(present) if len(present) == len(arrays) else None


def _join_sources(chunks: Sequence[Segmentation]) -> tuple[NamedSource, ...]:
    """Concatenate the masks and scores of each source, in order of first appearance."""
    by_name = [{source.name: source for source in chunk.sources or ()} for chunk in chunks]
    names = dict.fromkeys(name for sources in by_name for name in sources)
    joined = []
    for name in names:
        found = [sources.get(name) for sources in by_name]
        masks: list[PackedMask] = []
        for chunk, source in zip(chunks, found, strict=True):
            height, width = chunk.masks.shape[1:]
            empty = [PackedMask((height, width))] * len(chunk.masks)
            masks.extend(empty if source is None else source.packed)
        scores = [
            np.zeros_like(chunk.scores) if source is None else source.scores
            for chunk, source in zip(chunks, found, strict=True)
        ]
        joined.append(NamedSource(name, masks, np.concatenate(scores)))
    return tuple(joined)


def _check_array(name: str, array: npt.NDArray[Any], dtype: type, axes: str) -> None:
    """Validate the dtype and the number of axes of an array."""
    if array.dtype != dtype or array.ndim != len(axes):
        raise ValueError(
            f"{name} is {array.dtype} of shape {array.shape}; "
            f"it must be {np.dtype(dtype).name} of shape ({', '.join(axes)})."
        )


def _check_count(name: str, length: int, count: int) -> None:
    """Validate that there is one value for each frame."""
    if length != count:
        raise ValueError(
            f"{name} has {length} values; there must be one for each of the {count} frames."
        )


def _check_durations(durations: npt.NDArray[np.float64] | None, count: int) -> None:
    """Validate that there is one duration for each frame, unless they are unknown."""
    if durations is not None:
        _check_array("durations", durations, np.float64, "T")
        _check_count("durations", len(durations), count)
        _check_range("durations", durations, 0.0, math.inf)


def _check_scores(scores: npt.NDArray[np.float32], count: int) -> None:
    """Validate that there is one score in [0, 1] for each mask."""
    _check_array("scores", scores, np.float32, "T")
    _check_range("scores", scores, 0.0, 1.0)
    if len(scores) != count:
        raise ValueError(
            f"scores has {len(scores)} values; there must be one for each of the {count} masks."
        )


def _check_range(name: str, array: npt.NDArray[Any], low: float, high: float) -> None:
    """Validate that all values are in [low, high]; NaN fails too."""
    # Written as `not (a and b)` because every comparison with NaN is False.
    if array.size and not (array.min() >= low and array.max() <= high):
        raise ValueError(
            f"{name} has values from {array.min()} to {array.max()}; "
            f"they must be in [{low}, {high}]."
        )


def _check_times(
    name: str, times: npt.NDArray[np.float64], count: int, *, may_decrease: bool = False
) -> None:
    """Validate that there is one finite time for each frame, in order unless they may decrease."""
    _check_array(name, times, np.float64, "T")
    if len(times) != count:
        raise ValueError(
            f"{name} has {len(times)} times; there must be one for each of the {count} frames."
        )
    decreases = not may_decrease and (np.diff(times) < 0).any()
    if decreases or not np.isfinite(times).all():
        rule = "finite" if may_decrease else "finite and never decrease"
        raise ValueError(f"{name} must be {rule}; got {times}.")
