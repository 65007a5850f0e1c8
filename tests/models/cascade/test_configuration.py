"""Configuration of a cascade."""

from typing import Any

import pytest

from avseg.backbones.clap_text import ClapTextTowerConfig
from avseg.backbones.clip import ClipTextTowerConfig
from avseg.models.cascade import CascadeConfig
from tests.models.factories import CASCADE, SAM1


def test_the_defaults_are_clap_2023_and_evf_sam2() -> None:
    config = CascadeConfig()
    assert config.namer_config.sample_rate == 44100
    assert isinstance(config.namer_config.text_config, ClapTextTowerConfig)
    assert config.segmenter_config.sam_config.image_size == 1024
    assert config.namer_config.max_text_tokens == 77


def test_model_type_selects_the_text_tower() -> None:
    options = CascadeConfig.tiny().to_dict()
    assert isinstance(CascadeConfig(**options).namer_config.text_config, ClipTextTowerConfig)
    assert isinstance(CASCADE.replace().namer_config.text_config, ClapTextTowerConfig)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sound_prompt": "a sound"}, "sound_prompt must have {name} in it once, got 'a sound'"),
        ({"min_score": 1.0}, "min_score must be from -1.0 to below 1.0, got 1.0"),
        ({"min_share": -0.1}, "min_share must be from 0.0 to below 1.0, got -0.1"),
        ({"max_names": 0}, "max_names must be at least 1, got 0"),
        (
            {"window_s": 9.0},
            "window_s of 9.0 s is 72000 samples, the audio tower takes at most 4095",
        ),
        ({"segmenter_config": {"sam_config": SAM1, "suppress_absent": True}}, "SAM 1 lacks"),
        (
            {"namer_config": {"text_config": {"model_type": "bert"}}},
            "model_type of a text tower must be .* 'bert'",
        ),
        ({"namer_config": {"model_type": "ear"}}, "model_type of a sound namer must be .* 'ear'"),
        (
            {"segmenter_config": {"model_type": "eye"}},
            "model_type of a text-prompted segmenter must be .* 'eye'",
        ),
        ({"smoothing_s": -0.1}, "smoothing_s must be at least 0, got -0.1"),
    ],
)
def test_invalid_options_raise_an_error(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Exception, match=message):
        CASCADE.replace(**changes)


def test_the_image_size_is_that_of_the_segmenters_sam() -> None:
    changed = CASCADE.with_image_size(128)
    assert changed.segmenter_config.sam_config.image_size == 128
    assert changed.segmenter_config.beit3_config.image_size == 64
    assert changed.namer_config.sample_rate == CASCADE.namer_config.sample_rate
