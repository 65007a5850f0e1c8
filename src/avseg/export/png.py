"""Masks as indexed PNG files in the palette of DAVIS, the form video segmentation tools read."""

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from avseg.atomic import replace_when_complete
from avseg.errors import OutputError
from avseg.export.labels import SourceNumbers
from avseg.types import Segmentation


def davis_palette() -> bytes:
    """Make the colours of DAVIS (and PASCAL VOC): black, dark red, dark green, olive, ...

    The bits of an index are dealt to red, green and blue in turn, and the first to arrive become
    the highest bits of the colour, so that near indices get far colours.

    Returns:
        Red, green and blue of 256 indices, 768 bytes.
    """
    index = np.arange(256)
    colours = np.zeros((256, 3), dtype=np.uint8)
    for bit in range(8):
        channel, significance = bit % 3, 7 - bit // 3
        colours[:, channel] |= ((index >> bit & 1) << significance).astype(np.uint8)
    return colours.tobytes()


_PALETTE = davis_palette()


class MaskWriter:
    """Writes masks as `000000.png`, `000001.png`, ... chunk after chunk, one in memory at a time.

    What sounds is 1, or with named sources 1, 2, ... in the order in which they are first marked,
    and everything else 0. The files carry no times and no names; those are in the segmentation and
    in `result.json`.

    Args:
        folder: Where the files go; made if it is not there.

    Raises:
        OutputError: If the folder cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.frame_count = 0
        self._numbers = SourceNumbers()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"{folder}: the folder for masks cannot be made ({error.strerror}); "
                "choose an output folder that can be written to."
            ) from error

    def write(self, segmentation: Segmentation) -> None:
        """Add the next chunk.

        Args:
            segmentation: The masks that follow those written so far.

        Raises:
            OutputError: If a file cannot be written, or there are more sources than colours.
        """
        for labels, _ in self._numbers.label(segmentation):
            path = self.folder / f"{self.frame_count:06d}.png"
            try:
                save_mask(labels, path)
            except OSError as error:
                raise OutputError(
                    f"{path}: cannot be written ({error.strerror}); is the disk full?"
                ) from error
            self.frame_count += 1


def save_mask(mask: npt.NDArray[np.bool_ | np.uint8], path: Path) -> None:
    """Save one mask as an indexed PNG: 0 background, 1 the sounding objects, or a number for each.

    Args:
        mask: (H, W) bool, or numbers of sources, uint8.
        path: The file to write.
    """
    image = Image.fromarray(mask.astype(np.uint8))
    image.putpalette(_PALETTE)  # turns grey values into indices
    image.save(path)


def save_masks(segmentation: Segmentation, folder: str | Path) -> None:
    """Save every mask as an indexed PNG, numbered from `000000.png`.

    Args:
        segmentation: The masks.
        folder: Where they go; a folder that is there is replaced, if it holds nothing but such
            files, and only when all are written.

    Raises:
        OutputError: If the folder holds other files, or cannot be written, or there are more
            sources than colours.
    """
    folder = Path(folder)
    if folder.exists():
        _refuse_foreign_files(folder)
    with replace_when_complete(folder) as partial:
        MaskWriter(partial).write(segmentation)


def _refuse_foreign_files(folder: Path) -> None:
    if not folder.is_dir():
        raise OutputError(f"{folder} is a file; name a folder for the masks.")
    foreign = sorted(path.name for path in folder.iterdir() if not _is_mask_file(path))
    if foreign:
        raise OutputError(
            f"{folder} holds files that are no masks ({', '.join(foreign[:3])}), which would be "
            "lost; name a new or empty folder."
        )


def _is_mask_file(path: Path) -> bool:
    if not re.fullmatch(r"\d{6}\.png", path.name):
        return False
    with Image.open(path) as image:  # reads the header only
        return image.mode == "P"
