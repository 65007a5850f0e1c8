"""Class label of each pixel, read from the data set or rendered again for SynthAVS.

T is the number of frames, H x W their height and width in pixels.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from avseg.datasets.avsbench import AnnotatedClip, AVSBench
from avseg.datasets.metadata import NO_SOURCE, visible_objects
from avseg.errors import DatasetError
from avseg.synthavs.contents import SynthavsSplit, find_synthavs_split
from avseg.synthavs.writer import CLASS_NAMES


@dataclass(frozen=True)
class SemanticSplit:
    """Split with a class label for each pixel.

    AVSS, its components and AVS-V3 store label maps. S4 and MS3 of SynthAVS do not: in S4 the masks
    have the category of their clip, and clips of MS3 are rendered again with their categories.

    Attributes:
        split: The split.
        names: Class names by class number, 0 for the background.
        generated: Generator of the split, which renders its labels; None if they are stored.
        rendered: Label maps rendered so far, (T, H, W), by index of the clip. They are kept because
            rendering takes many times as long as reading.
    """

    split: AVSBench
    names: tuple[str, ...]
    generated: SynthavsSplit | None
    rendered: dict[int, NDArray[np.uint8]] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, split: AVSBench) -> "SemanticSplit":
        """Open a split with its class labels.

        Args:
            split: The split.

        Returns:
            The split with its labels.

        Raises:
            DatasetError: If the labels are neither stored nor can be rendered.
        """
        if split.class_names is not None:
            return cls(split, split.class_names, None)
        generated = find_synthavs_split(split)
        if generated is None:
            other = {"s4": "v1s", "ms3": "v1m"}.get(split.subset, "avss")
            raise DatasetError(
                f"{split.folder}: {split.subset} has no class labels; use {other}, the same clips "
                "in AVSBench_semantic."
            )
        return cls(split, CLASS_NAMES, generated)

    def __len__(self) -> int:
        return len(self.split)

    def within(self, names: Collection[str]) -> list[int]:
        """Return the clips that have only the given classes, according to the metadata.

        Args:
            names: Class names.

        Returns:
            Indices of the clips, ascending, including clips without a category in the metadata.
        """
        return [
            number
            for number, entry in enumerate(self.split.entries)
            if set(visible_objects(entry.category or NO_SOURCE)) <= set(names)
        ]

    def read(
        self, index: int, seconds: Sequence[int] | None = None
    ) -> tuple[AnnotatedClip, NDArray[np.uint8]]:
        """Read a clip with the class label of each pixel.

        Args:
            index: Index of the clip.
            seconds: Indices of T frames, from 0, in ascending order; None for all.

        Returns:
            The clip, and class numbers, (T, H, W) uint8, 0 for the background and in frames without
            annotation.
        """
        seconds = range(self.split.entries[index].seconds) if seconds is None else seconds
        clip = self.split.read(index, seconds)
        if clip.labels is not None:
            return clip, clip.labels
        if clip.category is not None:
            return clip, clip.masks * np.uint8(self.names.index(clip.category))
        if index not in self.rendered:
            self.rendered[index] = self._render(index)
        # The stored masks are empty in frames without annotation, which therefore become 0.
        return clip, self.rendered[index][list(seconds)] * clip.masks

    def _render(self, index: int) -> NDArray[np.uint8]:
        assert self.generated is not None  # noqa: S101 - checked by `open`
        clip = self.generated.draw(index)
        maps = []
        for second in range(self.split.entries[index].seconds):
            numbers = clip.frame(second)[1]
            classes = np.zeros(int(numbers.max()) + 1, np.uint8)
            for number, category in clip.sounding(second).items():
                if number < len(classes):  # otherwise other objects hide it completely
                    classes[number] = self.names.index(category)
            maps.append(classes[numbers])
        return np.stack(maps)
