"""Frames to the pixel tensors of image encoders."""

import numpy as np
import pytest
import torch
from PIL import Image

from avseg.models.pixels import as_pixels, fitted_size, normalise, resize


def test_normalising_is_subtracting_and_dividing() -> None:
    pixels = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1)
    normalised = normalise(pixels, ((1.0, 1.0, 1.0), (1.0, 2.0, 4.0)))
    assert normalised.flatten().tolist() == [0.0, 0.5, 0.5]


@pytest.mark.parametrize("size", [(7, 30), (64, 20)])
def test_a_frame_is_resized_as_pillow_does_to_one_grey_level(size: tuple[int, int]) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (1, 20, 50, 3), dtype=np.uint8)
    resized = resize(as_pixels(frames), size, "bilinear")[0].permute(1, 2, 0).numpy()
    pillow = Image.fromarray(frames[0]).resize(size[::-1], Image.Resampling.BILINEAR)
    np.testing.assert_allclose(resized, np.asarray(pillow, np.float64), rtol=0, atol=1)


@pytest.mark.parametrize(
    ("size", "fitted"),
    [((480, 640), (768, 1024)), ((640, 481), (1024, 770)), ((9, 9), (1024, 1024))],
)
def test_a_fitted_frame_has_its_longer_side_at_that_of_the_square(
    size: tuple[int, int], fitted: tuple[int, int]
) -> None:
    assert fitted_size(size, 1024) == fitted
