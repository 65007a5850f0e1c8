"""SynthAVS on disk, in AVSBench's layouts: what reads AVSBench reads it.

The same options gives the same bytes, whatever the number of processes. AVSBench's pickled
spectrograms (`audio_log_mel`) are not written: models make theirs from the sound.
"""

import json
import wave
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from avseg.atomic import replace_when_complete
from avseg.datasets.layout import LAYOUTS, SECONDS, ClipEntry, Release
from avseg.datasets.metadata import CLASS_FILE, NO_SOURCE, OFF_SCREEN
from avseg.datasets.palette import class_palette
from avseg.datasets.parallel import map_in_processes
from avseg.errors import OutputError
from avseg.synthavs.avs_v3 import (
    SEMANTIC_COLUMNS,
    semantic_cells,
    write_metadata,
    write_v3_metadata,
)
from avseg.synthavs.categories import CATEGORIES
from avseg.synthavs.clips import (
    GENERATOR_VERSION,
    SynthavsOptions,
    SyntheticClip,
    component_of,
    draw_clip,
)
from avseg.synthavs.sounds import SAMPLE_RATE
from avseg.synthavs.video import write_video

#: File that says how a data set was made.
OPTIONS_FILE = "synthavs.json"

#: Classes as in AVSS's `label2idx.json`: by number, 0 the background.
CLASS_NAMES = ("background", *CATEGORIES)

_METADATA_COLUMNS: dict[Release, tuple[str, ...]] = {
    "s4": ("video_name", "start_time", "category", "split"),
    "ms3": ("video_name", "split"),
    "avss": SEMANTIC_COLUMNS,
}
_JPEG_QUALITY = 95


@dataclass(frozen=True)
class WrittenDataset:
    """Synthetic data set on disk.

    Attributes:
        folder: Folder of the subset.
        counts: Number of clips of each split.
        existed: Whether the same options wrote it before, so that nothing was written now.
        negatives: Folder of its negative audio, or None if none was requested.
    """

    folder: Path
    counts: dict[str, int]
    existed: bool
    negatives: Path | None = None


def write_synthavs(
    root: Path,
    options: SynthavsOptions,
    workers: int | None = None,
    on_clip: Callable[[], None] | None = None,
) -> WrittenDataset:
    """Write a subset of SynthAVS; it appears when it is complete.

    Args:
        root: Where the subset's folder ("Single-source", "Multi-sources", "AVSBench_semantic")
            goes; subsets can share it.
        options: What to write.
        workers: Processes; by default one for each core.
        on_clip: Called whenever a clip is written.

    Returns:
        What is now on disk.

    Raises:
        OutputError: If the folder holds something else, or cannot be written.
        ValueError: If there are no workers.
    """
    folder = root / LAYOUTS[options.subset].folders[0]
    if is_written(folder, options):
        return WrittenDataset(folder, options.counts(), existed=True)
    try:
        with replace_when_complete(folder) as unfinished:
            unfinished.mkdir()
            clips = []
            write = partial(_write_clip, unfinished, options)
            for clip in map_in_processes(write, _jobs(options), workers):
                clips.append(clip)
                if on_clip is not None:
                    on_clip()
            _write_metadata(unfinished, options, clips)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be written ({error}); free some space or choose another folder."
        ) from error
    return WrittenDataset(folder, options.counts(), existed=False)


@dataclass(frozen=True)
class _Job:
    """A clip to be made: number `index` of its split."""

    split: str
    index: int


def _jobs(options: SynthavsOptions) -> list[_Job]:
    return [_Job(split, i) for split, count in options.counts().items() for i in range(count)]


def _write_clip(folder: Path, options: SynthavsOptions, job: _Job) -> ClipEntry:
    """Make a clip and write its files; runs in a worker process."""
    clip = draw_clip(options, job.split, job.index)
    component = component_of(options.subset, job.index)
    category = _category(options.subset, clip)
    entry = ClipEntry(_name(options.subset, job, component), job.split, category, component)
    layout = LAYOUTS[options.subset]
    for second in range(entry.seconds):
        frame, numbers = clip.frame(second)
        _save_image(frame, layout.path(layout.frame, folder, entry, second))
        if second < entry.annotated_seconds:
            _write_mask(folder, options.subset, entry, second, _classes(clip, second, numbers))
    write_wav(clip.audio, layout.path(layout.audio, folder, entry))
    if options.videos:
        path = layout.path(layout.video, folder, entry)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(clip, path)
    return entry


def _name(subset: Release, job: _Job, component: str) -> str:
    """Name a clip after AVSBench's fashion: "<video>_<start ms>_<end ms>", in MS3 "<video>_<n>"."""
    split = job.split.replace("_", "-")
    if subset == "ms3":
        return f"synthavs-{split}-{job.index:05d}_0"
    return f"synthavs-{component}-{split}-{job.index:05d}_0_{SECONDS[component] * 1000}"


def _category(subset: Release, clip: SyntheticClip) -> str | None:
    """Say in the words of the subset's table what sounds."""
    if subset == "ms3":
        return None
    seen = {source.category for source in clip.sound_events if source.object_number}
    unseen = {OFF_SCREEN for source in clip.sound_events if not source.object_number}
    return "_".join([*sorted(seen), *unseen]) or NO_SOURCE


def _classes(clip: SyntheticClip, second: int, numbers: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Turn object numbers (R, R) into the class numbers of those that sound, (R, R)."""
    class_of_number = np.zeros(len(clip.scene.objects) + 1, np.uint8)
    for number, category in clip.sounding(second).items():
        class_of_number[number] = CLASS_NAMES.index(category)
    return class_of_number[numbers]


def _write_mask(
    folder: Path, subset: Release, entry: ClipEntry, second: int, classes: NDArray[np.uint8]
) -> None:
    layout = LAYOUTS[subset]
    path = layout.path(layout.mask, folder, entry, second)
    if layout.coloured_mask is None:
        _save_image(np.where(classes, 255, 0).astype(np.uint8), path)
        return
    _save_image(classes, path)
    colours = class_palette(len(CLASS_NAMES))[classes]
    _save_image(colours, layout.path(layout.coloured_mask, folder, entry, second))


def _save_image(pixels: NDArray[np.uint8], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if path.suffix == ".jpg":
        image.save(path, quality=_JPEG_QUALITY)
    else:
        # Noisy pictures hardly get smaller with more effort.
        image.save(path, compress_level=3)


def write_wav(audio: NDArray[np.float32], path: Path) -> None:
    """Write a sound as AVSBench has them, 16-bit mono.

    Args:
        audio: Samples in [-1, 1] at `SAMPLE_RATE`, (S,).
        path: The WAV file; its folder is made if needed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(np.round(audio * 32767).astype("<i2").tobytes())


def _write_metadata(folder: Path, options: SynthavsOptions, clips: list[ClipEntry]) -> None:
    layout = LAYOUTS[options.subset]
    rows = [_metadata_cells(options.subset, clip) for clip in clips]
    write_metadata(folder / layout.metadata, _METADATA_COLUMNS[options.subset], rows)
    if options.subset == "avss":
        numbers = {name: number for number, name in enumerate(CLASS_NAMES)}
        _write_json(folder / CLASS_FILE, numbers)
        write_v3_metadata(folder, clips)
    write_options(folder, options)


def write_options(folder: Path, options: SynthavsOptions) -> None:
    """Say in a folder how it was made.

    Args:
        folder: The folder.
        options: What it was made by.
    """
    _write_json(folder / OPTIONS_FILE, _describe(options))


def _metadata_cells(subset: Release, clip: ClipEntry) -> tuple[object, ...]:
    if subset == "s4":
        return clip.name, 0, clip.category, clip.split
    if subset == "ms3":
        return clip.name, clip.split
    return semantic_cells(clip, clip.split)


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _describe(options: SynthavsOptions) -> dict[str, object]:
    facts = asdict(options)
    del facts["clips"], facts["evaluation_clips"]
    return {"generator_version": GENERATOR_VERSION, **facts, "clips": options.counts()}


def is_written(folder: Path, options: SynthavsOptions) -> bool:
    """Say whether a folder holds what a options gives.

    Args:
        folder: The folder.
        options: The options.

    Returns:
        False if the folder is empty or not there.

    Raises:
        OutputError: If it holds anything else.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    wanted = _describe(options)
    try:
        there = json.loads((folder / OPTIONS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OutputError(
            f"{folder}: exists and has no {OPTIONS_FILE}, so it may not be replaced; "
            "name another folder, or remove it."
        ) from error
    differing = [key for key in wanted if there.get(key) != wanted[key]]
    if not differing:
        return True
    raise OutputError(
        f"{folder}: holds a data set with {_options(there, differing)}; this one would have "
        f"{_options(wanted, differing)}. Name another folder, or remove it."
    )


def _options(description: Mapping[str, object], keys: list[str]) -> str:
    return ", ".join(f"{key} {description.get(key)}" for key in keys)
