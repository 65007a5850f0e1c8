"""Reader for AVSBench and other data sets in its layout: clips with ground-truth masks.

T is the number of frames of a clip, H x W their height and width, n the number of requested frames.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avseg.datasets.files import check_is_file, is_file, read_audio_rows, read_image, read_mask
from avseg.datasets.layout import LAYOUTS, ClipEntry, Subset, find_folder
from avseg.datasets.metadata import choose_split, read_class_names, read_metadata
from avseg.datasets.palette import UNKNOWN, colours_to_labels
from avseg.errors import DatasetError
from avseg.media.clip import FRAME_POSITION
from avseg.types import Clip


@dataclass(frozen=True, eq=False)
class AnnotatedClip:
    """Clip with its ground-truth masks.

    Attributes:
        clip_id: Name of the clip in its data set.
        category: Sounding categories as in the metadata; None in MS3, whose metadata has none.
        clip: Frames and audio. Frame i was taken at i + 15/16 s, and its audio is second i. AVSS
            does not document the times of its frames; the same rule is assumed. Clips of 5 s have 5
            frames in AVSS too: they are not padded to 10, since padding would be scored.
        masks: Ground-truth masks of the sounding objects, (T, H, W) bool, empty in frames without
            annotation.
        annotated: Whether each frame has a ground-truth mask, (T,) bool. In the training splits of
            S4 and v1s only the first has.
        labels: Class number of each pixel, (T, H, W) uint8, 0 for the background; None in S4 and
            MS3.
    """

    clip_id: str
    category: str | None
    clip: Clip
    masks: NDArray[np.bool_]
    annotated: NDArray[np.bool_]
    labels: NDArray[np.uint8] | None


class AVSBench:
    """One split of a subset as a sequence of clips, each read from disk on access.

    It is a map-style data set, for instance for PyTorch's DataLoader. The pickled spectrograms of
    AVSBench (`audio_log_mel`) are not read; each model computes its own from the audio.

    Attributes:
        folder: Folder of the subset.
        subset: Name of the subset.
        split: Name of the split.
        sample_rate: Sample rate of the audio, in Hz.
        audio_channels: Number of audio channels of a clip, 1 or 2.
        entries: Metadata of the clips, in the order of the metadata file.
        class_names: Class names by class number in AVSS and AVS-V3, 0 for the background; None
            otherwise.

    Args:
        root: Folder of the subset, or the folder that contains it.
        subset: "s4" (single source), "ms3" (multiple sources), "avss" (semantic), one of its
            components "v1s", "v1m" and "v2", or "v3" (AVS-V3). "s4_misaligned", "s4_noise",
            "s4_silent" and the same for "ms3" are AVSBench-Robust: the original frames and masks
            with audio that no visible object makes.
        split: "train", "val", "test", or another split of the metadata; in AVS-V3 "seen_train",
            "seen_val", "unseen", "1_shot_train", "1_shot_test", and the same for 3 and 5 shots.
        sample_rate: Sample rate to which the audio is resampled, in Hz.
        audio_channels: 2 for clips with left and right channel beside their mono audio, else 1.

    Raises:
        DatasetError: If the folder, its metadata, the split or a file of its first clip is missing.
        ValueError: If the name of the subset is unknown.
    """

    def __init__(
        self,
        root: str | PathLike[str],
        subset: Subset = "s4",
        split: str = "test",
        sample_rate: int = 16000,
        audio_channels: int = 1,
    ) -> None:
        self.folder = find_folder(Path(root), subset)
        self.subset: Subset = subset
        self.split = split
        self.sample_rate = sample_rate
        self.audio_channels = audio_channels
        self._layout = LAYOUTS[subset]
        self._audio_folder = self._layout.audio_folder(self.folder)
        entries = read_metadata(self.folder, subset)
        self.entries = choose_split(entries, split, self.folder / self._layout.metadata)
        # Only layouts with maps of colours have classes, in label2idx.json.
        coloured = self._layout.coloured_mask is not None
        self.class_names = read_class_names(self.folder) if coloured else None
        self._check_files()

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[AnnotatedClip]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> AnnotatedClip:
        """Read a clip with all of its frames.

        Args:
            index: Index of the clip, from 0; negative indices count from the end.

        Returns:
            The clip with its ground-truth masks.

        Raises:
            IndexError: If the index is out of range.
            DatasetError: If a file is missing, damaged, or has another size than the others.
        """
        return self.read(index, range(self.entries[index].seconds))

    def read(self, index: int, seconds: Sequence[int]) -> AnnotatedClip:
        """Read a clip with some of its frames and all of its audio.

        Args:
            index: Index of the clip.
            seconds: Indices of T frames, from 0, in ascending order.

        Returns:
            The clip with the ground-truth masks of these frames.

        Raises:
            IndexError: If the index is out of range.
            DatasetError: If a file is missing, damaged, or has another size than the others.
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
        """Read some frames of a clip with their masks, without the audio.

        Args:
            index: Index of the clip.
            seconds: Indices of n frames, from 0.

        Returns:
            Frames, (n, H, W, 3) uint8 RGB, and ground-truth masks, (n, H, W) bool, which are empty
            for frames without annotation.

        Raises:
            IndexError: If the index is out of range.
            DatasetError: If a file is missing, damaged, or has another size than the others.
        """
        entry = self.entries[index]
        frames = self._read_frames(entry, seconds)
        return frames, self._read_values(entry, seconds, frames.shape[1:3]) != 0

    def audio_path(self, index: int) -> Path:
        """Return the path of a clip's audio file.

        Args:
            index: Index of the clip.

        Returns:
            The path.
        """
        return self._audio_path(self.entries[index])

    def frame_path(self, index: int, second: int) -> Path:
        """Return the path of a clip's frame image.

        Args:
            index: Index of the clip.
            second: Index of the frame, from 0.

        Returns:
            The path.
        """
        return self._frame_path(self.entries[index], second)

    def _clip(self, entry: ClipEntry, seconds: Sequence[int], frames: NDArray[np.uint8]) -> Clip:
        starts_s = np.asarray(seconds, np.float64)
        rows = read_audio_rows(
            self._audio_path(entry), self.sample_rate, entry.seconds, self.audio_channels
        )
        return Clip(
            origin=str(self._frame_path(entry, 0).parent),
            frames=frames,
            # The files do not store times. Frame and audio of a second are related by AVSBench's
            # extraction, as in `media.clip` at 1 frame per second.
            frame_times=starts_s + FRAME_POSITION,
            audio_times=starts_s + 0.5,
            audio=rows[0],
            audio_start_s=0.0,
            sample_rate=self.sample_rate,
            channels=rows[1:] if self.audio_channels == 2 else None,
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
        """Read class numbers in AVSS, else 1 for sounding objects, (n, H, W)."""
        values = np.zeros((len(seconds), *size), np.uint8)
        for place, second in enumerate(seconds):
            if second < entry.annotated_seconds:
                path = self._mask_path(entry, second)
                # Any nonzero value is marked: some copies store masks with other values than 255.
                labelled = self.class_names is not None
                mask = self._read_labels(entry, second) if labelled else read_mask(path) != 0
                _check_size(path, mask, size)
                values[place] = mask
        return values

    def _read_labels(self, entry: ClipEntry, second: int) -> NDArray[np.uint8]:
        """Read class numbers from the map of colours, or else from the map of numbers, (H, W)."""
        count = len(self.class_names or ())
        # Colours first, as in AVSBench's own reader: in some copies the two maps differ.
        colours = self._colours_path(entry, second)
        if colours is not None:
            labels = colours_to_labels(read_image(colours, "RGB"), count)
            labels[labels == UNKNOWN] = 0  # as AVSBench's own reader does
            return labels
        path = self._mask_path(entry, second)
        labels = read_mask(path)
        if labels.max() >= count:
            raise DatasetError(
                f"{path}: has class {labels.max()}, but the last class of label2idx.json is "
                f"{count - 1}; use the label2idx.json of the same data set."
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
        """Return the path of a map of class colours, which AVSBench's own reader uses.

        None in S4 and MS3, and if a copy of the data set has only the maps of class numbers.
        """
        layout = self._layout
        if layout.coloured_mask is None:
            return None
        colours = layout.path(layout.coloured_mask, self.folder, entry, second)
        numbers = layout.path(layout.mask, self.folder, entry, second)
        return colours if is_file(colours) or not is_file(numbers) else None

    def _check_files(self) -> None:
        """Raise an error early if the first clip lacks a file: the layout is probably wrong."""
        entry = self.entries[0]
        required = (
            # The last frame and mask, which a copy with another numbering would lack.
            self._frame_path(entry, entry.seconds - 1),
            self._audio_path(entry),
            self._mask_path(entry, entry.annotated_seconds - 1),
        )
        for path in required:
            check_is_file(path)


def _check_size(path: Path, image: NDArray[np.generic], size: tuple[int, ...]) -> None:
    if image.shape[:2] != size:
        raise DatasetError(
            f"{path}: is {image.shape[0]} x {image.shape[1]} pixels (height x width), the clip's "
            f"first frame {size[0]} x {size[1]}; frames and masks of a clip must have one size."
        )
