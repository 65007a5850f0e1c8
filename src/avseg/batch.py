"""Segmentation of videos into result folders: overlay video, mask images, and `result.json`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from av.error import FFmpegError

from avseg.checkpoints import DEFAULT_MODEL
from avseg.checkpoints.loading import Memory
from avseg.errors import AvsegError, CorruptVideoError
from avseg.export import ResultKey, ResultSummary, Setting, find_result, write_result
from avseg.export.result_folders import result_folders
from avseg.media import probe
from avseg.media.video_files import find_videos
from avseg.models.vocabulary import read_vocabulary
from avseg.segmenter import Dtype, Segmenter, load_segmenter
from avseg.types import Segmentation, VideoInfo


@dataclass(frozen=True)
class SegmentOptions:
    """Options that apply to each video of a batch.

    Attributes:
        frames_per_second: Frames to segment per second; None for every frame of the video.
        threshold: Probability above which a pixel is marked, in (0, 1).
        silent_ok: Whether a video without an audio stream is accepted as silent. A model that is
            prompted by texts accepts it in any case.
        overlay: Whether to write an overlay video.
    """

    frames_per_second: float | None = None
    threshold: float = 0.5
    silent_ok: bool = False
    overlay: bool = True


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


def segment(  # noqa: PLR0913 - the options of `avseg segment`
    videos: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str] | Segmenter = DEFAULT_MODEL,
    text: str | Sequence[str] = (),
    vocabulary: str | Sequence[str] | None = None,
    device: str = "auto",
    memory: Memory = "normal",
    image_size: int | None = None,
    dtype: Dtype = "float32",
    threshold: float = 0.5,
    frames_per_second: float | None = None,
    overlay: bool = True,
    silent_ok: bool = False,
    offline: bool = False,
    on_progress: Callable[[BatchProgress], None] = lambda _: None,
) -> list[VideoOutcome]:
    """Segment videos into result folders, one for each video, as `avseg segment` does.

    The folder of a video is `output/NAME`. It has masks/000000.png ..., result.json and, if wanted,
    overlay.mp4. It appears when it is complete. A video whose folder is complete for the same model
    and options is skipped. A video that cannot be segmented does not stop the others.

    Args:
        videos: Video files, and folders with video files directly in them.
        output: Folder for the result folders.
        model: A name from `avseg models`, the folder of a saved model, or a loaded segmenter, which
            keeps its device, memory, image size and dtype.
        text: What to mark, for a model that is prompted by texts (EVF-SAM): one text or several.
        vocabulary: Names that a model which names sounding objects (the cascade, TAViS) chooses
            from: a sequence of names, one string with commas between names, or the path of a text
            file (.txt) with a name on each line; None for the vocabulary saved with the model.
        device: "cpu", "cuda", "cuda:1", "mps", or "auto" for the first GPU if there is one.
        memory: "low" keeps the weights on disk until a layer needs them; CPU only.
        image_size: Side of SAM 2's square input, in pixels, a multiple of 32; None for the
            checkpoint's own.
        dtype: Precision of matrix products: "float32", "bfloat16" or "float16".
        threshold: Probability above which a pixel is marked, in (0, 1).
        frames_per_second: Frames to segment per second; None for every frame of the video.
        overlay: Whether to write an overlay video.
        silent_ok: Whether a video without an audio stream is accepted as silent.
        offline: Whether to forbid downloads.
        on_progress: Called at the start of each video, after each chunk, and with the outcome.

    Returns:
        One outcome for each video, in the order of the videos.

    Raises:
        CheckpointError: If there is no such model, it cannot be downloaded or loaded, or it does
            not support that image size.
        DeviceError: If the device is not available, or does not support low memory.
        NotAVideoError: If a folder has no video in it.
        OutputError: If two videos would get the same result folder.
        PromptError: If the model cannot use the texts or the vocabulary.
        ValueError: If an option is out of its range, or does not apply to a loaded segmenter.
    """
    files = find_videos(_as_paths(videos))
    folders = result_folders(files, Path(output))
    texts = (text,) if isinstance(text, str) else text
    names = read_vocabulary(vocabulary) if isinstance(vocabulary, str) else vocabulary or ()
    if isinstance(model, Segmenter):
        if (device, memory, image_size, dtype) != ("auto", "normal", None, "float32"):
            raise ValueError(
                "device, memory, image_size and dtype apply to a model that is given by name or "
                "folder; pass them to load_segmenter instead."
            )
        segmenter = model
    else:
        segmenter = load_segmenter(Path(model), device, memory, image_size, dtype, offline=offline)
    if texts or not segmenter.texts:  # a loaded segmenter may have its texts already
        segmenter = segmenter.with_texts(*texts)
    segmenter = segmenter.with_vocabulary(*names)
    options = SegmentOptions(frames_per_second, threshold, silent_ok, overlay)
    outcomes: list[VideoOutcome] = []
    for number, (video, folder) in enumerate(zip(files, folders, strict=True), start=1):
        progress = BatchProgress(video, number, len(files), share=0.0)
        outcomes.append(_segment_one(segmenter, progress, folder, options, on_progress))
    return outcomes


def _segment_one(
    segmenter: Segmenter,
    progress: BatchProgress,
    folder: Path,
    options: SegmentOptions,
    on_progress: Callable[[BatchProgress], None],
) -> VideoOutcome:
    """Segment the current video of a batch and turn an error into an outcome."""
    on_progress(progress)
    try:
        outcome = segment_to_folder(
            segmenter,
            progress.video,
            folder,
            options,
            lambda share: on_progress(replace(progress, share=share)),
        )
    except AvsegError as error:
        outcome = VideoOutcome(progress.video, folder, error=error)
    except (FFmpegError, ArithmeticError, MemoryError) as error:
        # A damaged video that no check expects, so that the other videos are still segmented.
        reason = CorruptVideoError(
            str(progress.video),
            f"cannot be segmented ({type(error).__name__}: {error}). Copy or download the file "
            "again, or re-encode it.",
        )
        reason.__cause__ = error
        outcome = VideoOutcome(progress.video, folder, error=reason)
    on_progress(replace(progress, share=1.0, outcome=outcome))
    return outcome


def segment_to_folder(
    segmenter: Segmenter,
    video: str | os.PathLike[str],
    folder: Path,
    options: SegmentOptions,
    on_progress: Callable[[float], None] = lambda _: None,
) -> VideoOutcome:
    """Segment one video of any length into its result folder.

    The folder appears when it is complete. If it is complete already for the same video, model and
    options, nothing is computed.

    Args:
        segmenter: A model that was loaded from a file.
        video: The video file.
        folder: The folder to write, one for each video.
        options: Options of the batch.
        on_progress: Called after each chunk with the share of the video that is done, in [0, 1].

    Returns:
        The outcome, with a summary of the result.

    Raises:
        ClipError: If the video cannot be read, is damaged, or has no audio stream.
        PromptError: If the model needs a text and there is none.
        OutputError: If the folder cannot be written, or has other files in it.
        ValueError: If the model was never saved, so that its weights have no hash to record.
    """
    if segmenter.weights_sha256 is None:
        raise ValueError(
            f"the model {segmenter.name!r} was never saved, so a result cannot record the hash of "
            "its weights; save it, and load it with load_segmenter."
        )
    key = ResultKey(
        probe(video), segmenter.weights_sha256, _settings(segmenter, options), options.overlay
    )
    summary = find_result(folder, key)
    if summary is not None:
        return VideoOutcome(Path(video), folder, summary, was_complete=True)
    warnings: list[str] = []
    chunks = segmenter.stream(
        video, options.frames_per_second, options.threshold, options.silent_ok, warnings.append
    )
    summary = write_result(_with_progress(chunks, key.video, on_progress), folder, key, warnings)
    return VideoOutcome(Path(video), folder, summary)


def _settings(segmenter: Segmenter, options: SegmentOptions) -> dict[str, Setting]:
    """Collect all settings that can change the masks, as result.json records them.

    Options at their defaults are omitted where results of earlier versions did not have them, so
    that those results stay valid. `silent_ok` is omitted because a result is the same with it.
    """
    settings: dict[str, Setting] = {
        "frames_per_second": options.frames_per_second,
        "threshold": options.threshold,
    }
    if segmenter.texts:
        settings["texts"] = list(segmenter.texts)
    if segmenter.vocabulary:
        settings["vocabulary"] = list(segmenter.vocabulary)
    if segmenter.image_size is not None:
        settings["image_size"] = segmenter.image_size
    if segmenter.dtype != "float32":
        settings["dtype"] = segmenter.dtype
    return settings


def _with_progress(
    chunks: Iterable[Segmentation], video: VideoInfo, on_progress: Callable[[float], None]
) -> Iterator[Segmentation]:
    """Yield the chunks and report after each which share of the video is done."""
    for chunk in chunks:
        yield chunk
        share = (chunk.frame_times[-1] - video.start_s) / max(video.duration_s, 1e-9)
        # Containers may announce a shorter duration than their frames have.
        on_progress(min(max(float(share), 0.0), 1.0))


def _as_paths(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    if isinstance(paths, (str, os.PathLike)):
        return [Path(paths)]
    return [Path(path) for path in paths]
