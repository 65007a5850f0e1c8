"""What travels through the package: a video's facts, a clip, and its segmentation.

T frames of H x W pixels, S samples of sound, N samples in a window. Times are seconds on the
container's clock, so that a clip's picture, sound and masks can be laid over the file again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class VideoInfo:
    """Facts about a video file, before it is decoded.

    Args:
        path: The file, as the caller named it.
        width: Of a frame as displayed (after rotation), in pixels.
        height: Of a frame as displayed (after rotation), in pixels.
        rotation: Degrees by which the stored picture is turned counter-clockwise for display:
            0, 90, 180 or 270. A mirrored picture is then mirrored left to right.
        start_s: When the first frame is shown, in seconds on the container's clock.
        duration_s: Length of the picture in seconds, as the container says; where it only gives the
            length of the whole file, that.
        average_rate: Frames per second, on average.
        frame_count: Frames that the container promises, None where it does not say.
        video_codec: FFmpeg's name of the video codec, such as "h264".
        pixel_format: FFmpeg's name of the stored pixel format, such as "yuv420p10le".
        audio_codec: FFmpeg's name of the audio codec, None without a sound track.
        audio_sample_rate: Stored samples per second, in Hz, None without a sound track.
        audio_channels: Number of channels, None without a sound track.
    """

    path: str
    width: int
    height: int
    rotation: int
    start_s: float
    duration_s: float
    average_rate: float
    frame_count: int | None
    video_codec: str
    pixel_format: str
    audio_codec: str | None
    audio_sample_rate: int | None
    audio_channels: int | None


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames of a video and the sound that belongs to them, on one clock.

    Args:
        source: Where the clip comes from, for messages and results.
        frames: Pictures as displayed, (T, H, W, 3) uint8 RGB in [0, 255], T at least 1.
        frame_times: When each frame is first on screen, (T,) float64 in seconds, never decreasing
            (one frame can stand for two times when it stays on screen).
        audio_times: Middle of the sound that belongs to each frame, (T,) float64 in seconds,
            increasing.
        audio: Mono waveform, (S,) float32 in [-1, 1].
        audio_start_s: Time of `audio[0]`, in seconds.
        sample_rate: Samples per second of `audio`, in Hz.

    Raises:
        ValueError: If a shape, dtype, order or range is not as above.
    """

    source: str
    frames: npt.NDArray[np.uint8]
    frame_times: npt.NDArray[np.float64]
    audio_times: npt.NDArray[np.float64]
    audio: npt.NDArray[np.float32]
    audio_start_s: float
    sample_rate: int

    def __post_init__(self) -> None:
        _check_array("frames", self.frames, np.uint8, "THWC")
        if self.frames.shape[-1] != 3 or 0 in self.frames.shape:
            raise ValueError(
                f"frames has shape {self.frames.shape}; it must be (T, H, W, 3), none of them 0."
            )
        _check_times("frame_times", self.frame_times, len(self.frames))
        _check_times("audio_times", self.audio_times, len(self.frames))
        _check_array("audio", self.audio, np.float32, "S")
        _check_range("audio", self.audio, -1.0, 1.0)
        if self.sample_rate <= 0:
            raise ValueError(f"sample_rate is {self.sample_rate} Hz; it must be positive.")
        if not math.isfinite(self.audio_start_s):
            raise ValueError(
                f"audio_start_s is {self.audio_start_s}; it must be a time in seconds."
            )

    def audio_windows(self, window_s: float = 1.0) -> npt.NDArray[np.float32]:
        """Cut the sound that belongs to each frame, centred on its sound time.

        Where the window reaches beyond `audio` it is silent. Clips read by `avseg.media` carry one
        second of sound before their first and after their last sound time, enough for windows of
        up to two seconds.

        Args:
            window_s: Length of each window in seconds.

        Returns:
            One window for each frame, (T, N) float32 in [-1, 1], N = round(window_s * sample_rate).

        Raises:
            ValueError: If the window is shorter than one sample.
        """
        length = round(window_s * self.sample_rate)
        if length < 1:
            raise ValueError(
                f"window_s is {window_s} s, which holds no sample at {self.sample_rate} Hz; "
                f"it must be at least {1 / self.sample_rate} s."
            )
        # On the absolute grid, and with exact halves pushed up, so that a window begins at the same
        # sample whether the clip was read whole or in chunks.
        begins = (self.audio_times - window_s / 2) * self.sample_rate
        first = np.floor(begins + 0.5 + 1e-3).astype(np.int64)
        first -= round(self.audio_start_s * self.sample_rate)
        index = first[:, None] + np.arange(length)  # (T, N)
        inside = (index >= 0) & (index < len(self.audio))
        windows = np.zeros(index.shape, np.float32)
        windows[inside] = self.audio[index[inside]]
        return windows


@dataclass(frozen=True, eq=False)
class NamedSource:
    """One thing that sounds in a video, by its name.

    Args:
        name: What it is called, such as "dog".
        masks: Its pixels in each frame, (T, H, W) bool; empty where it does not sound.
        scores: The model's confidence that it sounds and is visible, (T,) float32 in [0, 1].

    Raises:
        ValueError: If the name is blank, or a shape, dtype or range is not as above.
    """

    name: str
    masks: npt.NDArray[np.bool_]
    scores: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError(f"name is {self.name!r}; a source needs a name that can be read.")
        _check_array("masks", self.masks, np.bool_, "THW")
        _check_scores(self.scores, len(self.masks))


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Masks of the sounding objects in the frames of one video.

    Args:
        source: Where the frames come from.
        frame_times: When each frame is first on screen, (T,) float64 in seconds, never decreasing.
        masks: Pixels of the sounding objects, (T, H, W) bool at the video's own size.
        scores: The model's confidence that something visible sounds in each frame: its own estimate
            of the mask's IoU times the probability of presence, (T,) float32 in [0, 1].
        model: Name of the model.
        threshold: Mask probability from which a pixel counts as marked, in [0, 1].
        sources: What sounds, each by its name; `masks` is their union. They may overlap. None for
            a model that does not tell sources apart.

    Raises:
        ValueError: If a shape, dtype, order or range is not as above, two sources share a name, or
            `masks` is not the union of theirs.
    """

    source: str
    frame_times: npt.NDArray[np.float64]
    masks: npt.NDArray[np.bool_]
    scores: npt.NDArray[np.float32]
    model: str
    threshold: float
    sources: tuple[NamedSource, ...] | None = None

    def __post_init__(self) -> None:
        _check_array("masks", self.masks, np.bool_, "THW")
        _check_times("frame_times", self.frame_times, len(self.masks))
        _check_scores(self.scores, len(self.masks))
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold is {self.threshold}; it must be in [0, 1].")
        if self.sources is not None:
            self._check_sources(self.sources)

    def _check_sources(self, sources: tuple[NamedSource, ...]) -> None:
        names = [source.name for source in sources]
        if len(set(names)) < len(names):
            raise ValueError(f"sources are called {names}; each name must be there once.")
        shapes = {source.name: source.masks.shape for source in sources}
        if set(shapes.values()) - {self.masks.shape}:
            raise ValueError(f"sources have masks of {shapes}, the whole has {self.masks.shape}.")
        union = np.zeros_like(self.masks)
        for source in sources:
            union |= source.masks
        if not np.array_equal(union, self.masks):
            raise ValueError(
                f"masks marks {self.masks.sum()} pixels, its sources {names} mark {union.sum()} "
                "or others; it must be their union."
            )

    @staticmethod
    def join(parts: Sequence[Segmentation]) -> Segmentation:
        """Put the segmentations of a video's consecutive chunks together.

        Args:
            parts: In the order of time, all of one video, model and threshold.

        Returns:
            One segmentation with all their frames, and with every source that one of them names: in
            the frames of the others it has empty masks and the score 0.

        Raises:
            ValueError: If there are no parts, or they differ in more than their frames.
        """
        if not parts:
            raise ValueError("There is nothing to join; pass at least one segmentation.")
        first = parts[0]
        kinds = {
            (p.source, p.model, p.threshold, p.masks.shape[1:], p.sources is not None)
            for p in parts
        }
        if len(kinds) > 1:
            raise ValueError(
                "Only parts of one video, model, threshold and size, all with named sources or "
                f"none, can be joined; got {kinds}."
            )
        return Segmentation(
            source=first.source,
            frame_times=np.concatenate([p.frame_times for p in parts]),
            masks=np.concatenate([p.masks for p in parts]),
            scores=np.concatenate([p.scores for p in parts]),
            model=first.model,
            threshold=first.threshold,
            sources=None if first.sources is None else _join_sources(parts),
        )


def _join_sources(parts: Sequence[Segmentation]) -> tuple[NamedSource, ...]:
    """Join the masks and scores of each source, in the order in which the parts name them."""
    by_name = [{source.name: source for source in part.sources or ()} for part in parts]
    names = dict.fromkeys(name for sources in by_name for name in sources)
    joined = []
    for name in names:
        found = [sources.get(name) for sources in by_name]
        masks = [
            np.zeros_like(part.masks) if source is None else source.masks
            for part, source in zip(parts, found, strict=True)
        ]
        scores = [
            np.zeros_like(part.scores) if source is None else source.scores
            for part, source in zip(parts, found, strict=True)
        ]
        joined.append(NamedSource(name, np.concatenate(masks), np.concatenate(scores)))
    return tuple(joined)


def _check_array(name: str, array: npt.NDArray[Any], dtype: type, axes: str) -> None:
    """Refuse an array of another dtype or number of axes."""
    if array.dtype != dtype or array.ndim != len(axes):
        raise ValueError(
            f"{name} is {array.dtype} of shape {array.shape}; "
            f"it must be {np.dtype(dtype).name} of shape ({', '.join(axes)})."
        )


def _check_scores(scores: npt.NDArray[np.float32], count: int) -> None:
    """Refuse scores that are not one for each mask, in [0, 1]."""
    _check_array("scores", scores, np.float32, "T")
    _check_range("scores", scores, 0.0, 1.0)
    if len(scores) != count:
        raise ValueError(f"scores has {len(scores)} values for {count} masks.")


def _check_range(name: str, array: npt.NDArray[np.float32], low: float, high: float) -> None:
    """Refuse values outside [low, high], NaN among them."""
    if array.size and not (array.min() >= low and array.max() <= high):
        raise ValueError(
            f"{name} goes from {array.min()} to {array.max()}; it must be in [{low}, {high}]."
        )


def _check_times(name: str, times: npt.NDArray[np.float64], count: int) -> None:
    """Refuse times that are not one for each frame, finite, and in order."""
    _check_array(name, times, np.float64, "T")
    if len(times) != count:
        raise ValueError(f"{name} has {len(times)} times for {count} frames.")
    if not np.isfinite(times).all() or (np.diff(times) < 0).any():
        raise ValueError(f"{name} must be finite and never decrease; got {times}.")
