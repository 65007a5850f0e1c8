"""Every model to download by hand has an address with its origin, and a command that imports it."""

import re

import pytest

from avseg.checkpoints.catalog import find_checkpoint
from avseg.checkpoints.manual_models import MANUAL_MODELS, ManualModel
from avseg.errors import CheckpointError


@pytest.mark.parametrize("model", MANUAL_MODELS.values(), ids=MANUAL_MODELS)
def test_each_address_is_https_and_has_an_origin(model: ManualModel) -> None:
    assert model.addresses
    for address, found_in in model.addresses.items():
        assert address.startswith("https://")
        assert found_in


@pytest.mark.parametrize("model", MANUAL_MODELS.values(), ids=MANUAL_MODELS)
def test_the_error_has_the_addresses_the_licence_and_the_import_command(model: ManualModel) -> None:
    with pytest.raises(CheckpointError) as error:
        find_checkpoint(model.name)
    for address in model.addresses:
        assert address in str(error.value)
    assert f"licence {model.licence or 'not stated: ask its authors'}" in str(error.value)
    assert f"avseg import-checkpoint {' '.join(model.files)} -o {model.name};" in str(error.value)


def test_weights_that_were_not_seen_are_described_so() -> None:
    for name, model in MANUAL_MODELS.items():
        assert model.is_seen == (not name.startswith("av2t-sam"))
        assert ("were not seen there" in model.next_step) == (not model.is_seen)


def test_the_files_of_sam_and_of_sam_2_have_different_names() -> None:
    files = [MANUAL_MODELS[f"av2t-sam{n}-s4"].files[0] for n in (1, 2)]
    assert files == [
        "*_mul_adapter_evf_sam_s4_best.pth",
        "*_mul_adapter_evf_sam2_s4_best.pth",
    ]


def test_the_figures_are_those_of_the_papers() -> None:
    assert MANUAL_MODELS["av2t-sam2-ms3"].figures == {"MS3 mIoU": 69.65, "MS3 F": 0.777}
    assert MANUAL_MODELS["tavis-ms3"].figures == {"MS3 mIoU": 68.2, "MS3 F": 0.759}


def test_every_tavis_contains_weights_that_allow_no_commercial_use() -> None:
    for name in ("tavis-s4", "tavis-ms3", "tavis-v2"):
        assert re.search("-NC-.*not for commercial use", MANUAL_MODELS[name].next_step)
