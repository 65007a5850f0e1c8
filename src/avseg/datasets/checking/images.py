"""Checks of the frames and masks of one clip.

H x W is the size of an image in pixels.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage  # type: ignore[import-untyped]

from avseg.datasets.checking.findings import Finding
from avseg.datasets.files import is_file, read_image, read_mask
from avseg.datasets.layout import ClipEntry, Layout
from avseg.datasets.metadata import NO_SOURCE
from avseg.datasets.palette import UNKNOWN, class_palette, colours_to_labels
from avseg.errors import DatasetError

Pixels = NDArray[np.uint8]

#: Height and width of the frames of S4 and MS3, in pixels.
_USUAL_SIZE = (224, 224)

#: Largest sum of the differences in red, green and blue at which a colour is close to a class. The
#: colours of two classes differ by 32 or more.
_CLOSE = 32

#: Number of colours that are read: more than AVSS has classes, so that a class beyond its list is
#: found as unlisted and not as an unknown colour.
_COLOURS = 255

#: Largest share of the pixels that a speck has, and its smallest distance from all other marked
#: pixels as a share of the height: 10 pixels and 32 pixels at 224 x 224. In 1970 masks of SynthAVS
#: the nearly hidden objects of that size are at most 13 pixels away.
_SPECK_SHARE, _FAR_SHARE = 0.0002, 1 / 7

#: Limits for isolated pixels, which differ from all four neighbours: as a share of the length of
#: the outline, and as a number. In 612 masks of SynthAVS they are at most 0.7 % of the outline;
#: after dithering the same masks they are at least 11 %.
_MAX_ISOLATED_SHARE, _MIN_ISOLATED = 0.05, 20


def check_images(
    layout: Layout, folder: Path, entry: ClipEntry, class_names: tuple[str, ...] | None
) -> Iterator[Finding]:
    """Check the frames and masks of a clip.

    Args:
        layout: Layout of the subset.
        folder: Folder of the subset.
        entry: Metadata of the clip.
        class_names: Class names in label2idx.json; None if it cannot be read.

    Yields:
        Problems found.
    """
    paths = [layout.path(layout.frame, folder, entry, i) for i in range(entry.seconds)]
    frames = yield from _read_all(paths, "frame", _read_rgb)
    size = next((frame.shape[:2] for frame in frames.values()), None)
    if layout.coloured_mask is None and size not in {None, _USUAL_SIZE}:
        yield Finding("size-unusual", paths[0].parent, _shape(size), len(frames))
    yield from _check_sizes(frames, size)
    yield from _check_masks(layout, folder, entry, size, class_names)


def _check_masks(
    layout: Layout,
    folder: Path,
    entry: ClipEntry,
    size: tuple[int, ...] | None,
    class_names: tuple[str, ...] | None,
) -> Iterator[Finding]:
    def paths(pattern: str) -> list[Path]:
        return [layout.path(pattern, folder, entry, i) for i in range(entry.annotated_seconds)]

    stored = paths(layout.mask)
    if layout.coloured_mask is None:
        masks = yield from _read_all(stored, "mask", read_mask)
        yield from _check_sizes(masks, size)
        for path, mask in masks.items():
            yield from _check_binary(path, mask)
        yield from _check_specks(masks)
        return
    coloured = paths(layout.coloured_mask)
    # One of both is enough: the first release of AVSS had only the colours.
    numbers: dict[Path, Pixels] = {}
    colours: dict[Path, Pixels] = {}
    if any(is_file(path) for path in stored):
        numbers = yield from _read_all(stored, "mask", read_mask)
    if any(is_file(path) for path in coloured) or not numbers:
        colours = yield from _read_all(coloured, "mask", _read_rgb)
    yield from _check_sizes({**numbers, **colours}, size)
    count = None if class_names is None else len(class_names)
    yield from _check_classes(numbers, colours, count)
    # The maps that avseg reads: colours if there are some.
    labels = {path: _labels(image) for path, image in colours.items()} or numbers
    yield from _check_named(labels, entry, class_names or ())
    yield from _check_specks(labels)


def _check_binary(path: Path, mask: Pixels) -> Iterator[Finding]:
    values = np.unique(mask[mask > 0])
    if len(values) > 1:
        detail = f"{len(values)} values besides 0, from {values[0]} to {values[-1]}"
        yield Finding("mask-grey", path, detail)
    elif len(values) == 1 and values[0] != 255:
        yield Finding("mask-not-255", path, f"0 and {values[0]}")
    if looks_dithered(mask > 0):
        yield Finding("mask-dithered", path)


def looks_dithered(mask: NDArray[np.bool_]) -> bool:
    """Return whether a mask was dithered, that is whether it consists of dots.

    Args:
        mask: Mask, (H, W).

    Returns:
        Whether many of its pixels differ from all four neighbours.
    """
    padded = np.pad(mask, 1, mode="edge")
    neighbours = padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]
    isolated = np.logical_and.reduce([mask != neighbour for neighbour in neighbours]).sum()
    outline = (mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum()
    return bool(isolated >= _MIN_ISOLATED and isolated > _MAX_ISOLATED_SHARE * outline)


def _check_classes(
    numbers: dict[Path, Pixels], colours: dict[Path, Pixels], class_count: int | None
) -> Iterator[Finding]:
    by_name = {path.name: labels for path, labels in numbers.items()}
    for path, labels in numbers.items():
        yield from _check_listed(path, labels, class_count)
    for path, image in colours.items():
        labels = colours_to_labels(image, _COLOURS)
        unknown = labels == UNKNOWN
        if unknown.any():
            yield Finding("label-colour", path, _describe_colours(image, unknown))
        yield from _check_listed(path, np.where(unknown, 0, labels), class_count)
        other = by_name.get(path.name)
        if other is not None and other.shape == labels.shape:
            differing = np.count_nonzero((other != labels) & ~unknown)
            if differing:
                yield Finding("labels-differ", path, f"in {differing} pixels")


def _labels(colours: Pixels) -> Pixels:
    """Convert a map of colours to class numbers, with 0 for a colour that belongs to no class."""
    labels = colours_to_labels(colours, _COLOURS)
    labels[labels == UNKNOWN] = 0
    return labels


def _check_named(
    maps: dict[Path, Pixels], entry: ClipEntry, class_names: Sequence[str]
) -> Iterator[Finding]:
    """Find pixels of classes that the metadata does not name for the clip."""
    names = set((entry.category or NO_SOURCE).split("_")) - {NO_SOURCE}
    if not names <= set(class_names):  # reported as unlisted; its number is not known
        return
    for path, labels in maps.items():
        for number in np.unique(labels[(labels > 0) & (labels < len(class_names))]):
            if class_names[number] not in names:
                detail = (
                    f"{np.count_nonzero(labels == number)} pixels of {class_names[number]}, the "
                    f"metadata names {' and '.join(sorted(names)) or 'no object'}"
                )
                yield Finding("class-unnamed", path, detail)


def _check_specks(masks: dict[Path, Pixels]) -> Iterator[Finding]:
    whole = [mask > 0 for mask in masks.values()]
    if len({mask.shape for mask in whole}) > 1:  # reported as a difference of sizes
        return
    for path, mask, count in zip(masks, whole, find_specks(whole), strict=True):
        if count and not looks_dithered(mask):
            yield Finding("mask-speck", path, f"{count} pixels")


def find_specks(masks: Sequence[NDArray[np.bool_]]) -> list[int]:
    """Count the pixels of each mask that lie in specks.

    A speck is a small group of pixels that is far from all others in the masks of its clip. An
    object that is nearly hidden leaves as small a group, but near the place where other frames
    show more of it.

    Args:
        masks: Masks of a clip, (H, W) each.

    Returns:
        Number of pixels in specks, for each mask.
    """
    times_marked = np.sum(masks, axis=0, dtype=int) if masks else np.zeros((0, 0), int)
    return [_count_speck_pixels(mask, times_marked - mask > 0) for mask in masks]


def _count_speck_pixels(mask: NDArray[np.bool_], others: NDArray[np.bool_]) -> int:
    """Count the pixels in specks of one mask; `others` is marked in another frame."""
    groups, count = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(groups.ravel(), minlength=count + 1)
    found = 0
    for group in np.flatnonzero(sizes[1:] <= max(1, _SPECK_SHARE * mask.size)) + 1:
        rest = others | (mask & (groups != group))
        # `distance_transform_edt` measures the distance to the nearest zero.
        distances = ndimage.distance_transform_edt(~rest)[groups == group]
        if not rest.any() or distances.min() > _FAR_SHARE * mask.shape[0]:
            found += int(sizes[group])
    return found


def _check_listed(path: Path, labels: Pixels, class_count: int | None) -> Iterator[Finding]:
    if class_count is not None and labels.max() >= class_count:
        detail = f"class {labels.max()}, but the last in label2idx.json is {class_count - 1}"
        yield Finding("class-unlisted", path, detail)


def _describe_colours(image: Pixels, unknown: NDArray[np.bool_]) -> str:
    colour = tuple(map(int, image[unknown][0]))
    nearest = np.abs(class_palette(71).astype(int) - colour).sum(axis=1).min()
    hint = ", close to a class's: saved as JPEG or resized?" if nearest < _CLOSE else ""
    return f"{unknown.sum()} pixels, such as {colour}{hint}"


def _read_rgb(path: Path) -> Pixels:
    return read_image(path, "RGB")


def _read_all(
    paths: Sequence[Path], what: str, read: Callable[[Path], Pixels]
) -> Generator[Finding, None, dict[Path, Pixels]]:
    """Read files; yield the missing and broken ones, and return the others by path."""
    images = {}
    absent = [path for path in paths if not is_file(path)]
    if absent:
        place = absent[0] if len(absent) < len(paths) else absent[0].parent
        yield Finding(f"{what}-missing", place, f"{len(absent)} of {len(paths)}", len(absent))
    for path in paths:
        if path in absent:
            continue
        try:
            images[path] = read(path)
        except DatasetError as error:
            yield Finding(f"{what}-broken", path, str(error).removeprefix(f"{path}: "))
    return images


def _check_sizes(images: dict[Path, Pixels], size: tuple[int, ...] | None) -> Iterator[Finding]:
    for path, image in images.items():
        if size is not None and image.shape[:2] != size:
            detail = f"{_shape(image.shape)}, the clip's first frame {_shape(size)}"
            yield Finding("size-differs", path, detail)


def _shape(size: Sequence[int] | None) -> str:
    return "" if size is None else f"{size[0]} x {size[1]}"
