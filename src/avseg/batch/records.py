"""Options, progress and outcomes of a batch; all can be sent from one process to another."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from avseg.errors import AvsegError
from avseg.export import ResultSummary
from avseg.types import AudioTrackOption

if TYPE_CHECKING:
    from avseg.checkpoints.loading import Memory
    from avseg.segmenter import Dtype, Segmenter


@dataclass(frozen=True)
class SegmentOptions:
    """Options that apply to each video of a batch.

    Attributes:
        frames_per_second: Frames to segment per second; None for every frame of the video.
        threshold: Probability above which a pixel is marked, in (0, 1).
        silent_ok: Whether a video without an audio stream is accepted as silent. A model that is
            prompted by texts accepts it in any case.
        overlay: Whether to write an overlay video.
        audio_track: Number of the audio track to use, from 1; "mix" for the sum of all tracks;
            "auto" for the default track, or another one if that is digitally silent.
    """

    frames_per_second: float | None = None
    threshold: float = 0.5
    silent_ok: bool = False
    overlay: bool = True
    audio_track: AudioTrackOption = "auto"


@dataclass(frozen=True)
class VideoOutcome:
    """Result of one video of a batch: a summary if it succeeded, else an error.

    Attributes:
        video: The video file.
        folder: Its result folder; it exists only if the video succeeded.
        summary: Figures of the result; None after an error.
        was_complete: Whether the folder was complete before, so that nothing was computed.
        error: Reason why the video could not be segmented; None if it succeeded.
    """

    video: Path
    folder: Path
    summary: ResultSummary | None = None
    was_complete: bool = False
    error: AvsegError | None = None


@dataclass(frozen=True)
class BatchProgress:
    """State of a batch while it runs.

    Attributes:
        video: The current video.
        number: Number of the current video, from 1.
        total: Number of videos in the batch.
        share: Share of the current video that is done, in [0, 1].
        outcome: Outcome of the current video once it is finished, else None.
    """

    video: Path
    number: int
    total: int
    share: float
    outcome: VideoOutcome | None = None


@dataclass(frozen=True)
class Batch:
    """The videos and options of a batch, as they are sent to a worker process.

    Attributes:
        videos: The video files.
        folders: Result folder of each video.
        options: Options that apply to each video.
        model: Name of a model, the folder of a saved one, or, in this process, a segmenter.
        texts: Texts for a model that is prompted by texts.
        vocabulary: As in `segment`.
        device: As in `load_segmenter`, like the following four.
        memory: How the weights are loaded.
        image_size: Side of SAM 2's square input, in pixels.
        dtype: Precision of matrix products.
        offline: Whether to forbid downloads.
        start: Index of the first video to segment; the videos before it are finished.
    """

    videos: tuple[Path, ...]
    folders: tuple[Path, ...]
    options: SegmentOptions
    model: str | os.PathLike[str] | Segmenter
    texts: tuple[str, ...] = ()
    vocabulary: str | tuple[str, ...] | None = None
    device: str = "auto"
    memory: Memory = "normal"
    image_size: int | None = None
    dtype: Dtype = "float32"
    offline: bool = False
    start: int = 0
