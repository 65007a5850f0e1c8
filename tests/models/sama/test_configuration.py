"""Configuration of SAMA-AVS."""

from pathlib import Path

import pytest

from avseg.backbones.sam1 import PromptedSam1Config
from avseg.backbones.sam2 import PromptedSam2Config
from avseg.models.sama import SamaConfig


def test_the_defaults_are_the_papers_sizes() -> None:
    config = SamaConfig()
    assert config.sam_config == PromptedSam1Config()
    assert (config.image_size, config.adapter_dim, config.window_s) == (1024, 512, 1.0)
    assert not config.multimask


def test_with_sam2_the_output_is_the_best_of_three_masks() -> None:
    assert SamaConfig(sam_config=PromptedSam2Config()).multimask


@pytest.mark.parametrize("config", [SamaConfig(), SamaConfig.tiny()], ids=["paper", "tiny"])
def test_a_saved_configuration_loads_as_the_same(tmp_path: Path, config: SamaConfig) -> None:
    config.save_pretrained(tmp_path)
    assert SamaConfig.from_pretrained(tmp_path).to_dict() == config.to_dict()


def test_the_small_model_takes_changes() -> None:
    config = SamaConfig.tiny(sam_config={"image_size": 64}, adapter_dim=8)
    assert (config.image_size, config.sam_config.prompt_dim, config.adapter_dim) == (64, 128, 8)
    assert SamaConfig.tiny().sample_rate == 16000


@pytest.mark.parametrize("options", [{"presence_weight": 0.2}, {"suppress_absent": True}])
def test_options_of_the_object_score_raise_an_error_with_sam1(options: dict[str, object]) -> None:
    with pytest.raises(Exception, match=r"need an object score, which SAM 1 lacks; leave both"):
        SamaConfig(**options)  # type: ignore[arg-type]


def test_a_window_too_long_for_the_audio_tower_raises_an_error() -> None:
    with pytest.raises(
        Exception, match=r"2.0 s is 32000 samples, the audio tower takes at most 16383"
    ):
        SamaConfig.tiny(window_s=2.0)


def test_an_unknown_option_raises_an_error() -> None:
    with pytest.raises(TypeError, match=r"SamaConfig has no option features; it has adapter_dim"):
        SamaConfig(features="clap")  # type: ignore[call-arg]
