"""Configuration of EVF-SAM."""

from pathlib import Path

import pytest

from avseg.backbones.sam1 import PromptedSam1Config
from avseg.models.evf_sam import EvfSamConfig


def test_the_defaults_are_the_multitask_models_on_sam2() -> None:
    config = EvfSamConfig()
    assert config.sam_config.image_size == 1024
    assert config.beit3_config.vocab_size == 64010
    assert (config.multimask, config.keep_proportions, config.suppress_absent) == (
        True,
        False,
        False,
    )


SAM1 = EvfSamConfig(sam_config=PromptedSam1Config(), multimask=False, keep_proportions=True)


@pytest.mark.parametrize(
    "config", [EvfSamConfig(), EvfSamConfig.tiny(), SAM1], ids=["paper", "tiny", "sam1"]
)
def test_a_saved_configuration_loads_as_the_same(tmp_path: Path, config: EvfSamConfig) -> None:
    config.save_pretrained(tmp_path)
    loaded = EvfSamConfig.from_pretrained(tmp_path)
    assert loaded.to_dict() == config.to_dict()
    assert type(loaded.sam_config) is type(config.sam_config)


def test_the_small_model_takes_changes() -> None:
    config = EvfSamConfig.tiny(beit3_config={"dim": 80}, suppress_absent=False)
    assert (config.beit3_config.dim, config.beit3_config.num_layers) == (80, 3)
    assert (config.suppress_absent, EvfSamConfig.tiny().suppress_absent) == (False, True)


def test_an_unknown_option_raises_an_error() -> None:
    with pytest.raises(TypeError, match=r"no option sam_scale; it has beit3_config, keep_prop"):
        EvfSamConfig(sam_scale="large")  # type: ignore[call-arg]


@pytest.mark.parametrize("longest", [0, 1023])
def test_texts_longer_than_the_position_table_raise_an_error(longest: int) -> None:
    with pytest.raises(Exception, match=rf"must be 1 to 1022, .* got {longest}"):
        EvfSamConfig(max_text_tokens=longest)


def test_options_of_the_object_score_raise_an_error_with_sam1() -> None:
    with pytest.raises(Exception, match="suppress_absent needs an object score"):
        EvfSamConfig(sam_config=PromptedSam1Config(), suppress_absent=True)
