"""Images for SAM 2 and the detectors: those of transformers' image processors on torchvision.

`image_processors.npz` has three frames and the outputs of `Sam2ImageProcessor`,
`GroundingDinoImageProcessor` and `Owlv2ImageProcessor` (transformers 5.24.0, torch 2.11.0,
torchvision 0.26.0) for squares of 64 pixels, and 48 to 80 pixels for Grounding DINO.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from avseg.models.picture_inputs import BoxInputs

RECORDED = np.load(Path(__file__).with_name("image_processors.npz"))
DINO = BoxInputs(64, "avseg-grounding-dino", (48, 80), 16)
OWLV2 = BoxInputs(64, "avseg-owlv2", (64, 64), 16)


@pytest.mark.parametrize("frame", ["small", "wide", "tall"])
@pytest.mark.parametrize(
    ("inputs", "tensor", "processor"),
    [
        (DINO, "pixel_values_detector", "grounding_dino"),
        (OWLV2, "pixel_values_detector", "owlv2"),
        (DINO, "pixel_values_sam", "sam2"),
    ],
)
def test_images_are_those_of_the_image_processor(
    inputs: BoxInputs, tensor: str, processor: str, frame: str
) -> None:
    expected = torch.from_numpy(RECORDED[f"{frame}_{processor}"])
    given = inputs.prepare_frames(RECORDED[f"{frame}_frame"][None])[tensor]
    tolerance = 1e-5 * float(expected.max() - expected.min())
    torch.testing.assert_close(given, expected, atol=tolerance, rtol=0)


def test_the_size_before_is_kept_for_the_boxes() -> None:
    frames = np.zeros((2, 36, 64, 3), np.uint8)
    assert OWLV2.prepare_frames(frames)["frame_size"].tolist() == [[36, 64], [36, 64]]
