"""How far is TAViS at full size from recorded outputs of the authors' code, with the same weights?

    python benchmarks/parity_tavis.py --recorded FILE.npz

ImageBind-Huge and SAM 2 Hiera-L at 224 pixels, with the behaviour of the released code; one clip of
three frames and 71 names, one training step in evaluation mode, float32. The script prints, for
every recorded tensor, the largest absolute difference, the scale (the largest absolute recorded
value) and the tolerance, and then the number of trainable parameters. It exits with 1 if a
difference is above its tolerance. It needs 8 GB of memory.

`weight` generates the weights from the published names and shapes and a seed, `inputs` generates
the inputs from the seed, so the file has outputs only. They were recorded with
github.com/Sssssuperior/TAViS at 00212fe, which does not run as published. Repaired: a string
without its opening quote, and calls that need CUDA. Changed: no rounding of the memory to bfloat16,
no filling of holes in masks, no dropout. N = 3 frames, Q = 5 queries, K = Q + 1 masks:

| key in the file | content |
| --- | --- |
| shapes, seed | names and shapes of the state dict (JSON); seed of weights and inputs |
| sound_tokens, sound_cls, picture_cls | ImageBind's outputs; every third token, every fifth value |
| queries, objects | decomposition: t_W and t_a', (N, Q, 768) |
| pseudo_text, sparse, dense | states (N, K, 1024); prompts (N, K, 256) and (N, 256) |
| adapters.I | vector of block I, (N, width) |
| decoded, ious | three masks of each prompt, every fourth pixel, and their predicted IoU |
| recalled.T, memory_map.T | features after memory attention, and encoded memories; strided |
| masks | the best masks, every fourth pixel of 224 x 224, (N, K, 56, 56) |
| text, text_states | embeddings and states of the names, (71, 1024) |
| by_sound, by_picture | similarities of the queries with the names, (N * Q, 71) |
| a2t, v2t, a2pt, separate, binary, loss_G | losses; the first two over the number of pairs |
| points | points at which masks were compared for matching, (N, 12544, 2) |
| gradient_names | names of the trainable parameters, JSON |
| gradient_norms, gradient_samples | norms of their gradients, (G,), and values from `sample` |

The recording was made with AVX2 instructions. Instructions with longer vectors sum in another
order, so this script uses AVX2 too, unless ATEN_CPU_CAPABILITY, ONEDNN_MAX_CPU_ISA and
MKL_ENABLE_INSTRUCTIONS are set.
"""

import argparse
import json
import math
import os
import resource
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Read when torch is loaded.
os.environ.setdefault("ATEN_CPU_CAPABILITY", "avx2")
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
os.environ.setdefault("MKL_ENABLE_INSTRUCTIONS", "AVX2")

import numpy as np
import torch
from parity_av2t import Table
from torch import Tensor
from torch.nn import functional as F
from transformers.initialization import no_init_weights

from avseg.checkpoints.keymaps.key_map import KeyMap
from avseg.checkpoints.keymaps.tavis import tavis
from avseg.models.outputs import resize_logits
from avseg.models.tavis import TavisConfig, TavisModel
from avseg.models.tavis.losses import compute_losses, total_loss

FRAMES, NAMES, QUERIES = 3, 71, 5

#: Number of values of a gradient that are compared one by one.
_SAMPLES = 64

#: Tolerances relative to the largest value of a tensor, for rounding in float32: of features; of
#: tensors after the mask decoder, where a layer norm of nearly constant tokens amplifies rounding;
#: and of gradients, which pass through the decoder twice.
_FEATURES, _AFTER, _GRADIENTS = 1e-5, 1e-4, 1e-3

#: Absolute tolerance of gradients: some are zero, but are computed as sums that cancel.
_NO_GRADIENT = 1e-7

#: Tensors computed after the mask decoder; all others are features.
_AFTER_THE_DECODER = (
    *("decoded", "ious", "recalled", "memory_map", "masks", "by_picture"),
    *("a2t", "v2t", "a2pt", "separate", "binary", "loss_G"),
)

#: ImageBind's scale of audio embeddings; it is a constant, not a weight.
_SOUND_SCALE = "imagebind.modality_postprocessors.audio.1.log_logit_scale"


def weight(name: str, shape: list[int], seed: int) -> Tensor:
    """Generate the values of a published tensor from its name, its shape and the seed."""
    if name == _SOUND_SCALE:
        return torch.tensor(math.log(20.0))
    generator = torch.Generator().manual_seed(zlib.crc32(f"{seed}/{name}".encode()))
    values = torch.randn(shape, generator=generator)
    if name.endswith("weight") and len(shape) == 1:
        return 1 + 0.2 * values
    if name.endswith("weight"):
        return values * 0.8 / math.sqrt(values[0].numel())
    return 0.2 * values


def inputs(seed: int) -> dict[str, Tensor]:
    """Generate one clip, token IDs of names, and ground truth; the second frame is silent."""
    generator = torch.Generator().manual_seed(seed)
    frames = torch.rand(FRAMES, 3, 28, 28, generator=generator)
    frames = F.interpolate(frames, (224, 224), mode="bilinear")
    sounds = torch.randn(FRAMES, 1, 128, 204, generator=generator)
    texts = torch.randint(1, 400, (NAMES, 77), generator=generator)
    for row in range(NAMES):
        texts[row, 2 + row % 8] = 49407  # the end token of CLIP
    labels = 17 * torch.randint(0, 5, (FRAMES, 4, 4), generator=generator)
    labels[:, 0, 0] = labels[1] = 0
    return {
        "pixel_values": frames.unsqueeze(0),
        "audio_values": sounds.unsqueeze(0),
        "name_ids": texts,
        "targets": labels.repeat_interleave(56, -1).repeat_interleave(56, -2).unsqueeze(0),
    }


def sample(gradient: Tensor) -> Tensor:
    """Select about 64 values of a gradient, evenly spaced."""
    values = gradient.flatten()
    return values[:: max(1, len(values) // _SAMPLES)]


def build(shapes: dict[str, list[int]], seed: int) -> tuple[TavisModel, KeyMap]:
    """Build the model at its published size, with gradient checkpointing to save memory."""
    with no_init_weights():
        model = TavisModel(TavisConfig.release_faithful(memory_at_test=True))
    table = tavis("argmax")
    trains = {name for name, values in model.named_parameters() if values.requires_grad}
    published = {name: weight(name, shape, seed) for name, shape in shapes.items()}
    published[_SOUND_SCALE] = weight(
        _SOUND_SCALE, [], seed
    )  # it is a buffer in their code, so `shapes` lacks it
    model.load_state_dict(table.fit(published, model.state_dict()).tensors, assign=True)
    for name, values in model.named_parameters():
        values.requires_grad_(name in trains)
    for module in model.modules():
        if hasattr(module, "gradient_checkpointing"):
            vars(module)["gradient_checkpointing"] = True
    return model.train(mode=False), table


def compute(model: TavisModel, clip: dict[str, Tensor], points: Tensor) -> dict[str, Tensor]:
    """Run a training step; return all recorded tensors but the gradients, under the same names."""
    found: dict[str, list[Any]] = {"recalled": [], "memory_map": [], "decoded": []}
    hooks = [
        model.memory.attention.register_forward_hook(_keep(found["recalled"])),
        model.memory.encoder.register_forward_hook(_keep(found["memory_map"])),
    ]
    decode = model.sam.decode_masks

    def decode_and_keep(*args: Any, **options: Any) -> Any:
        found["decoded"].append(decode(*args, **options))
        return found["decoded"][-1]

    vars(model.sam)["decode_masks"] = decode_and_keep
    frames, sounds = clip["pixel_values"].flatten(0, 1), clip["audio_values"].flatten(0, 1)
    names = model.encode_names(clip["name_ids"])
    sound, picture_cls = model.encode_inputs(frames, sounds)
    prompts = model.build_prompts(sound, picture_cls)
    masks = model.decode_masks(frames, sound, prompts, (1, FRAMES), None)
    similarities = (
        model.bridge.compare_audio(prompts.objects, names),
        model.bridge.compare_images(frames, masks.logits[:, :-1], names),
    )
    pseudo_text: Any = prompts.pseudo_text
    losses = _losses(
        model,
        masks.logits,
        clip,
        points,
        class_logits=similarities,
        pseudo_text=pseudo_text[:, :-1],
        name_states=names.states,
    )
    losses["loss_G"].backward()
    for hook in hooks:
        hook.remove()
    decomposition: Any = model.decomposition
    adapters: Any = model.adapters
    with torch.no_grad():
        queries, _ = decomposition(sound.tokens, sound.cls)
        vectors = adapters(sound.tokens)
    return losses | {
        "sound_tokens": sound.tokens[:, ::3, ::5],
        "sound_cls": sound.cls,
        "picture_cls": picture_cls,
        "queries": queries,
        "objects": prompts.objects,
        "pseudo_text": pseudo_text,
        "sparse": prompts.sparse,
        "dense": prompts.dense,
        **{f"adapters.{i}": vector for i, vector in enumerate(vectors)},
        "decoded": torch.stack([out.mask_logits for out in found["decoded"]])[..., ::4, ::4],
        "ious": torch.stack([out.iou_predictions for out in found["decoded"]]),
        **{
            f"recalled.{t}": values.transpose(1, 2)[:, ::16, ::9]
            for t, values in enumerate(found["recalled"])
        },
        **{
            f"memory_map.{t}": values[:, ::8, ::4, ::4]
            for t, values in enumerate(found["memory_map"])
        },
        "masks": resize_logits(masks.logits, frames.shape[-2:])[..., ::4, ::4],
        "text": names.embeddings,
        "text_states": names.states,
        "by_sound": similarities[0],
        "by_picture": similarities[1],
    }


def _keep(into: list[Tensor]) -> Callable[..., None]:
    """Return a hook that appends the first output of a module to a list."""
    return lambda _module, _inputs, outputs: into.append(outputs[0])


def _losses(
    model: TavisModel, mask_logits: Tensor, clip: dict[str, Tensor], points: Tensor, **rest: Any
) -> dict[str, Tensor]:
    """Compute the losses; matching compares masks at the recorded points, not at random ones."""
    random, torch.rand = torch.rand, lambda *_, **__: points
    try:
        parts, pairs = compute_losses(
            mask_logits,
            labels=clip["targets"].flatten(0, 1),
            options=model.config.losses,
            **rest,
        )
    finally:
        torch.rand = random
    return {
        "a2t": parts["a2t"] / pairs,
        "v2t": parts["i2t"] / pairs,
        "a2pt": parts["a2pt"],
        "separate": parts["separate"],
        "binary": parts["binary"],
        "loss_G": total_loss(parts, pairs, model.config.losses),
    }


def compare_outputs(table: Table, recorded: dict[str, np.ndarray], ours: dict[str, Tensor]) -> None:
    """Compare all tensors but the gradients."""
    for name, values in ours.items():
        scale = float(np.abs(recorded[name]).max())
        after = name.partition(".")[0] in _AFTER_THE_DECODER
        table.compare(name, values, recorded[name], scale * (_AFTER if after else _FEATURES))


def compare_gradients(
    table: Table, recorded: dict[str, np.ndarray], model: TavisModel, names: KeyMap
) -> None:
    """Compare the norm of every gradient, some of its values, and which parameters have none."""
    trained = {name: values for name, values in model.named_parameters() if values.requires_grad}
    gradients = names.to_published(
        {name: values.grad for name, values in trained.items() if values.grad is not None}
    )
    norms = dict(
        zip(json.loads(str(recorded["gradient_names"])), recorded["gradient_norms"], strict=True)
    )
    table.row("parameters with a gradient: names differ", len(norms.keys() ^ gradients), 0, 0)
    counts = [len(sample(gradients[name])) for name in norms]
    samples = torch.from_numpy(recorded["gradient_samples"]).split(counts)
    for (name, norm), values in zip(norms.items(), samples, strict=True):
        gradient = gradients[name]
        short = name.removeprefix("sam_mask_decoder.")[-46:]
        difference = abs(gradient.norm().item() - norm)
        table.row(f"norm of {short}", difference, norm, max(_GRADIENTS * norm, _NO_GRADIENT))
        tolerance = max(_GRADIENTS * values.abs().max().item(), _NO_GRADIENT)
        table.compare(f"gradient of {short}", sample(gradient), values.numpy(), tolerance)


def main() -> int:
    """Run the comparison and return the exit code, 0 if all is within tolerance."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--recorded", type=Path, required=True)
    arguments = parser.parse_args()

    with np.load(arguments.recorded) as file:
        recorded = {name: file[name] for name in file.files}
    seed = int(recorded["seed"])
    model, names = build(json.loads(str(recorded["shapes"])), seed)
    start = time.process_time()
    ours = compute(model, inputs(seed), torch.from_numpy(recorded["points"]))
    table = Table()
    compare_outputs(table, recorded, ours)
    compare_gradients(table, recorded, model, names)
    trained = sum(values.numel() for values in model.parameters() if values.requires_grad)
    table.row("trainable parameters, in millions", abs(trained / 1e6 - 54.85), 54.85, 0.02)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{trained:,} trainable parameters")
    print(f"{time.process_time() - start:.0f} CPU-s, peak memory {memory:.1f} GB")
    return int(table.failed)


if __name__ == "__main__":
    sys.exit(main())
