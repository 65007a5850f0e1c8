"""Configuration of AuralSAM2: sizes that fit together."""

from pathlib import Path
from typing import Any

import pytest

from avseg.models.auralsam2 import AuralSam2Config


@pytest.mark.parametrize(
    "config", [AuralSam2Config(), AuralSam2Config.tiny()], ids=["paper", "tiny"]
)
def test_a_saved_configuration_is_loaded_again(config: AuralSam2Config, tmp_path: Path) -> None:
    config.save_pretrained(tmp_path)
    assert AuralSam2Config.from_pretrained(tmp_path).to_dict() == config.to_dict()


def test_the_memory_stores_binary_masks_unless_configured_otherwise() -> None:
    assert AuralSam2Config().memory_config.binary_masks
    assert AuralSam2Config.tiny().memory_config.binary_masks


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vggish_config": {"dim": 100}}, "vggish_config.dim must be 128, half of"),
        ({"num_heads": 3}, "num_heads must divide sam_config.prompt_dim 256, got 3"),
        ({"image_blocks": [1, 2]}, "image_blocks needs 3 entries"),
        ({"window_frames": 0}, "window_frames must be at least 1"),
        ({"key_stride": 100}, "key_stride must be at most 64"),
    ],
)
def test_sizes_that_do_not_fit_raise_an_error(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Exception, match=message):
        AuralSam2Config().replace(**changes)
