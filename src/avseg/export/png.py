"""Masks as indexed PNG files with the palette of DAVIS, a common form in video segmentation."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from avseg.atomic import OwnFolder, replace_when_complete
from avseg.errors import OutputError
from avseg.export.labels import SourceNumbers
from avseg.types import Segmentation


def davis_palette() -> bytes:
    """Compute the palette of DAVIS and PASCAL VOC: black, dark red, dark green, olive, ...

    The bits of an index are distributed to red, green and blue in turn, lowest bits first, and fill
    each channel from its highest bit. So similar indices get clearly different colours.

    Returns:
        Red, green and blue of 256 indices, 768 bytes.
    """
    index = np.arange(256)
    colours = np.zeros((256, 3), dtype=np.uint8)
    for bit in range(8):
        channel, significance = bit % 3, 7 - bit // 3  # bits 0, 3, 6 are red, highest bit first
        colours[:, channel] |= ((index >> bit & 1) << significance).astype(np.uint8)
    return colours.tobytes()


_PALETTE = davis_palette()


class MaskWriter:
    """Writes masks as `000000.png`, `000001.png`, ..., one in memory at a time.

    The background is 0. Sounding objects are 1, or with named sources 1, 2, ... in order of their
    first mask. The files have no times and no names; those are in the segmentation and in
    `result.json`.

    Args:
        folder: Folder of the files; created if it does not exist.

    Raises:
        OutputError: If the folder cannot be created.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.frame_count = 0
        self._numbers = SourceNumbers()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"{folder}: the folder for masks cannot be created ({error.strerror}); "
                "choose an output folder that can be written to."
            ) from error

    def write(self, segmentation: Segmentation) -> None:
        """Write the masks of the next chunk.

        Args:
            segmentation: Masks that follow those written so far.

        Raises:
            OutputError: If a file cannot be written, or there are more than 255 sources.
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
    """Write one mask as an indexed PNG.

    Args:
        mask: Mask, (H, W) bool, or label map, (H, W) uint8; 0 is the background.
        path: File to write.
    """
    # Mode "L" first: a palette is attached without changing the values of the pixels.
    image = Image.fromarray(mask.astype(np.uint8))
    image.putpalette(_PALETTE)  # makes the grey values palette indices
    image.save(path)


def save_masks(segmentation: Segmentation, folder: str | Path) -> None:
    """Write every mask as an indexed PNG, numbered from `000000.png`.

    Args:
        segmentation: The masks.
        folder: Folder of the files. An existing folder is replaced when all files are written, but
            only if it contains nothing but such files.

    Raises:
        OutputError: If the folder contains other files or cannot be written, or there are more than
            255 sources.
    """
    with replace_when_complete(Path(folder), _OWN_FOLDER) as partial:
        MaskWriter(partial).write(segmentation)


def _has_only_masks(folder: Path) -> bool:
    paths = sorted(folder.iterdir())
    numbered = [path.name for path in paths] == [f"{k:06d}.png" for k in range(len(paths))]
    return numbered and all(_is_mask_file(path) for path in paths)


def _is_mask_file(path: Path) -> bool:
    # Photos with names like 000000.png are RGB; only masks have this palette.
    try:
        with Image.open(path) as image:  # reads the header only
            palette = bytes(image.getpalette() or ())
    except (OSError, Image.DecompressionBombError):
        return False
    # Pillow omits the end of a palette that an image does not use.
    return bool(palette) and _PALETTE.startswith(palette)


_OWN_FOLDER = OwnFolder("masks", _has_only_masks)
