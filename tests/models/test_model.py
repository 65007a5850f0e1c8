"""Configurations of model families."""

import pytest

from avseg.backbones.config import options_of, own_options
from avseg.models.auto import FAMILIES, Family
from avseg.models.av2t_sam import Av2tSamConfig
from avseg.models.tavis import TavisConfig
from tests.models.factories import CONFIG


def test_a_copy_differs_in_the_changed_options_only() -> None:
    changed = CONFIG.replace(features="clip", sam_config={"prompt_dim": 64})
    assert isinstance(changed, Av2tSamConfig)
    assert changed.features == "clip"
    assert changed.sam_config.prompt_dim == 64
    before, after = CONFIG.to_dict(), changed.to_dict()
    before["features"] = "clip"
    before["sam_config"]["prompt_dim"] = 64
    assert after == before


def test_a_copy_with_an_unknown_option_raises_an_error() -> None:
    with pytest.raises(TypeError, match=r"Av2tSamConfig has no option feature; it has adapter_dim"):
        CONFIG.replace(feature="clip")


def test_an_unknown_option_of_a_backbone_raises_an_error() -> None:
    with pytest.raises(TypeError, match=r"Beit3Config has no option depth"):
        CONFIG.replace(beit3_config={"depth": 3})


@pytest.mark.parametrize("family", FAMILIES.values(), ids=list(FAMILIES))
def test_a_configuration_can_be_built_from_its_options(family: Family) -> None:
    config = family.config.tiny()
    assert type(config)(**options_of(config)).to_dict() == config.to_dict()
    assert not {"sub_configs_defaults", "tiny_options"} & set(own_options(family.config))


def test_a_group_of_options_has_no_options_of_transformers() -> None:
    group = TavisConfig(thresholds={"min_score": 0.5}).to_dict()["thresholds"]
    assert group == {
        "model_type": "avseg-tavis-thresholds",
        "min_score": 0.5,
        "min_similarity": -1.0,
        "min_agreement": -1.0,
    }
    changed = TavisConfig().replace(thresholds={"min_score": 0.5})
    assert changed.to_dict()["thresholds"] == group
