"""Segmentation of videos one after the other in this process."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from av.error import FFmpegError

from avseg.allocator import return_freed_memory, return_large_blocks
from avseg.batch.records import Batch, BatchProgress, SegmentOptions, VideoOutcome
from avseg.errors import AvsegError, CorruptVideoError, OutOfMemoryError
from avseg.export import ResultKey, Setting, find_result, write_result
from avseg.media import choose_audio, probe
from avseg.media.sound_changes import RULE
from avseg.types import Segmentation, VideoInfo

if TYPE_CHECKING:
    from avseg.segmenter import Segmenter

#: Number of pixels of a frame from which the memory of a chunk is not kept for the next one, since
#: large blocks do not fit into the gaps between smaller ones. The other number is the size in bytes
#: from which a block is returned when it is freed, unless it fits into a gap.
LARGE_PIXELS, LARGE_BLOCK_BYTES = 2**22, 2**22

#: Options that need less memory.
LESS_MEMORY = "use --memory low, a smaller --image-size or a smaller model, or close other programs"

#: Messages of torch about a failed allocation, on the CPU, CUDA and MPS.
_OUT_OF_MEMORY = re.compile(r"out of memory|can't allocate memory|not enough memory")


def segment_batch(batch: Batch, on_progress: Callable[[BatchProgress], None]) -> list[VideoOutcome]:
    """Segment the videos of a batch in this process, from `batch.start` on.

    Args:
        batch: Videos and options.
        on_progress: As in `segment`.

    Returns:
        One outcome for each video.

    Raises:
        CheckpointError: As in `segment`, like the following ones.
        DeviceError: If the device is not available.
        PromptError: If the model cannot use the texts or the vocabulary.
        ValueError: If an option is out of its range.
    """
    # Imported here, because they load torch, which the supervisor does not need.
    from avseg.models.vocabulary import read_vocabulary
    from avseg.segmenter import Segmenter, load_segmenter

    names = batch.vocabulary or ()
    if isinstance(names, str):
        names = read_vocabulary(names)
    segmenter = batch.model
    if not isinstance(segmenter, Segmenter):
        segmenter = load_segmenter(
            Path(segmenter),
            batch.device,
            batch.memory,
            batch.image_size,
            batch.dtype,
            offline=batch.offline,
        )
    if batch.texts or not segmenter.texts:  # a loaded segmenter may have its texts already
        segmenter = segmenter.with_texts(*batch.texts)
    segmenter = segmenter.with_vocabulary(*names)
    total = len(batch.videos)
    outcomes: list[VideoOutcome] = []
    for index in range(batch.start, total):
        progress = BatchProgress(batch.videos[index], index + 1, total, share=0.0)
        folder = batch.folders[index]
        outcomes.append(_segment_one(segmenter, progress, folder, batch.options, on_progress))
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
    except (FFmpegError, ArithmeticError, MemoryError, RuntimeError) as error:
        reason = _unexpected(progress.video, error)
        reason.__cause__ = error
        outcome = VideoOutcome(progress.video, folder, error=reason)
    on_progress(replace(progress, share=1.0, outcome=outcome))
    return outcome


def _unexpected(video: Path, error: Exception) -> AvsegError:
    """Return the error of a video for an exception that no check expects."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error)):
        return OutOfMemoryError(
            f"{video}: the memory does not suffice to segment it ({text}); {LESS_MEMORY}."
        )
    return CorruptVideoError(
        str(video),
        f"cannot be segmented ({text}). Copy or download the file again, or re-encode it.",
    )


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
    info = probe(video)
    settings = _settings(segmenter, options, info)
    key = ResultKey(
        info,
        segmenter.weights_sha256,
        settings,
        options.overlay,
        licence=segmenter.licence,
    )
    summary = find_result(folder, key)
    if summary is not None:
        return VideoOutcome(Path(video), folder, summary, was_complete=True)
    with ExitStack() as stack:
        if info.height * info.width >= LARGE_PIXELS:
            stack.enter_context(return_large_blocks(LARGE_BLOCK_BYTES))
        # Chosen once for the model, result.json and the overlay, since a silent track is decoded to
        # its end for it.
        audio = choose_audio(video, options.audio_track)
        warnings: list[str] = []
        chunks = segmenter.stream(
            video,
            options.frames_per_second,
            options.threshold,
            options.silent_ok,
            warnings.append,
            audio,
        )
        summary = write_result(
            _with_progress(chunks, info, on_progress), folder, replace(key, audio=audio), warnings
        )
    return VideoOutcome(Path(video), folder, summary)


def _settings(
    segmenter: Segmenter, options: SegmentOptions, video: VideoInfo
) -> dict[str, Setting]:
    """Collect all settings that can change the masks, as result.json records them.

    Options at their defaults are omitted where results of earlier versions did not have them, so
    that those results stay valid. `silent_ok` is omitted because a result is the same with it.
    """
    settings: dict[str, Setting] = {
        "frames_per_second": options.frames_per_second,
        "threshold": options.threshold,
    }
    # Earlier versions always used the default track of several.
    if options.audio_track != "auto" or len(video.audio_tracks) > 1:
        settings["audio_track"] = options.audio_track
    rate, window_s = options.frames_per_second, segmenter.processor.window_s
    # Not at low rates and not for texts, where windows stay centred as in earlier versions.
    if window_s is not None and (rate is None or 1 / rate < window_s):
        settings["audio_windows"] = RULE
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
    is_large = video.height * video.width >= LARGE_PIXELS
    for chunk in chunks:
        last_s = chunk.frame_times[-1]
        if is_large:
            return_freed_memory()
        yield chunk
        del chunk  # before the next chunk is segmented
        if is_large:
            return_freed_memory()
        share = (last_s - video.start_s) / max(video.duration_s, 1e-9)
        # Containers may announce a shorter duration than their frames have.
        on_progress(min(max(float(share), 0.0), 1.0))
