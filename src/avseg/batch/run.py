"""Segmentation of videos into result folders, as `avseg segment` does it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from avseg.batch.records import Batch, BatchProgress, SegmentOptions, VideoOutcome
from avseg.batch.supervisor import STALL_LIMIT_S, segment_in_workers
from avseg.batch.videos import segment_batch
from avseg.checkpoints import DEFAULT_MODEL
from avseg.export.result_folders import result_folders
from avseg.media.track_choice import check_option
from avseg.media.video_files import find_videos
from avseg.types import AudioTrackOption

if TYPE_CHECKING:
    from avseg.checkpoints.loading import Memory
    from avseg.segmenter import Dtype, Segmenter


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
    audio_track: AudioTrackOption = "auto",
    offline: bool = False,
    isolate: bool = True,
    stall_limit_s: float = STALL_LIMIT_S,
    on_progress: Callable[[BatchProgress], None] = lambda _: None,
) -> list[VideoOutcome]:
    """Segment videos into result folders, one for each video, as `avseg segment` does.

    The folder of a video is `output/NAME`. It has masks/000000.png ..., result.json and, if wanted,
    overlay.mp4. It appears when it is complete. A video whose folder is complete for the same model
    and options is skipped. A video that cannot be segmented does not stop the others.

    The videos are segmented in a worker process. If it crashes in a native library, is killed for
    lack of memory, or makes no progress, that is the error of the current video, and a new process
    continues with the next one. This is the only guarded function of the package: a call with
    `isolate=False` or with a loaded segmenter, and every other function, works in this process,
    which such a crash would end.

    The worker process gets the environment variables, the working folder and `sys.path`, but no
    other state of this process: not the number of threads set in torch, nor classes registered at
    run time. The script that calls this function needs no `if __name__ == "__main__"`.

    Args:
        videos: Video files, and folders with video files directly in them.
        output: Folder for the result folders.
        model: A name from `avseg models`, the folder of a saved model, or a loaded segmenter, which
            keeps its device, memory, image size and dtype, and is used in this process.
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
        audio_track: Number of the audio track to use, from 1; "mix" for the sum of all tracks;
            "auto" for the default track, or another one if that is digitally silent.
        offline: Whether to forbid downloads.
        isolate: Whether to segment in a worker process, for a model by name or folder.
        stall_limit_s: Time in seconds without progress (a packet read, a layer computed) after
            which a video in a worker process counts as hanging; infinite for no limit. Downloads
            and the loading of the model do not count.
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
        WorkerDiedError: If the worker process dies while it loads the model for the first time.
    """
    check_option(audio_track)
    files = find_videos(_as_paths(videos))
    folders = result_folders(files, Path(output))
    if not stall_limit_s > 0:
        raise ValueError(f"stall_limit_s must be positive, got {stall_limit_s}.")
    by_name = isinstance(model, (str, os.PathLike))
    if not by_name and (device, memory, image_size, dtype) != ("auto", "normal", None, "float32"):
        raise ValueError(
            "device, memory, image_size and dtype apply to a model that is given by name or "
            "folder; pass them to load_segmenter instead."
        )
    batch = Batch(
        tuple(files),
        tuple(folders),
        SegmentOptions(frames_per_second, threshold, silent_ok, overlay, audio_track),
        model,
        texts=(text,) if isinstance(text, str) else tuple(text),
        vocabulary=vocabulary if isinstance(vocabulary, str | None) else tuple(vocabulary),
        device=device,
        memory=memory,
        image_size=image_size,
        dtype=dtype,
        offline=offline,
    )
    if by_name and isolate:
        return segment_in_workers(batch, stall_limit_s, on_progress)
    return segment_batch(batch, on_progress)


def _as_paths(paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    if isinstance(paths, (str, os.PathLike)):
        return [Path(paths)]
    return [Path(path) for path in paths]
