"""Writer of SynthAVS data sets in AVSBench's layouts, so that code for AVSBench can read them.

The same options give the same frames, masks and audio byte for byte, whatever the number of
processes. AVSBench's pickled spectrograms (`audio_log_mel`) are not written; models compute their
own from the audio.

R is the side of the square frames in pixels, S the number of audio samples.
"""

import json
import wave
from collections.abc import Callable, Mapping
from contextlib import closing
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
from avseg.synthavs.clips import SyntheticClip
from avseg.synthavs.generators import SynthavsOptions, component_of, draw_clip
from avseg.synthavs.sounds import SAMPLE_RATE
from avseg.synthavs.video import write_video

#: File with the options of a data set.
OPTIONS_FILE = "synthavs.json"

#: Class names by class number, as in AVSS's `label2idx.json`; 0 is the background.
CLASS_NAMES = ("background", *CATEGORIES)

_METADATA_COLUMNS: dict[Release, tuple[str, ...]] = {
    "s4": ("video_name", "start_time", "category", "split"),
    "ms3": ("video_name", "split"),
    "avss": SEMANTIC_COLUMNS,
}
#: AVSS stores its frames as JPEG; a high quality keeps the edges of objects where the masks are.
_JPEG_QUALITY = 95


@dataclass(frozen=True)
class WrittenDataset:
    """Synthetic data set on disk.

    Attributes:
        folder: Folder of the subset.
        counts: Number of clips of each split.
        existed: Whether an earlier call wrote it with the same options; then nothing was written.
        negatives: Folder of its negative audio; None if no negative audio was requested.
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
    """Write a subset of SynthAVS; its folder appears when it is complete.

    Args:
        root: Folder to which the folder of the subset ("Single-source", "Multi-sources" or
            "AVSBench_semantic") is written; subsets can share it.
        options: Options of the data set.
        workers: Number of processes; None for one per core.
        on_clip: Called after each clip.

    Returns:
        Folder and number of clips.

    Raises:
        OutputError: If the folder contains other files, or cannot be written.
        ValueError: If `workers` is less than 1.
    """
    folder = root / LAYOUTS[options.subset].folders[0]
    # Repeating a call must be fast, and must never replace other data.
    if is_written(folder, options):
        return WrittenDataset(folder, options.counts(), existed=True)
    try:
        with replace_when_complete(folder) as unfinished:
            unfinished.mkdir()
            clips = []
            write = partial(_write_clip, unfinished, options)
            with closing(map_in_processes(write, _clip_indices(options), workers)) as written:
                for clip in written:
                    clips.append(clip)
                    if on_clip is not None:
                        on_clip()
            _write_metadata(unfinished, options, clips)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be written ({error}); free disk space or choose another folder."
        ) from error
    return WrittenDataset(folder, options.counts(), existed=False)


@dataclass(frozen=True)
class _ClipIndex:
    """Split and index of a clip."""

    split: str
    index: int


def _clip_indices(options: SynthavsOptions) -> list[_ClipIndex]:
    return [_ClipIndex(split, i) for split, count in options.counts().items() for i in range(count)]


def _write_clip(folder: Path, options: SynthavsOptions, number: _ClipIndex) -> ClipEntry:
    """Draw a clip and write its files; called in a worker process."""
    clip = draw_clip(options, number.split, number.index)
    component = component_of(options.subset, number.index)
    category = _category(options.subset, clip)
    entry = ClipEntry(_name(options.subset, number, component), number.split, category, component)
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


def _name(subset: Release, number: _ClipIndex, component: str) -> str:
    """Return a name in AVSBench's form: "<video>_<start ms>_<end ms>", or "<video>_<n>" in MS3."""
    # An underscore separates the fields of a name, so the split must not contain any.
    split = number.split.replace("_", "-")
    if subset == "ms3":
        return f"synthavs-{split}-{number.index:05d}_0"
    return f"synthavs-{component}-{split}-{number.index:05d}_0_{SECONDS[component] * 1000}"


def _category(subset: Release, clip: SyntheticClip) -> str | None:
    """Return the sounding categories as the metadata of the subset list them."""
    if subset == "ms3":
        return None
    # Off-screen sounds are listed by one common name, without their category.
    visible = {event.category for event in clip.sound_events if event.object_number}
    off_screen = {OFF_SCREEN for event in clip.sound_events if not event.object_number}
    return "_".join([*sorted(visible), *off_screen]) or NO_SOURCE


def _classes(clip: SyntheticClip, second: int, numbers: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert object numbers, (R, R), to the class numbers of sounding objects, (R, R)."""
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
        # Higher levels take much longer, and hardly reduce the size of noisy images.
        image.save(path, compress_level=3)


def write_wav(audio: NDArray[np.float32], path: Path) -> None:
    """Write audio in the form of AVSBench's files, as a 16-bit mono WAV file.

    Args:
        audio: Samples in [-1, 1] at `SAMPLE_RATE`, (S,).
        path: WAV file to write; its folder is created if needed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        # 1.0 becomes 32767, the largest 16-bit value. "<i2", because WAV files are little-endian.
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
    """Write the options of a data set to its folder.

    Args:
        folder: Folder of the data set.
        options: Options of the data set.
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
    # The resolved numbers of clips, so that a default equals the same number given explicitly.
    facts = asdict(options)
    del facts["clips"], facts["evaluation_clips"]
    version = facts.pop("generator_version")
    return {"generator_version": version, **facts, "clips": options.counts()}


def is_written(folder: Path, options: SynthavsOptions) -> bool:
    """Return whether a folder contains the data set of the given options.

    Args:
        folder: The folder.
        options: Options of the data set.

    Returns:
        True if it does; False if the folder is empty or does not exist.

    Raises:
        OutputError: If the folder contains anything else.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    expected = _describe(options)
    try:
        found = dict(json.loads((folder / OPTIONS_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise OutputError(
            f"{folder}: exists and has no {OPTIONS_FILE}, so it may not be replaced; choose "
            "another folder, or remove it."
        ) from error
    differing = [key for key in expected if found.get(key) != expected[key]]
    if not differing:
        return True
    raise OutputError(
        f"{folder}: contains a data set with {_options(found, differing)}; this one would have "
        f"{_options(expected, differing)}. Choose another folder, or remove it."
    )


def _options(description: Mapping[str, object], keys: list[str]) -> str:
    return ", ".join(f"{key} {description.get(key)}" for key in keys)
