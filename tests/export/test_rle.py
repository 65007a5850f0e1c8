"""COCO run-length encoding; `coco_rle.json` holds strings recorded from pycocotools 2.0.11."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from avseg.export import rle

RECORDED = json.loads(Path(__file__).with_name("coco_rle.json").read_text(encoding="utf-8"))
CASES = [*RECORDED["drawn"], *RECORDED["filled"]]

each_case = pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])


def mask_of(case: dict[str, Any]) -> npt.NDArray[np.bool_]:
    if "rows" in case:
        return np.array([[pixel == "#" for pixel in row] for row in case["rows"]])
    mask = np.zeros(case["size"], dtype=np.bool_)
    for x, y, width, height in case["boxes"]:
        mask[y : y + height, x : x + width] = True
    return mask


def coco(case: dict[str, Any]) -> rle.CocoRle:
    return {"size": case["size"], "counts": case["counts"]}


@each_case
def test_a_mask_is_encoded_to_the_recorded_string(case: dict[str, Any]) -> None:
    assert rle.encode_mask(mask_of(case)) == coco(case)


@each_case
def test_a_recorded_string_is_decoded_to_its_mask(case: dict[str, Any]) -> None:
    np.testing.assert_array_equal(rle.decode_mask(coco(case)), mask_of(case))


@each_case
def test_a_decoded_mask_has_the_recorded_area(case: dict[str, Any]) -> None:
    assert rle.decode_mask(coco(case)).sum() == case["area"]


@each_case
def test_the_bounding_box_is_recorded_and_none_for_an_empty_mask(case: dict[str, Any]) -> None:
    expected = tuple(case["box"]) if case["area"] else None
    assert rle.bounding_box(mask_of(case)) == expected


def test_a_random_mask_is_the_same_after_encoding_and_decoding() -> None:
    mask = np.random.default_rng(7).random((37, 53)) < 0.3
    np.testing.assert_array_equal(rle.decode_mask(rle.encode_mask(mask)), mask)


def test_encoding_probabilities_raises_and_advises_to_threshold() -> None:
    with pytest.raises(ValueError, match=r"got \(2, 3\) float64; threshold probabilities first"):
        rle.encode_mask(np.zeros((2, 3)))  # type: ignore[arg-type]


def test_a_wrong_size_raises_with_both_pixel_counts() -> None:
    encoded = rle.encode_mask(np.ones((4, 5), dtype=np.bool_))
    with pytest.raises(ValueError, match=r"add up to 20 pixels.*5 x 5 has 25"):
        rle.decode_mask({"size": [5, 5], "counts": encoded["counts"]})


@pytest.mark.parametrize("counts", ["", "a b", "1é", "P"], ids=["empty", "blank", "é", "cut off"])
def test_a_malformed_string_raises(counts: str) -> None:
    with pytest.raises(ValueError, match="is not a COCO run-length string"):
        rle.decode_mask({"size": [1, 1], "counts": counts})
