"""The class of every pixel, where the data set tells it or can be drawn anew.

T frames of H x W pixels.
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
    """A split whose pixels have a class.

    AVSS, its parts and AVS-V3 have maps of classes. SynthAVS's S4 and MS3 have none, but what
    sounds in S4 has the clip's category, and MS3 can be drawn anew with all that is known.

    Attributes:
        split: The split.
        names: Classes by number, 0 the background.
        generated: What draws the split anew, if it is needed.
        drawn: What was drawn so far, by number of the clip: drawing takes many times as long as
            reading.
    """

    split: AVSBench
    names: tuple[str, ...]
    generated: SynthavsSplit | None
    drawn: dict[int, NDArray[np.uint8]] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, split: AVSBench) -> "SemanticSplit":
        """Find out where a split's classes are.

        Args:
            split: The split.

        Returns:
            The split with its classes.

        Raises:
            DatasetError: If nothing tells them.
        """
        if split.class_names is not None:
            return cls(split, split.class_names, None)
        generated = find_synthavs_split(split)
        if generated is None:
            other = {"s4": "v1s", "ms3": "v1m"}.get(split.subset, "avss")
            raise DatasetError(
                f"{split.folder}: {split.subset} does not tell the class of its pixels; take "
                f"{other}, the same clips in AVSBench_semantic."
            )
        return cls(split, CLASS_NAMES, generated)

    def __len__(self) -> int:
        return len(self.split)

    def within(self, names: Collection[str]) -> list[int]:
        """Find the clips that have no other classes, as far as the table tells.

        Args:
            names: Classes.

        Returns:
            Numbers of the clips, in order. A clip of which nothing is told is among them.
        """
        return [
            number
            for number, entry in enumerate(self.split.entries)
            if set(visible_objects(entry.category or NO_SOURCE)) <= set(names)
        ]

    def read(
        self, index: int, seconds: Sequence[int] | None = None
    ) -> tuple[AnnotatedClip, NDArray[np.uint8]]:
        """Read a clip and the classes of its pixels.

        Args:
            index: Number of the clip.
            seconds: Numbers of T frames, from 0 in their order; None for all.

        Returns:
            The clip, and class numbers (T, H, W), 0 where nothing sounds or nothing is known.
        """
        seconds = range(self.split.entries[index].seconds) if seconds is None else seconds
        clip = self.split.read(index, seconds)
        if clip.labels is not None:
            return clip, clip.labels
        if clip.category is not None:
            return clip, clip.masks * np.uint8(self.names.index(clip.category))
        if index not in self.drawn:
            self.drawn[index] = self._draw(index)
        return clip, self.drawn[index][list(seconds)] * clip.masks

    def _draw(self, index: int) -> NDArray[np.uint8]:
        assert self.generated is not None  # noqa: S101 - `open` has seen to it
        drawn = self.generated.draw(index)
        maps = []
        for second in range(self.split.entries[index].seconds):
            numbers = drawn.frame(second)[1]
            classes = np.zeros(int(numbers.max()) + 1, np.uint8)
            for number, category in drawn.sounding(second).items():
                if number < len(classes):  # it may be hidden
                    classes[number] = self.names.index(category)
            maps.append(classes[numbers])
        return np.stack(maps)
