"""Configurations reject unknown options."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedConfig

from avseg.backbones.beit3 import Beit3Config
from avseg.backbones.config import StrictConfig, own_options


def test_an_unknown_option_is_rejected_with_the_known_ones() -> None:
    with pytest.raises(TypeError, match=r"Beit3Config has no option depth; it has dim, ffn_dim, "):
        Beit3Config(depth=12)  # type: ignore[call-arg]


def test_a_value_of_the_wrong_type_is_rejected() -> None:
    with pytest.raises(Exception, match="num_layers"):
        Beit3Config(num_layers="many")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["attn_implementation", "_attn_implementation"])
@pytest.mark.parametrize("value", ["owner/kernel", {"": "owner/kernel@v1:f"}])
def test_an_option_that_names_code_on_the_hub_is_rejected(
    name: str, value: object, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({name: value}))
    with pytest.raises(ValueError, match=r"names code on the Hub; remove this option"):
        Beit3Config.from_pretrained(tmp_path)


def test_a_saved_configuration_loads_as_the_same(tmp_path: Path) -> None:
    config = Beit3Config(dim=64, num_heads=4, stem_channels=[8, 16])
    config.save_pretrained(tmp_path)
    assert Beit3Config.from_pretrained(tmp_path).to_dict() == config.to_dict()


def test_own_options_omit_those_of_transformers() -> None:
    assert not set(own_options(Beit3Config)) & set(PreTrainedConfig.__annotations__)
    assert own_options(StrictConfig) == []


@pytest.mark.parametrize(
    "sizes", [{"num_layers": 1_001}, {"dim": 2**63}, {"stem_channels": [24, -(2**63)]}]
)
def test_a_number_that_no_network_can_have_is_rejected(sizes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"{next(iter(sizes))} must be at most "):
        Beit3Config(**sizes)
