"""Configuration of TPAVI."""

from pathlib import Path

import pytest

from avseg.models.tpavi import TpaviConfig


def test_the_defaults_are_the_papers_image_size_and_decoder() -> None:
    config = TpaviConfig()
    assert (config.image_size, config.dim, config.window_s) == (224, 256, 1.0)


@pytest.mark.parametrize("config", [TpaviConfig(), TpaviConfig.tiny()], ids=["paper", "tiny"])
def test_a_saved_configuration_loads_as_the_same(tmp_path: Path, config: TpaviConfig) -> None:
    config.save_pretrained(tmp_path)
    assert TpaviConfig.from_pretrained(tmp_path).to_dict() == config.to_dict()


def test_the_small_model_takes_changes() -> None:
    config = TpaviConfig.tiny(hiera_config={"image_size": 64}, dim=16)
    assert (config.image_size, config.hiera_config.embed_dims[0], config.dim) == (64, 48, 16)
    assert TpaviConfig.tiny().sample_rate == 16000


def test_a_width_that_is_no_multiple_of_8_raises_an_error() -> None:
    with pytest.raises(Exception, match="dim must be a multiple of 8, got 12"):
        TpaviConfig.tiny(dim=12)


def test_a_window_too_long_for_the_audio_tower_raises_an_error() -> None:
    with pytest.raises(
        Exception, match=r"2.0 s is 32000 samples, the audio tower takes at most 16383"
    ):
        TpaviConfig.tiny(window_s=2.0)
