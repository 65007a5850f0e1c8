"""The baselines, TPAVI and SAMA, compute the same as their authors' code.

`tpavi.npz` holds what AVSBench's model for MS3 (github.com/OpenNLPLab/AVSBench at f7414af) computes
at a tiny size in float64, of random stages of an encoder, in evaluation and in training mode: masks
(every fourth pixel), the maps of each stage after the attention, the two losses, and the gradients'
norms. Changed for the recording: the widths of the last three layers, and no GPU.
`sama_adapters.npz` holds what SAMA-AVS's adapters (github.com/jinxiang-liu/anno-free-AVS at
15e6b04) compute from random audio features. Weights depend only on name, shape and seed, inputs
only on the seed.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from avseg.backbones.sam2 import HieraConfig
from avseg.models.model import BlockAdapters
from avseg.models.tpavi import TpaviConfig, TpaviModel
from tests.models.factories import CLAP
from tests.parity.reference import make_weight

pytestmark = pytest.mark.parity

#: float64 leaves room for nothing but another order of summation.
TOLERANCE = 1e-9

DIMS = [4, 6, 8, 10]
CLIPS, FRAMES = 2, 5

#: Names in AVSBench's state dict to ours; stages count from 1 there.
RENAMES = {
    r"conv(\d)\.conv2d_list\.": r"views.\1.convs.",
    r"path(\d)\.resConfUnit1\.": r"decoder.lateral.\1.",
    r"path(\d)\.resConfUnit2\.": r"decoder.refine.\1.",
    r"tpavi_b(\d)\.align_channel\.": r"interactions.\1.audio_proj.",
    r"tpavi_b(\d)\.norm_layer\.": r"interactions.\1.layer_norm.",
    r"tpavi_b(\d)\.g\.": r"interactions.\1.value.",
    r"tpavi_b(\d)\.W_z\.0\.": r"interactions.\1.out_proj.",
    r"tpavi_b(\d)\.W_z\.1\.": r"interactions.\1.batch_norm.",
    r"tpavi_b(\d)\.(theta|phi)\.": r"interactions.\1.\2.",
    r"output_conv\.0\.": "decoder.head.0.",
    r"output_conv\.2\.": "decoder.head.1.",
    r"output_conv\.4\.": "decoder.head.2.",
}
#: The released code builds it and never runs it: the coarsest stage has nothing to be added to.
UNUSED = "path4.resConfUnit1."


def ours(name: str) -> str:
    """Return the name of a published weight in this package."""
    for pattern, place in RENAMES.items():
        if match := re.match(pattern, name):
            groups = [str(int(g) - 1) if g.isdigit() else g for g in match.groups()]
            prefix = place
            for number, group in enumerate(groups, start=1):
                prefix = prefix.replace(f"\\{number}", group)
            return prefix + name[match.end() :]
    raise KeyError(name)


class RecordedStages(nn.Module):
    """An encoder that returns the recorded stages for any input."""

    def __init__(self, stages: list[Tensor]) -> None:
        super().__init__()
        self.stages = stages

    def forward(self, _: Tensor) -> list[Tensor]:
        """Return the stages."""
        return self.stages


class Case:
    """The recorded case, and our model with the same weights."""

    def __init__(self) -> None:
        with np.load(Path(__file__).parent / "tpavi.npz") as recorded:
            self.recorded: dict[str, Any] = {key: recorded[key] for key in recorded.files}
        shapes: dict[str, list[int]] = json.loads(str(self.recorded["shapes"]))
        self.published = {name: make_weight(name, shape, 0) for name, shape in shapes.items()}
        generator = torch.Generator().manual_seed(0)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator).double()

        count = CLIPS * FRAMES
        self.stages = [normal(count, dim, 8 >> i, 8 >> i) for i, dim in enumerate(DIMS)]
        self.audio = normal(count, 128).view(CLIPS, FRAMES, 128)
        truth = torch.rand(count, 1, 32, 32, generator=generator) > 0.7
        self.targets = truth.view(CLIPS, FRAMES, 32, 32)

    def model(self, matching_weight: float = 0.0) -> TpaviModel:
        """Build our model in float64."""
        hiera = HieraConfig(
            image_size=32, embed_dims=DIMS, num_heads=[1] * 4, blocks_per_stage=[1] * 4,
            global_blocks=[],
        )  # fmt: skip
        config = TpaviConfig(
            hiera_config=hiera,
            clap_config=CLAP.to_dict() | {"projection_dim": 128},
            dim=16,
            window_s=0.25,
            matching_weight=matching_weight,
        )
        model = TpaviModel(config)
        weights = {
            ours(name): values for name, values in self.published.items() if UNUSED not in name
        }
        wanted = model.state_dict()
        missing = {
            name for name in wanted if not name.startswith(("encoder.", "clap."))
        } - weights.keys()
        assert all(name.endswith("num_batches_tracked") for name in missing)
        model.load_state_dict(
            wanted | {name: values.view_as(wanted[name]) for name, values in weights.items()}
        )
        model.encoder = RecordedStages(self.stages)  # type: ignore[assignment]
        return model.double()

    def inputs(self) -> dict[str, Tensor]:
        """Return the inputs of the model; the frames have no effect."""
        frames = torch.zeros(CLIPS, FRAMES, 3, 32, 32)
        return {"pixel_values": frames, "clap_embeddings": self.audio, "targets": self.targets}


def close(tensor: Tensor, recorded: Any) -> None:
    """Require equality up to rounding."""
    torch.testing.assert_close(
        tensor.detach(), torch.as_tensor(recorded), atol=TOLERANCE, rtol=0, check_dtype=False
    )


@pytest.fixture(scope="module")
def case() -> Case:
    return Case()


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_attention_and_masks_equal_avsbenchs(case: Case, mode: str) -> None:
    model = case.model().train(mode == "train")
    mixed: list[Tensor] = []
    for interaction in model.interactions:
        interaction.register_forward_hook(lambda *args: mixed.append(args[2][0]))
    masks = model(**case.inputs()).mask_logits.flatten(0, 1)
    for i, maps in enumerate(mixed):
        step = 2 if i == 0 else 1
        recorded = case.recorded[f"{mode}.stage{i}"]
        close(maps.transpose(1, 2)[..., ::step, ::step], recorded)
    close(masks[:, ::4, ::4], case.recorded[f"{mode}.masks"])


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_losses_and_gradients_equal_avsbenchs(case: Case, mode: str) -> None:
    bce, summed = (case.recorded[f"{mode}.{name}"] for name in ("bce", "matching"))
    plain = case.model().train(mode == "train")
    close(plain(**case.inputs()).loss, bce)
    # Theirs sums over the frames of the batch, ours is their mean.
    model = case.model(matching_weight=0.5 * CLIPS * FRAMES).train(mode == "train")
    loss = model(**case.inputs()).loss
    close(loss, bce + 0.5 * summed)
    loss.backward()
    norms = {name: p.grad.norm() for name, p in model.named_parameters() if p.grad is not None}
    gradients: dict[str, float | None] = json.loads(str(case.recorded[f"{mode}.gradients"]))
    assert {name for name, norm in gradients.items() if norm is None} == {
        name for name in gradients if UNUSED in name
    }
    for name, norm in gradients.items():
        if norm is not None:
            assert norms[ours(name)].item() == pytest.approx(norm, abs=TOLERANCE), name


def test_adapters_equal_those_of_sama() -> None:
    with np.load(Path(__file__).parent / "sama_adapters.npz") as recorded:
        shapes, prompts = json.loads(str(recorded["shapes"])), recorded["prompts"]
    weights = {
        re.sub(r"lightweight_mlp_(\d+)", r"blocks.\1", name): make_weight(name, shape, 0)
        for name, shape in shapes.items()
    }
    weights = {name.replace("shared_mlp", "shared"): value for name, value in weights.items()}
    adapters = BlockAdapters(20, 12, [24] * 3)
    adapters.load_state_dict(weights)
    audio = torch.randn(4, 20, generator=torch.Generator().manual_seed(0)).double()
    for vector, expected in zip(adapters.double()(audio), prompts, strict=True):
        close(vector, expected)
