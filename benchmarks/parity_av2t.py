"""How far is AV2T-SAM from recorded outputs of the authors' code, with the same weights and inputs?

    python benchmarks/parity_av2t.py --recorded FILE.npz --shapes FILE.json --seed N --frames T

`--shapes` is a JSON file with the names and shapes of the published state dict. `weight` and
`inputs` generate weights and inputs from names, shapes and the seed, so no published weights are
needed. If the recorded file is of a training step, loss and gradients are compared too. The script
prints, for every recorded tensor, the largest absolute difference, the scale (the largest absolute
recorded value) and the tolerance. It exits with 1 if a difference is above its tolerance.

The recordings were made with AVX2 instructions. Instructions with longer vectors sum in another
order, and the decoder amplifies the difference tenfold. So this script uses AVX2 too, unless
ATEN_CPU_CAPABILITY, ONEDNN_MAX_CPU_ISA and MKL_ENABLE_INSTRUCTIONS are set.
"""

import argparse
import json
import os
import re
import resource
import sys
import time
import zlib
from pathlib import Path
from typing import Any

# Read when torch is loaded.
os.environ.setdefault("ATEN_CPU_CAPABILITY", "avx2")
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
os.environ.setdefault("MKL_ENABLE_INSTRUCTIONS", "AVX2")

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avseg.backbones.sam import ImageFeatures
from avseg.backbones.sam1 import PromptedSam1Config
from avseg.backbones.sam2 import PromptedSam2Config
from avseg.checkpoints.keymaps.av2t_sam import av2t_sam
from avseg.checkpoints.keymaps.key_map import KeyMap
from avseg.models.av2t_sam import Av2tSamConfig, Av2tSamModel

#: Tolerance of a feature, relative to its scale: rounding in float32.
FEATURES = 1e-5
#: Absolute tolerance of mask logits, predicted IoU and the loss; the decoder amplifies rounding.
MASKS = 2e-3
#: Tolerance of a gradient, relative to its norm or to its largest value. The gradient passes
#: through the decoder, where a layer norm of nearly constant tokens amplifies rounding: the
#: authors' code in float32 differs by up to 5e-3 from itself in float64; in float64 both codes
#: agree to 1e-11.
GRADIENTS = 1e-2
#: Norm below which a gradient is a rounding error.
NO_GRADIENT = 1e-4

#: Tensors computed after the mask decoder; all others are features.
_AFTER_THE_DECODER = ("low_res_masks", "iou", "pred_masks", "loss")

#: Words in the names of embedding tables, whose values are larger than those of matrices.
_TABLES = ("embed_positions", "text_embed", "_embed.weight", "point_embeddings", "token")
_PIXEL_STATISTICS = {
    "pixel_mean": (123.675, 116.28, 103.53),
    "pixel_std": (58.395, 57.12, 57.375),
}


def weight(name: str, shape: list[int], seed: int) -> Tensor:
    """Generate the values of a published tensor from its name, its shape and the seed."""
    last = name.rpartition(".")[2]
    if last in _PIXEL_STATISTICS:
        return torch.tensor(_PIXEL_STATISTICS[last]).reshape(shape)
    number = (zlib.crc32(name.encode()) + 1000003 * seed) % 2**31
    values = torch.randn(shape, generator=torch.Generator().manual_seed(number))
    if "gaussian_matrix" in name:
        return values
    if last == "weight" and len(shape) == 1:
        return 1 + 0.2 * values
    if last == "weight" and any(word in name for word in _TABLES):
        return 0.5 * values
    if last == "weight":
        return values * (0.7 / values[0].numel() ** 0.5)
    return (0.05 if last == "bias" else 0.3) * values


def inputs(seed: int, frames: int) -> dict[str, Tensor]:
    """Generate the model inputs for one clip."""
    generator = torch.Generator().manual_seed(10_000 + seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(1, frames, *shape, generator=generator)

    return {
        "pixel_values_sam": normal(3, 1024, 1024),
        "pixel_values_beit3": normal(3, 224, 224).clamp(-1, 1),
        "clip_embeddings": normal(512),
        "clap_embeddings": normal(1024),
    }


def target(seed: int, frames: int) -> Tensor:
    """Generate the ground-truth masks of a training step, (1, T, 224, 224)."""
    generator = torch.Generator().manual_seed(20_000 + seed)
    return (torch.rand(1, frames, 224, 224, generator=generator) > 0.7).float()


def build(
    shapes: dict[str, list[int]], seed: int, sam: int, adapters: bool
) -> tuple[Av2tSamModel, KeyMap]:
    """Build the model at its published size, without CLIP and CLAP: their embeddings are inputs."""
    sam_config = PromptedSam1Config() if sam == 1 else PromptedSam2Config()
    with torch.device("meta"):
        model = Av2tSamModel(Av2tSamConfig(sam_config=sam_config, adapters=adapters))
        model.clip, model.clap = nn.Identity(), nn.Identity()
    table = av2t_sam(sam, "mul")
    published = {
        name: weight(name, shape, seed)
        for name, shape in shapes.items()
        if adapters or not name.startswith("audio_prompt_generator.")
    }
    trains = {name for name, values in model.named_parameters() if values.requires_grad}
    model.load_state_dict(table.fit(published, model.state_dict()).tensors, assign=True)
    for name, values in model.named_parameters():
        values.requires_grad_(name in trains)
    return model.eval(), table


class Record:
    """Intermediate tensors of a forward pass, under their names in the recorded file.

    Args:
        model: The model; its methods are wrapped, its weights are not changed.
    """

    def __init__(self, model: Av2tSamModel) -> None:
        self.tensors: dict[str, Tensor] = {}
        self._sam = model.segmenter.sam
        self._watch(self._sam, "encode_images", self._encoded)
        self._watch(self._sam, "decode_masks", self._decoded)
        self._watch(model.segmenter, "text_prompts", self._prompted)
        model.segmenter.beit3.register_forward_hook(self._read)

    def _watch(self, owner: Any, name: str, keep: Any) -> None:
        method = getattr(owner, name)

        def watched(*args: Any, **options: Any) -> Any:
            out = method(*args, **options)
            keep(args, out)
            return out

        setattr(owner, name, watched)

    def _encoded(self, args: tuple[Any, ...], features: ImageFeatures) -> None:
        prompts = args[1] if len(args) > 1 and args[1] is not None else []
        self.tensors |= {f"block_prompts.{i}": values for i, values in enumerate(prompts)}
        if len(features.levels) == 1:
            self.tensors["image_embed"] = features.embeddings
            return
        sam2, (top, stride8, stride4) = self._sam.sam2, features.levels
        # The recording was made before SAM 2 adds its "no memory" vector, so subtract it again.
        self.tensors["fpn_top"] = top - sam2.no_memory_embedding.view(1, -1, 1, 1)
        self.tensors["high_res_s1"] = sam2.mask_decoder.conv_s1(stride8)
        self.tensors["high_res_s0"] = sam2.mask_decoder.conv_s0(stride4)

    def _read(self, _: nn.Module, args: tuple[Any, ...], cls: Tensor) -> None:
        self.tensors |= {"text_embeds": args[1], "beit3_cls": cls}

    def _prompted(self, _: tuple[Any, ...], prompt: Tensor) -> None:
        self.tensors["text_prompt"] = prompt

    def _decoded(self, _: tuple[Any, ...], prediction: Any) -> None:
        self.tensors["low_res_masks"] = prediction.mask_logits
        self.tensors["iou"] = prediction.iou_predictions


class Table:
    """Printed table of differences; `failed` is set if one is above its tolerance."""

    def __init__(self) -> None:
        self.failed = False
        print(f"{'tensor':60} {'difference':>10} {'scale':>9} {'tolerance':>9}")

    def row(self, name: str, difference: float, scale: float, tolerance: float) -> None:
        """Print one row; NaN counts as a failure."""
        passed = difference <= tolerance
        self.failed |= not passed
        verdict = "" if passed else "  ABOVE"
        print(f"{name:60} {difference:10.1e} {scale:9.3g} {tolerance:9.1e}{verdict}", flush=True)

    def compare(self, name: str, ours: Tensor, recorded: np.ndarray, tolerance: float) -> None:
        """Compare two tensors with the same number of values, in the same order."""
        reference = torch.from_numpy(recorded)
        difference = (ours.detach().reshape(reference.shape) - reference).abs().max().item()
        self.row(name, difference, reference.abs().max().item(), tolerance)


def compare_outputs(table: Table, recorded: Any, ours: dict[str, Tensor]) -> list[str]:
    """Compare features and masks; return the recorded names that were not compared."""
    others = []
    for name in recorded.files:
        part = re.fullmatch(r"(.+?)(?:_every(\d+))?", name)
        if part is None or part[1] not in ours:
            others.append(name)
            continue
        values, step = ours[part[1]], int(part[2] or 1)
        if step > 1:
            values = values[..., ::step, ::step]
        scale = float(np.abs(recorded[name]).max())
        tolerance = MASKS if part[1] in _AFTER_THE_DECODER else FEATURES * scale
        table.compare(name, values, recorded[name], tolerance)
    return others


def compare_gradients(table: Table, recorded: Any, model: nn.Module, names: KeyMap) -> None:
    """Compare the norms of all gradients, some whole gradients, and which parameters have none."""
    trained = {name: values for name, values in model.named_parameters() if values.requires_grad}
    gradients = names.to_published(
        {name: values.grad for name, values in trained.items() if values.grad is not None}
    )
    norms = dict(zip(recorded["grad_norm_names"].tolist(), recorded["grad_norms"], strict=True))
    table.row("parameters with a gradient: names differ", len(norms.keys() ^ gradients), 0, 0)
    for name, norm in norms.items():
        if name in gradients:
            difference = abs(gradients[name].norm().item() - norm)
            tolerance = max(GRADIENTS * norm, NO_GRADIENT)
            table.row(f"norm of {_short(name)}", difference, norm, tolerance)
    for key in recorded.files:
        name = key.removeprefix("grad.")
        if key != name and name in gradients:
            scale = float(np.abs(recorded[key]).max())
            tolerance = max(GRADIENTS * scale, NO_GRADIENT)
            table.compare(f"gradient of {_short(name)}", gradients[name], recorded[key], tolerance)
    without = names.to_published({n: v for n, v in trained.items() if v.grad is None})
    expected = set(recorded["no_grad_trainable"].tolist())
    table.row("trained without a gradient: names differ", len(expected ^ without.keys()), 0, 0)


def _short(name: str) -> str:
    """Shorten a parameter name to the width of the table."""
    return name.removeprefix("model.visual_model.")[-48:]


def main() -> int:
    """Run the comparison and return the exit code, 0 if all is within tolerance."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--recorded", type=Path, required=True)
    parser.add_argument("--shapes", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--frames", type=int, default=1)
    parser.add_argument("--sam", type=int, choices=(1, 2), default=2)
    parser.add_argument("--no-adapters", action="store_true")
    arguments = parser.parse_args()

    recorded = np.load(arguments.recorded)
    shapes = json.loads(arguments.shapes.read_text(encoding="utf-8"))
    model, names = build(shapes, arguments.seed, arguments.sam, not arguments.no_adapters)
    record = Record(model)
    clip = inputs(arguments.seed, arguments.frames)
    start = time.perf_counter()
    table = Table()
    if "loss" in recorded.files:
        model.activation_checkpointing_enable()
        outputs = model(**clip, targets=target(arguments.seed, arguments.frames))
        outputs.loss.backward()
        record.tensors["loss"] = outputs.loss
    else:
        with torch.no_grad():
            outputs = model(**clip)
    masks = F.interpolate(outputs.mask_logits[0].unsqueeze(1), (224, 224), mode="bilinear")
    record.tensors["pred_masks"] = masks
    others = compare_outputs(table, recorded, record.tensors)
    if "loss" in recorded.files:
        compare_gradients(table, recorded, model, names)
        others = [name for name in others if "grad" not in name]
    for name in others:
        print(f"{name:60} not compared: no tensor of this name")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{time.perf_counter() - start:.0f} s, peak memory {memory:.1f} GB")
    return int(table.failed)


if __name__ == "__main__":
    sys.exit(main())
