"""Named sources in one picture: each pixel holds the number of the source that is there."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from avseg.errors import OutputError
from avseg.types import NamedSource, Segmentation

#: Number of what sounds where sources have no names.
SOUNDING = 1
#: How many sources an 8-bit picture can number.
MAX_SOURCES = 255

Labels = npt.NDArray[np.uint8]


class SourceNumbers:
    """Numbers the sources of one video 1, 2, ... in the order in which they are first marked.

    Of those first marked in the same frame, the one with the better score comes first. Chunks give
    the same numbers as the whole.

    Attributes:
        of: The number of each source seen so far, by its name.
    """

    def __init__(self) -> None:
        self.of: dict[str, int] = {}

    def label(self, segmentation: Segmentation) -> Iterator[tuple[Labels, list[NamedSource]]]:
        """Go through the next chunk frame by frame.

        Args:
            segmentation: The frames that follow those labelled so far.

        Yields:
            For each frame its labels, (H, W) uint8, 0 where nothing sounds, and where two sources
            overlap the number of the one with the better score; and the sources marked in it, the
            better score first. Without names all that sounds is 1.

        Raises:
            OutputError: If the video has more sources than 8 bits can number.
        """
        for k, mask in enumerate(segmentation.masks):
            if segmentation.sources is None:
                yield mask.astype(np.uint8) * np.uint8(SOUNDING), []
                continue
            marked = [source for source in segmentation.sources if source.masks[k].any()]
            marked.sort(key=lambda source: (-source.scores[k], source.name))
            labels = np.zeros(mask.shape, np.uint8)
            for source in marked:
                self._number(source.name, segmentation.origin)
            for source in reversed(marked):
                labels[source.masks[k]] = self.of[source.name]
            yield labels, marked

    def _number(self, name: str, video: str) -> None:
        if len(self.of) == MAX_SOURCES and name not in self.of:
            raise OutputError(
                f"{video}: {name!r} is its source number {MAX_SOURCES + 1}, and mask files number "
                f"at most {MAX_SOURCES}; use a vocabulary with fewer names."
            )
        self.of.setdefault(name, len(self.of) + 1)
