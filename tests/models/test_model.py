"""Configurations of model families."""

import pytest
import torch

from avseg.backbones.config import options_of, own_options
from avseg.models.auto import FAMILIES, Family
from avseg.models.av2t_sam import Av2tSamConfig
from avseg.models.model import BlockAdapters
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
        "candidates": 0,
        "min_similarity": -1.0,
        "min_agreement": -1.0,
    }
    changed = TavisConfig().replace(thresholds={"min_score": 0.5})
    assert changed.to_dict()["thresholds"] == group


def test_every_block_gets_a_vector_of_its_width() -> None:
    vectors = BlockAdapters(16, 8, [4, 4, 6])(torch.randn(5, 16))
    assert [tuple(vector.shape) for vector in vectors] == [(5, 4), (5, 4), (5, 6)]


def test_blocks_of_one_width_share_the_last_layer() -> None:
    adapters = BlockAdapters(16, 8, [4, 4])
    assert {name for name, _ in adapters.named_parameters()} == {
        f"{layer}.{kind}"
        for layer in ("blocks.0.0", "blocks.1.0", "shared")
        for kind in ("weight", "bias")
    }
    torch.nn.init.ones_(adapters.shared.weight)  # type: ignore[union-attr]
    features = torch.randn(5, 16)
    for block, vector in zip(adapters.blocks, adapters(features), strict=True):
        torch.testing.assert_close(vector, block(features).sum(1, keepdim=True).expand(5, 4))


@pytest.mark.parametrize("block_dims", [[4, 6], [4, 4]])
def test_adapters_start_at_zero(block_dims: list[int]) -> None:
    assert not any(vector.any() for vector in BlockAdapters(16, 8, block_dims)(torch.randn(5, 16)))
