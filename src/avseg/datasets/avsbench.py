"""Clips of AVSBench and of everything in its layout, with their true masks.

T frames of H x W pixels, S samples of sound.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avseg.datasets.files import missing, read_audio, read_image, read_mask
from avseg.datasets.layout import LAYOUTS, ClipEntry, Subset, find_folder
from avseg.datasets.metadata import choose_split, read_class_names, read_metadata
from avseg.datasets.palette import UNKNOWN, colours_to_labels
from avseg.errors import DatasetError
from avseg.media.clip import FRAME_POSITION
from avseg.types import Clip


@dataclass(frozen=True, eq=False)
class AnnotatedClip:
    """A clip and the pixels of its sounding objects.

    Attributes:
        clip_id: Name of the clip in its data set.
        category: What sounds, as the data set's table says it; None in MS3, which does not.
        clip: Frames and sound. Frame i was taken at i + 15/16 s (AVSS does not say when, and is
            taken to do as S4 and MS3 do); its sound is second i. Clips of 5 s have 5 frames also
            in AVSS: there is nothing that fills them up to 10, and could be scored.
        masks: Pixels of sounding objects, (T, H, W) bool, False in frames without annotation.
        annotated: Frames whose mask is known, (T,) bool; in the training split of S4 and of v1s
            the first.
        labels: Class number of each pixel, (T, H, W) uint8, 0 the background; None in S4 and MS3.
    """

    clip_id: str
    category: str | None
    clip: Clip
    masks: NDArray[np.bool_]
    annotated: NDArray[np.bool_]
    labels: NDArray[np.uint8] | None


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
        class_names: Classes by number in AVSS and AVS-V3, 0 the background; None otherwise.

    Args:
        root: The subset's folder, or the one that holds it.
        subset: "s4" (single source), "ms3" (multi source), "avss" (semantic), one of its parts
            "v1s", "v1m" and "v2", or "v3" (AVS-V3). "s4_misaligned", "s4_noise", "s4_silent" and
            the same of "ms3" are AVSBench-Robust: the frames and the masks of the true sound, with
            a sound that nothing in the picture makes.
        split: "train", "val", "test", or another that the table has; in AVS-V3 "seen_train",
            "seen_val", "unseen", "1_shot_train", "1_shot_test", and the same of 3 and 5.
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
        self._audio_folder = self._layout.audio_folder(self.folder)
        clips = read_metadata(self.folder, subset)
        self.entries = choose_split(clips, split, self.folder / self._layout.metadata)
        coloured = self._layout.coloured_mask is not None
        self.class_names = read_class_names(self.folder) if coloured else None
        self._check_files()

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
        return self.read(index, range(self.entries[index].seconds))

    def read(self, index: int, seconds: Sequence[int]) -> AnnotatedClip:
        """Read a clip with some of its frames, and its whole sound.

        Args:
            index: Its number.
            seconds: Numbers of T frames, from 0 in their order.

        Returns:
            The clip with the masks of these frames.

        Raises:
            IndexError: If there is no such clip.
            DatasetError: If a file is missing, damaged, or of another size than the others.
        """
        entry = self.entries[index]
        frames = self._read_frames(entry, seconds)
        values = self._read_values(entry, seconds, frames.shape[1:3])
        return AnnotatedClip(
            clip_id=entry.name,
            category=entry.category,
            clip=self._clip(entry, seconds, frames),
            masks=values != 0,
            annotated=np.asarray(seconds) < entry.annotated_seconds,
            labels=values if self.class_names else None,
        )

    def read_frames(
        self, index: int, seconds: Sequence[int]
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Read some frames of a clip, and neither the others nor the sound.

        Args:
            index: Number of the clip.
            seconds: Numbers of n frames, from 0.

        Returns:
            Frames (n, H, W, 3) RGB, and masks (n, H, W), which are empty where none is known.

        Raises:
            IndexError: If there is no such clip.
            DatasetError: If a file is missing, damaged, or of another size than the others.
        """
        entry = self.entries[index]
        frames = self._read_frames(entry, seconds)
        return frames, self._read_values(entry, seconds, frames.shape[1:3]) != 0

    def audio_path(self, index: int) -> Path:
        """Say where the sound of a clip is.

        Args:
            index: Number of the clip.

        Returns:
            The file.
        """
        return self._audio_path(self.entries[index])

    def frame_path(self, index: int, second: int) -> Path:
        """Say where a frame of a clip is.

        Args:
            index: Number of the clip.
            second: Number of the frame, from 0.

        Returns:
            The file.
        """
        return self._frame_path(self.entries[index], second)

    def _clip(self, entry: ClipEntry, numbers: Sequence[int], frames: NDArray[np.uint8]) -> Clip:
        seconds = np.asarray(numbers, np.float64)
        return Clip(
            origin=str(self._frame_path(entry, 0).parent),
            frames=frames,
            frame_times=seconds + FRAME_POSITION,
            audio_times=seconds + 0.5,
            audio=read_audio(self._audio_path(entry), self.sample_rate, entry.seconds),
            audio_start_s=0.0,
            sample_rate=self.sample_rate,
        )

    def _read_frames(self, entry: ClipEntry, seconds: Sequence[int]) -> NDArray[np.uint8]:
        paths = [self._frame_path(entry, second) for second in seconds]
        frames = [read_image(path, "RGB") for path in paths]
        for path, frame in zip(paths, frames, strict=True):
            _check_size(path, frame, frames[0].shape[:2])
        return np.stack(frames)

    def _read_values(
        self, entry: ClipEntry, seconds: Sequence[int], size: tuple[int, ...]
    ) -> NDArray[np.uint8]:
        """Read class numbers in AVSS, else 1 where something sounds; (n, H, W)."""
        values = np.zeros((len(seconds), *size), np.uint8)
        for place, second in enumerate(seconds):
            if second < entry.annotated_seconds:
                path = self._mask_path(entry, second)
                labelled = self.class_names is not None
                mask = self._read_labels(entry, second) if labelled else read_mask(path) != 0
                _check_size(path, mask, size)
                values[place] = mask
        return values

    def _read_labels(self, entry: ClipEntry, second: int) -> NDArray[np.uint8]:
        """Read class numbers from colours, or from where they are stored as such; (H, W)."""
        count = len(self.class_names or ())
        colours = self._colours_path(entry, second)
        if colours is not None:
            labels = colours_to_labels(read_image(colours, "RGB"), count)
            labels[labels == UNKNOWN] = 0  # as in AVSBench's own reader
            return labels
        path = self._mask_path(entry, second)
        labels = read_mask(path)
        if labels.max() >= count:
            raise DatasetError(
                f"{path}: has class {labels.max()}, but label2idx.json ends at {count - 1}; "
                "do both come from one data set?"
            )
        return labels

    def _frame_path(self, entry: ClipEntry, second: int) -> Path:
        return self._layout.path(self._layout.frame, self.folder, entry, second)

    def _audio_path(self, entry: ClipEntry) -> Path:
        return self._layout.path(self._layout.audio, self._audio_folder, entry)

    def _mask_path(self, entry: ClipEntry, second: int) -> Path:
        colours = self._colours_path(entry, second)
        return colours or self._layout.path(self._layout.mask, self.folder, entry, second)

    def _colours_path(self, entry: ClipEntry, second: int) -> Path | None:
        """Say where the classes are in colours, from which AVSBench's own reader takes them.

        None in S4 and MS3, and where a copy has only their numbers.
        """
        layout = self._layout
        if layout.coloured_mask is None:
            return None
        colours = layout.path(layout.coloured_mask, self.folder, entry, second)
        numbers = layout.path(layout.mask, self.folder, entry, second)
        return colours if colours.exists() or not numbers.exists() else None

    def _check_files(self) -> None:
        entry = self.entries[0]
        wanted = (
            self._frame_path(entry, entry.seconds - 1),
            self._audio_path(entry),
            self._mask_path(entry, entry.annotated_seconds - 1),
        )
        for path in wanted:
            if not path.is_file():
                raise missing(path)


def _check_size(path: Path, image: NDArray[np.generic], size: tuple[int, ...]) -> None:
    if image.shape[:2] != size:
        raise DatasetError(
            f"{path}: is {image.shape[0]} x {image.shape[1]} pixels (height x width), the clip's "
            f"first frame {size[0]} x {size[1]}; frames and masks of a clip must have one size."
        )
