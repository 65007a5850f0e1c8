"""Clips of AVSBench and of everything in its layout, with their true masks.

T frames of H x W pixels, S samples of sound.
"""

import wave
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from avseg.datasets.layout import (
    LAYOUTS,
    ClipEntry,
    Subset,
    choose_split,
    class_palette,
    find_folder,
    read_class_names,
    read_table,
)
from avseg.errors import ClipError, DatasetError
from avseg.media.audio import Sound
from avseg.media.clip import FRAME_POSITION
from avseg.media.container import open_media
from avseg.types import Clip


@dataclass(frozen=True, eq=False)
class AnnotatedClip:
    """A clip and the pixels of its sounding objects.

    Attributes:
        clip_id: Name of the clip in its data set.
        category: What sounds, as the data set's table says it; None in MS3, which does not.
        clip: Frames and sound. Frame i was taken at i + 15/16 s (AVSS does not say when, and is
            taken to do as S4 and MS3 do); its sound is second i.
        masks: Pixels of sounding objects, (T, H, W) bool, False in frames without annotation.
        annotated: Frames whose mask is known, (T,) bool; in the training split of S4 the first.
        classes: Class number of each pixel, (T, H, W) uint8, 0 the background; None but for AVSS.
    """

    clip_id: str
    category: str | None
    clip: Clip
    masks: NDArray[np.bool_]
    annotated: NDArray[np.bool_]
    classes: NDArray[np.uint8] | None


class AVSBench:
    """One split of a subset as a sequence of clips; each is read from disk when it is asked for.

    Anything that takes a map-style data set can use it, PyTorch's DataLoader for one. The pickled
    spectrograms of AVSBench (`audio_log_mel`) are not read: each model makes its own of the sound.

    Attributes:
        folder: The subset's folder.
        subset: Which subset.
        split: Which split.
        sample_rate: Of the sound, in Hz.
        entries: The clips by name, in the order of the table.
        class_names: Classes by number in AVSS, 0 the background; None otherwise.

    Args:
        root: The subset's folder, or the one that holds it.
        subset: "s4" (single source), "ms3" (multi source) or "avss" (semantic).
        split: "train", "val", "test", or another that the table has.
        sample_rate: To which the sound is resampled, in Hz.

    Raises:
        DatasetError: If the folder, its table, the split or a file of its first clip is missing.
        ValueError: If there is no such subset.
    """

    def __init__(
        self,
        root: str | PathLike[str],
        subset: Subset = "s4",
        split: str = "test",
        sample_rate: int = 16000,
    ) -> None:
        self.folder = find_folder(Path(root), subset)
        self.subset: Subset = subset
        self.split = split
        self.sample_rate = sample_rate
        self._layout = LAYOUTS[subset]
        clips = read_table(self.folder, subset)
        self.entries = choose_split(clips, split, self.folder / self._layout.table)
        self.class_names = read_class_names(self.folder) if subset == "avss" else None
        self._check_files(self.entries[0])

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[AnnotatedClip]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> AnnotatedClip:
        """Read a clip.

        Args:
            index: Its number, from 0; negative ones count from the end.

        Returns:
            The clip with its masks.

        Raises:
            IndexError: If there is no such number.
            DatasetError: If a file is missing, damaged, or of another size than the others.
        """
        entry = self.entries[index]
        clip = self._read_clip(entry)
        annotated = np.arange(entry.seconds) < entry.annotated_seconds
        values = np.zeros(clip.frames.shape[:3], np.uint8)
        for second in range(entry.annotated_seconds):
            values[second] = self._read_mask(entry, second, clip.frames.shape[1:3])
        return AnnotatedClip(
            clip_id=entry.name,
            category=entry.category,
            clip=clip,
            masks=values != 0,
            annotated=annotated,
            classes=values if self.class_names else None,
        )

    def _read_clip(self, entry: ClipEntry) -> Clip:
        layout, seconds = self._layout, np.arange(entry.seconds, dtype=np.float64)
        paths = [layout.path(layout.frame, self.folder, entry, i) for i in range(entry.seconds)]
        frames = [_read_image(path, "RGB") for path in paths]
        for path, frame in zip(paths, frames, strict=True):
            _check_size(path, frame, frames[0].shape[:2])
        return Clip(
            source=str(paths[0].parent),
            frames=np.stack(frames),
            frame_times=seconds + FRAME_POSITION,
            sound_times=seconds + 0.5,
            audio=_read_audio(
                layout.path(layout.audio, self.folder, entry),
                self.sample_rate,
                entry.seconds,
            ),
            audio_start_s=0.0,
            sample_rate=self.sample_rate,
        )

    def _read_mask(self, entry: ClipEntry, second: int, size: tuple[int, ...]) -> NDArray[np.uint8]:
        """Read class numbers in AVSS, else something that is 0 where nothing sounds; (H, W)."""
        path = self._mask_path(entry, second)
        values = _read_image(path)
        _check_size(path, values, size)
        if self.class_names is None:
            # Of a coloured mask, alpha says nothing.
            return values if values.ndim == 2 else values[..., :3].max(axis=-1)
        if values.ndim == 3:
            return _colours_to_classes(values[..., :3], len(self.class_names))
        if values.max() >= len(self.class_names):
            raise DatasetError(
                f"{path}: has class {values.max()}, but label2idx.json ends at "
                f"{len(self.class_names) - 1}; do both come from one data set?"
            )
        return values

    def _mask_path(self, entry: ClipEntry, second: int) -> Path:
        layout = self._layout
        path = layout.path(layout.mask, self.folder, entry, second)
        # AVSBench's first release has the classes in colours only.
        if layout.coloured_mask is not None and not path.exists():
            return layout.path(layout.coloured_mask, self.folder, entry, second)
        return path

    def _check_files(self, entry: ClipEntry) -> None:
        layout, last = self._layout, entry.seconds - 1
        wanted = (
            layout.path(layout.frame, self.folder, entry, last),
            layout.path(layout.audio, self.folder, entry),
            self._mask_path(entry, entry.annotated_seconds - 1),
        )
        for path in wanted:
            if not path.is_file():
                raise _missing(path)


def _read_image(path: Path, mode: str | None = None) -> NDArray[np.uint8]:
    """Read pixels as stored (of a palette image, the indices), or in a mode of Pillow's."""
    try:
        with Image.open(path) as image:
            if mode is None and image.mode == "1":
                return np.asarray(image.convert("L"))
            return np.asarray(image if mode in {None, image.mode} else image.convert(mode))
    except FileNotFoundError as error:
        raise _missing(path) from error
    except (UnidentifiedImageError, OSError) as error:
        raise DatasetError(
            f"{path}: cannot be read as an image ({error}); copy it again."
        ) from error


def _read_audio(path: Path, sample_rate: int, seconds: int) -> NDArray[np.float32]:
    """Read the first so many seconds; sound that ends earlier is followed by silence."""
    if not path.is_file():
        raise _missing(path)
    count = seconds * sample_rate
    audio = _read_plain_wav(path, sample_rate, count)
    if audio is None:
        audio = _decode_audio(path, sample_rate, count)
    return audio


def _read_plain_wav(path: Path, sample_rate: int, count: int) -> NDArray[np.float32] | None:
    """Read a 16-bit WAV file that has the wanted rate; for any other return None.

    This is what AVSBench's files are, and ten times as fast as the general way.
    """
    try:
        with wave.open(str(path), "rb") as file:
            if file.getsampwidth() != 2 or file.getframerate() != sample_rate:
                return None
            channels, promised = file.getnchannels(), file.getnframes()
            samples = np.frombuffer(file.readframes(count), "<i2")
    except (wave.Error, EOFError):
        return None
    if len(samples) != min(count, promised) * channels:
        raise DatasetError(
            f"{path}: the sound ends early, at {len(samples) / channels / sample_rate:.2f} s of "
            f"{promised / sample_rate:.2f} s; copy it again."
        )
    mono = samples.reshape(-1, channels).mean(axis=1, dtype=np.float32) / np.float32(32768)
    return np.pad(mono, (0, count - len(mono)))


def _decode_audio(path: Path, sample_rate: int, count: int) -> NDArray[np.float32]:
    """Read any sound, and resample it."""
    try:
        with open_media(path) as container:
            if not container.streams.audio:
                raise DatasetError(f"{path}: holds no sound; copy it again.")
            sound = Sound(container, container.streams.audio[0], sample_rate, str(path))
            audio = sound.read(0, count)
            damage = sound.damage()
    except ClipError as error:
        damage, audio = error, np.zeros(0, np.float32)
    if damage is not None:
        raise DatasetError(f"{path}: the sound cannot be read: {damage.problem}") from damage
    return audio


def _colours_to_classes(colours: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """Turn palette colours (H, W, 3) into class numbers (H, W); unknown colours are background."""
    weights = np.array([1 << 16, 1 << 8, 1], np.int32)
    codes = class_palette(count) @ weights
    order = np.argsort(codes)
    pixels = colours @ weights
    places = np.searchsorted(codes[order], pixels).clip(max=count - 1)
    numbers = order[places]
    return np.where(codes[numbers] == pixels, numbers, 0).astype(np.uint8)


def _check_size(path: Path, image: NDArray[np.uint8], size: tuple[int, ...]) -> None:
    if image.shape[:2] != size:
        raise DatasetError(
            f"{path}: is {image.shape[0]} x {image.shape[1]} pixels (height x width), the clip's "
            f"first frame {size[0]} x {size[1]}; frames and masks of a clip must have one size."
        )


def _missing(path: Path) -> DatasetError:
    parent = path.parent
    while not parent.exists():
        parent = parent.parent
    return DatasetError(
        f"{path}: there is no such file (what is there ends at {parent}); the data set is not "
        "complete, or not in AVSBench's layout: unpack or copy it again."
    )
