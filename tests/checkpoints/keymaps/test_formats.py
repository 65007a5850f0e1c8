"""Each key map fits the model at its published size, and has all other keys of the files."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from avseg.backbones.beit3 import Beit3Config, Beit3Model
from avseg.backbones.clap import ClapAudioTower, ClapAudioTowerConfig
from avseg.backbones.clip import ClipImageTower, ClipImageTowerConfig
from avseg.backbones.imagebind import ImageBind, ImageBindConfig
from avseg.backbones.sam1 import PromptedSam1, PromptedSam1Config
from avseg.backbones.sam2 import PromptedSam2, PromptedSam2Config
from avseg.checkpoints.keymaps.beit3 import BEIT3_FILE
from avseg.checkpoints.keymaps.clap import CLAP
from avseg.checkpoints.keymaps.clip import CLIP, CLIP_OPENAI
from avseg.checkpoints.keymaps.formats import detect_format
from avseg.checkpoints.keymaps.imagebind import IMAGEBIND
from avseg.checkpoints.keymaps.key_map import KeyMap
from avseg.checkpoints.keymaps.sam1 import SAM1
from avseg.checkpoints.keymaps.sam2 import SAM2
from tests import published

BEIT3_EXTRA = {"beit3.vision_embed.mask_token": (1, 1, 8), "mlm_head.weight": (4, 8)}

#: Format, key map, model of the published size, prefix of its names, and other keys of the file.
KEY_MAPS: dict[str, tuple[KeyMap, Callable[[], nn.Module], str, dict[str, tuple[int, ...]]]] = {
    "sam2": (SAM2, lambda: PromptedSam2(PromptedSam2Config()), "sam2.", published.UNUSED_OF_SAM2),
    "sam1": (SAM1, lambda: PromptedSam1(PromptedSam1Config()), "sam1.", {"pixel_mean": (3, 1, 1)}),
    "beit3": (BEIT3_FILE, lambda: Beit3Model(Beit3Config()), "", BEIT3_EXTRA),
    "clap-2023": (
        CLAP,
        lambda: ClapAudioTower(ClapAudioTowerConfig()),
        "",
        published.UNUSED_OF_CLAP,
    ),
    "imagebind": (
        IMAGEBIND,
        lambda: ImageBind(ImageBindConfig()),
        "",
        published.UNUSED_OF_IMAGEBIND,
    ),
    "clip": (
        CLIP,
        lambda: ClipImageTower(ClipImageTowerConfig()),
        "clip.",
        published.UNUSED_OF_CLIP,
    ),
    "clip-openai": (
        CLIP_OPENAI,
        lambda: ClipImageTower(ClipImageTowerConfig()),
        "clip.",
        published.UNUSED_OF_CLIP_OPENAI,
    ),
}


@pytest.mark.parametrize("name", KEY_MAPS)
def test_a_key_map_has_a_rule_for_every_tensor_of_the_published_size(name: str) -> None:
    key_map, make, prefix, extra = KEY_MAPS[name]
    ours = shapes_of(make, prefix)
    file = key_map.to_published(ours)
    unused = {key: torch.empty(shape, device="meta") for key, shape in extra.items()}
    assert not file.keys() & unused.keys()
    converted = key_map.fit(file | unused, ours)
    assert {key: values.shape for key, values in converted.tensors.items()} == {
        key: values.shape for key, values in ours.items()
    }
    assert converted.unused.keys() == unused.keys()
    found = detect_format(file)
    assert found is not None
    assert found.name == name


def shapes_of(make: Callable[[], nn.Module], prefix: str) -> dict[str, Tensor]:
    """Return names and shapes of a model, without its values."""
    with torch.device("meta"):
        state = make().state_dict()
    return {name.removeprefix(prefix): values for name, values in state.items()}


@pytest.mark.parametrize("name", ["gamma", "weight"])
def test_a_layer_scale_of_the_memory_has_two_names(name: str) -> None:
    key = f"memory_encoder.fuser.layers.1.{name}"
    assert SAM2.to_ours({key: torch.ones(1)}).unused.keys() == {key}


def test_unknown_keys_have_no_format() -> None:
    assert detect_format(["model.layers.0.weight"]) is None
    assert detect_format([]) is None
