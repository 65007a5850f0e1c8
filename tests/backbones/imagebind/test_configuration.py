"""ImageBind's configuration: published sizes, small sizes, and impossible ones."""

from typing import Any

import pytest
from huggingface_hub.errors import StrictDataclassClassValidationError

from avseg.backbones.imagebind import ImageBindAudioConfig, ImageBindConfig


def test_the_defaults_are_imagebind_huge() -> None:
    config = ImageBindConfig()
    towers = (config.vision, config.audio, config.text)
    assert [(t.width, t.blocks, t.heads) for t in towers] == [
        (1280, 32, 16),
        (768, 12, 12),
        (1024, 24, 16),
    ]
    assert config.audio.grid == (12, 19)
    assert config.vision.side == 16


def test_a_stem_halves_a_spectrogram_rounding_up() -> None:
    config = ImageBindAudioConfig(stem_channels=[2, 2, 2, 2], mel_bins=64, target_length=98)
    assert config.grid == (4, 7)


def test_options_of_the_small_imagebind_can_be_changed() -> None:
    config = ImageBindConfig.tiny(vision={"blocks": 1}, dim=16)
    assert (config.vision.blocks, config.dim) == (1, 16)
    assert config.vision.width == ImageBindConfig.tiny().vision.width


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vision": {"image_size": 100}}, "image_size must be a multiple of patch_size 14, got"),
        ({"audio": {"width": 100}}, "width must be a multiple of heads 12, got 100"),
        (
            {"audio": {"mel_bins": 8}},
            "mel_bins 8 and target_length 204 must be at least the kernel",
        ),
        ({"text": {"heads": 3}}, "width must be a multiple of heads 3, got 1024"),
    ],
)
def test_sizes_that_do_not_fit_are_rejected(options: dict[str, Any], message: str) -> None:
    with pytest.raises(StrictDataclassClassValidationError) as raised:
        ImageBindConfig(**options)
    assert message in str(raised.value.__cause__)
