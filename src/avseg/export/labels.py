"""Label maps of named sources: each pixel has the number of the source that it belongs to."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from avseg.errors import OutputError
from avseg.types import NamedSource, Segmentation

#: Number of all sounding objects if the sources have no names.
SOUNDING = 1
#: Largest number of sources in an 8-bit label map.
MAX_SOURCES = 255

Labels = npt.NDArray[np.uint8]


class SourceNumbers:
    """Assigns the numbers 1, 2, ... to the sources of a video in order of their first mask.

    Sources that first have a mask in the same frame are ordered by descending score. The numbers do
    not depend on how the video is divided into chunks.

    Attributes:
        by_name: Number of each source that had a mask so far.
    """

    def __init__(self) -> None:
        self.by_name: dict[str, int] = {}

    def label(self, segmentation: Segmentation) -> Iterator[tuple[Labels, list[NamedSource]]]:
        """Compute the label map of each frame of the next chunk.

        Args:
            segmentation: Frames that follow those labelled so far.

        Yields:
            Label map of each frame, (H, W) uint8, 0 for the background; and the sources with a mask
            in the frame, by descending score. Where sources overlap, the label is that of the
            highest score. Without named sources all sounding objects have the label 1.

        Raises:
            OutputError: If the video has more sources than an 8-bit label map can number.
        """
        for k, mask in enumerate(segmentation.masks):
            if segmentation.sources is None:
                yield mask.astype(np.uint8) * np.uint8(SOUNDING), []
                continue
            marked = [source for source in segmentation.sources if not source.packed[k].is_empty]
            marked.sort(key=lambda source: (-source.scores[k], source.name))
            labels = np.zeros(mask.shape, np.uint8)
            for source in marked:
                self._number(source.name, segmentation.origin)
            # The highest score last, so that it overwrites the others.
            for source in reversed(marked):
                labels[source.packed[k].unpack()] = self.by_name[source.name]
            yield labels, marked

    def _number(self, name: str, video: str) -> None:
        if len(self.by_name) == MAX_SOURCES and name not in self.by_name:
            raise OutputError(
                f"{video}: {name!r} is source number {MAX_SOURCES + 1} of this video; mask files "
                f"can number at most {MAX_SOURCES}. Use a vocabulary with fewer names."
            )
        self.by_name.setdefault(name, len(self.by_name) + 1)
