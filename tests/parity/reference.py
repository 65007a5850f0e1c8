"""Recorded cases: their contents, and the rule that generates their weights and inputs.

The `.npz` files beside this hold what the authors' code (github.com/bok-bok/AV2T-SAM at d7cac49,
and for `evf_sam1` and `evf_sam2` github.com/hustvl/EVF-SAM at 9935dc5, each with its own SAM, SAM 2
and BEiT-3, and torchscale 0.2.0) computes at a tiny size in float64, in evaluation mode on a CPU
with torch 2.13.0: features and masks, and the names and shapes of its state dict; of AV2T-SAM also
the loss of a training step and the gradients' norms. Weights depend only on name, shape and seed,
inputs only on the seed.

Changed for the recording: fixed sizes (text of 3 x 32 instead of 3 x 1024, masks evaluated at 24
instead of 224, widths of adapters), no video memory, and four operations that always compute in
float32 (BEiT-3's GELU and softmax, the neck's upsampling, the resizing of masks), so that
float64 is float64 throughout.
"""

import json
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avseg.backbones.beit3 import Beit3Config
from avseg.backbones.clap import ClapAudioTowerConfig
from avseg.backbones.clip import ClipImageTowerConfig
from avseg.backbones.sam1 import PromptedSam1Config
from avseg.backbones.sam2 import PromptedSam2Config
from avseg.checkpoints.keymaps.av2t_sam import av2t_sam
from avseg.checkpoints.keymaps.evf_sam import evf_sam
from avseg.checkpoints.keymaps.key_map import KeyMap
from avseg.models.av2t_sam import Av2tSamConfig, Av2tSamModel
from avseg.models.evf_sam import EvfSamConfig, EvfSamModel

_SAMS = {
    1: PromptedSam1Config(
        image_size=64,
        dim=16,
        num_layers=2,
        num_heads=2,
        ffn_dim=64,
        window_size=3,
        global_blocks=[1],
        prompt_dim=32,
        decoder_heads=2,
        decoder_mlp_dim=64,
        iou_head_dim=32,
    ),
    2: PromptedSam2Config(
        image_size=64,
        blocks_per_stage=[1, 2, 1, 1],
        embed_dims=[8, 16, 32, 64],
        num_heads=[1, 2, 4, 8],
        window_sizes=[8, 4, 4, 2],
        global_blocks=[2],
        prompt_dim=32,
    ),
}

_BEIT3 = Beit3Config(
    image_size=32,
    dim=32,
    num_layers=2,
    num_heads=2,
    ffn_dim=48,
    vocab_size=20,
    max_text_positions=8,
)


class Case:
    """A recorded case of AV2T-SAM and our model with the same weights.

    Args:
        name: Of the file, without its suffix.
        sam: 1 or 2.
        features: "clip", "clap" or "mul".
        adapters: Whether there are adapters.
        seed: Of weights and inputs.
    """

    def __init__(self, name: str, sam: int, features: Any, adapters: bool, seed: int) -> None:
        self.recorded = _read(name)
        self.seed = seed
        self.shapes: dict[str, list[int]] = json.loads(str(self.recorded["shapes"]))
        self.config = _config(sam, features, adapters)
        self.table: KeyMap = av2t_sam(sam, features)

    @property
    def published(self) -> dict[str, Tensor]:
        """The published state dict."""
        return {name: make_weight(name, shape, self.seed) for name, shape in self.shapes.items()}

    def model(self) -> Av2tSamModel:
        """Our model with these weights, in float64 and evaluation mode, without its towers."""
        model = Av2tSamModel(self.config)
        model.clip = model.clip and torch.nn.Identity()  # type: ignore[assignment]
        model.clap = model.clap and torch.nn.Identity()  # type: ignore[assignment]
        model.load_state_dict(self.table.fit(self.published, model.state_dict()).tensors)
        return model.double().train(mode=False)

    def inputs(self) -> dict[str, Tensor]:
        """One frame with its embeddings, and its ground-truth mask, (1, 1, ...) float64."""
        generator = torch.Generator().manual_seed(self.seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(1, 1, *shape, generator=generator).double()

        inputs = {
            "pixel_values_sam": normal(3, 64, 64),
            "pixel_values_beit3": normal(3, 32, 32).clamp(-1, 1),
            "clip_embeddings": normal(24),
            "clap_embeddings": normal(20),
        }
        targets = torch.rand(1, 1, 24, 24, generator=generator) > 0.7
        return inputs | {"targets": targets.double()}


class EvfSamCase:
    """A recorded case of EVF-SAM and our model with the same weights.

    Three texts of 4, 2 and 3 tokens, the first two for the first of two images.

    Args:
        sam: 1 or 2.
    """

    def __init__(self, sam: int) -> None:
        self.recorded = _read(f"evf_sam{sam}")
        self.sam = sam
        self.seed = 3 + sam
        self.shapes: dict[str, list[int]] = json.loads(str(self.recorded["shapes"]))
        self.table: KeyMap = evf_sam(sam)

    @property
    def published(self) -> dict[str, Tensor]:
        """The published state dict."""
        return {name: make_weight(name, shape, self.seed) for name, shape in self.shapes.items()}

    def model(self, multimask: bool) -> EvfSamModel:
        """Our model with these weights, in float64 and evaluation mode."""
        config = EvfSamConfig(
            sam_config=_SAMS[self.sam], beit3_config=_BEIT3, max_text_tokens=4, multimask=multimask
        )
        model: EvfSamModel = EvfSamModel(config).double().train(mode=False)
        state = model.segmenter.state_dict()
        model.segmenter.load_state_dict(self.table.fit(self.published, state).tensors)
        return model

    def inputs(self) -> dict[str, Tensor]:
        """Two images and three texts."""
        generator = torch.Generator().manual_seed(self.seed)
        images = torch.randn(2, 3, 64, 64, generator=generator).double()
        small = torch.randn(2, 3, 32, 32, generator=generator).double().clamp(-1, 1)
        return {
            "pixel_values_sam": images,
            "pixel_values_beit3": small,
            "input_ids": torch.randint(20, (3, 4), generator=generator),
            "attention_mask": torch.arange(4) < torch.tensor([[4], [2], [3]]),
            "image_index": torch.tensor([0, 0, 1]),
        }


def _read(name: str) -> dict[str, Any]:
    with np.load(Path(__file__).parent / f"{name}.npz") as recorded:
        return {key: recorded[key] for key in recorded.files}


def _config(sam: int, features: Any, adapters: bool) -> Av2tSamConfig:
    return Av2tSamConfig(
        sam_config=_SAMS[sam],
        beit3_config=_BEIT3,
        clip_config=ClipImageTowerConfig(
            dim=8, num_layers=1, num_heads=1, ffn_dim=8, projection_dim=24
        ),
        clap_config=ClapAudioTowerConfig(
            depths=[1, 1], num_heads=[1, 1], embed_dim=8, projection_dim=20
        ),
        features=features,
        adapters=adapters,
        fused_dim=16,
        adapter_dim=12,
    )


def make_weight(name: str, shape: list[int], seed: int) -> Tensor:
    """Generate the values of a recorded weight from its name, shape and seed."""
    generator = torch.Generator().manual_seed(zlib.crc32(f"{seed}/{name}".encode()))
    values = torch.randn(shape, generator=generator)
    if name.endswith("running_var"):
        return (1 + 0.2 * values).abs()
    if name.endswith("weight") and len(shape) == 1:
        return 1 + 0.2 * values
    if name.endswith("weight"):
        return values * 0.8 / math.sqrt(values[0].numel())
    return 0.2 * values
