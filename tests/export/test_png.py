"""Masks as indexed PNG."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avseg.errors import OutputError
from avseg.export import MaskWriter, save_masks
from avseg.export.png import davis_palette
from avseg.types import Segmentation
from tests.export.conftest import VideoFile, chunks_of, segment, segment_named


@pytest.fixture
def segmentation() -> Segmentation:
    """Return a segmentation of three frames of a video that does not exist."""
    video = VideoFile(Path("video.mp4"), height=6, width=9)
    return segment(video, [0.0, 1.0, 2.0], sounding=[True, False, True])


def read_rows(path: Path) -> list[list[int]]:
    with Image.open(path) as image:
        rows: list[list[int]] = np.asarray(image).tolist()
    return rows


def test_the_palette_begins_with_the_colours_of_davis() -> None:
    colours = [tuple(davis_palette()[k : k + 3]) for k in range(0, 24, 3)]
    assert colours == [
        (0, 0, 0),
        (128, 0, 0),
        (0, 128, 0),
        (128, 128, 0),
        (0, 0, 128),
        (128, 0, 128),
        (0, 128, 128),
        (128, 128, 128),
    ]
    assert len(davis_palette()) == 3 * 256


def test_masks_are_written_as_indexed_png_with_one_for_sounding_objects(
    segmentation: Segmentation, tmp_path: Path
) -> None:
    save_masks(segmentation, tmp_path / "masks")
    files = sorted((tmp_path / "masks").iterdir())
    assert [file.name for file in files] == ["000000.png", "000001.png", "000002.png"]
    for file, mask in zip(files, segmentation.masks, strict=True):
        with Image.open(file) as image:
            assert image.mode == "P"
            np.testing.assert_array_equal(np.asarray(image), mask.astype(np.uint8))


def test_the_marked_pixels_are_dark_red(segmentation: Segmentation, tmp_path: Path) -> None:
    save_masks(segmentation, tmp_path / "masks")
    with Image.open(tmp_path / "masks" / "000000.png") as image:
        colours = np.asarray(image.convert("RGB"))[segmentation.masks[0]]
    assert np.unique(colours, axis=0).tolist() == [[128, 0, 0]]


def test_a_named_source_has_its_own_value(tmp_path: Path) -> None:
    video = VideoFile(Path("video.mp4"), height=2, width=4)
    left, right = (slice(None), slice(0, 3)), (slice(None), slice(2, 4))
    scene = segment_named(video, [0.0, 1.0], dog=(left, [0.5, 0.9]), cat=(right, [0.6, 0.8]))
    save_masks(scene, tmp_path / "masks")
    # The cat has the higher score when both first have a mask, so it is 1, and it is on top.
    assert read_rows(tmp_path / "masks" / "000000.png") == [[2, 2, 1, 1]] * 2
    assert read_rows(tmp_path / "masks" / "000001.png") == [[2, 2, 2, 1]] * 2


def test_the_numbering_continues_over_chunks(segmentation: Segmentation, tmp_path: Path) -> None:
    writer = MaskWriter(tmp_path / "chunks")
    for part in chunks_of(segmentation):
        writer.write(part)
    save_masks(segmentation, tmp_path / "whole")
    for whole in (tmp_path / "whole").iterdir():
        assert (tmp_path / "chunks" / whole.name).read_bytes() == whole.read_bytes()
    assert writer.frame_count == 3


def test_older_masks_are_replaced_as_a_whole(segmentation: Segmentation, tmp_path: Path) -> None:
    save_masks(segmentation, tmp_path / "masks")
    save_masks(chunks_of(segmentation)[0], tmp_path / "masks")
    assert [file.name for file in (tmp_path / "masks").iterdir()] == ["000000.png"]


def test_a_folder_with_other_files_is_not_replaced(
    segmentation: Segmentation, tmp_path: Path
) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(OutputError, match=r"other files than masks \(thesis.tex\)"):
        save_masks(segmentation, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_of_photos_is_not_replaced(segmentation: Segmentation, tmp_path: Path) -> None:
    Image.new("RGB", (9, 6)).save(tmp_path / "000000.png")
    with pytest.raises(OutputError, match=r"other files than masks \(000000.png\)"):
        save_masks(segmentation, tmp_path)


@pytest.mark.parametrize("name", ["000000.png", "000001.png"])
def test_a_folder_with_annotations_of_another_palette_is_not_replaced(
    segmentation: Segmentation, tmp_path: Path, name: str
) -> None:
    image = Image.new("P", (9, 6))
    image.putpalette([9, 9, 9, 200, 0, 0])
    image.save(tmp_path / name)
    with pytest.raises(OutputError, match="other files than masks"):
        save_masks(segmentation, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_folder_with_a_damaged_image_is_not_replaced(
    segmentation: Segmentation, tmp_path: Path
) -> None:
    (tmp_path / "000000.png").write_bytes(b"no image")
    with pytest.raises(OutputError, match="other files than masks"):
        save_masks(segmentation, tmp_path)


def test_a_file_instead_of_a_folder_raises(segmentation: Segmentation, tmp_path: Path) -> None:
    (tmp_path / "masks").touch()
    with pytest.raises(OutputError, match="is a file; choose a folder"):
        save_masks(segmentation, tmp_path / "masks")
