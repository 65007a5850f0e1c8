"""Registry of the model families."""

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel

from avseg.models.auto import FAMILIES
from avseg.models.av2t_sam import Av2tSamModel
from tests.models.factories import CONFIG


def test_every_family_has_the_model_type_of_its_configuration() -> None:
    assert {name: family.config.model_type for name, family in FAMILIES.items()} == {
        name: name for name in FAMILIES
    }


def test_every_family_builds_its_processor_from_its_configuration() -> None:
    for family in FAMILIES.values():
        processor = family.processor.from_config(family.config())
        assert isinstance(processor, family.processor)


def test_transformers_finds_a_saved_model_by_its_configuration(tmp_path: Path) -> None:
    torch.manual_seed(0)
    Av2tSamModel(CONFIG).save_pretrained(tmp_path)
    assert type(AutoConfig.from_pretrained(tmp_path)) is type(CONFIG)
    assert type(AutoModel.from_pretrained(tmp_path)) is Av2tSamModel
