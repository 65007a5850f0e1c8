"""How much time and memory does a frame need with each system at its published size?

    python benchmarks/systems_side_by_side.py [--systems tavis,av2t-sam2,av2t-sam1]
        [--tasks forward,train_step]

TAViS at 224 pixels with 71 names, and AV2T-SAM (product of CLIP and CLAP, adapters) on SAM 2 and on
SAM 1 at 1024 pixels; random weights, one frame with its audio, float32, frozen towers included.
Each measurement runs in a new process. The script prints a line of JSON for each with:

- the operations of matrix products and convolutions, in total and for the parts of TAViS. They are
  counted on the meta device; in a training step without the recomputed ones.
- processor time of all threads, and the peak of resident memory after the model is loaded.
- the size of the weights.

A training step is forward, backward and AdamW. For AV2T-SAM, the first blocks of the image encoder
are recomputed in the backward pass to save memory; `SYSTEMS` has their number. TAViS encodes its
names once for all frames, so that time is measured separately, and so is a forward pass that
predicts masks without names.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from _cost import counted_without_values, matrix_rate, measure
from _material import circumstances
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers.initialization import no_init_weights

from avseg.allocator import reuse_freed_memory
from avseg.backbones import PromptedSam1Config, PromptedSam2Config
from avseg.cli.main import TRAINING_LIMIT
from avseg.models.av2t_sam import Av2tSamConfig, Av2tSamModel
from avseg.models.tavis import TavisConfig, TavisModel
from avseg.models.tavis.bridge import Names

NAMES = 71
TASKS = ("forward", "train_step")


@dataclass(frozen=True)
class System:
    """A system at its published size.

    Args:
        build: Function that builds the model.
        inputs: Function that generates the inputs of a model for one frame with its audio.
        recomputed_blocks: Number of image encoder blocks that a training step recomputes.
    """

    build: Callable[[], nn.Module]
    inputs: Callable[[Any], dict[str, Tensor]]
    recomputed_blocks: int = 0


def main() -> None:
    """Run each task with each system and print the measurements."""
    options = parse()
    if options.system:
        print(json.dumps(run(SYSTEMS[options.system], options.task)))
        return
    for task in options.tasks.split(","):
        for system in options.systems.split(","):
            command = [sys.executable, __file__, "--system", system, "--task", task]
            out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout  # noqa: S603 - this file
            print(system, task, out.strip(), flush=True)
    print(json.dumps(circumstances()))


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--system", choices=tuple(SYSTEMS), help=argparse.SUPPRESS)
    parser.add_argument("--task", choices=TASKS, help=argparse.SUPPRESS)
    return parser.parse_args()


def run(system: System, task: str) -> dict[str, Any]:
    """Count the operations of one task, then run and measure it."""
    reuse_freed_memory(TRAINING_LIMIT if task == "train_step" else None)
    operations = count(system, task)
    with no_init_weights():
        model: Any = system.build()
    fill(model)
    clip = system.inputs(model)
    found = {"gflop": {part: round(number / 1e9, 1) for part, number in operations.items()}}
    if isinstance(model, TavisModel):
        cost, _ = measure(lambda: model.encode_names(clip["name_ids"]), "cpu")
        found["names"] = {"cpu_s": cost.cpu_s}
    if task == "forward":
        model.eval()
        with torch.no_grad():
            if isinstance(model, TavisModel):
                alone, _ = measure(lambda: model.predict_masks(**clip), "cpu")
                found["masks_alone"] = {"cpu_s": alone.cpu_s}
            cost, _ = measure(lambda: model(**clip), "cpu")
    else:
        model.train()
        if system.recomputed_blocks:
            sam = model.segmenter.sam
            sam.gradient_checkpointing, sam.recomputed_blocks = True, system.recomputed_blocks
        targets = (torch.rand(1, 1, 224, 224) > 0.7).long()
        cost, _ = measure(lambda: step(model, clip | {"targets": targets}), "cpu")
    weights = sum(4 * values.numel() for values in model.state_dict().values())
    rate = matrix_rate(torch.device("cpu"), torch.float32)
    return (
        asdict(cost)
        | found
        | {
            "weights_gb": round(weights / 1e9, 2),
            "matmul_gflop_per_s": round(rate / 1e9),
            "floor_share": round(operations["all"] / rate / cost.cpu_s, 2),
        }
    )


def step(model: Any, clip: dict[str, Tensor]) -> None:
    """Run one training step: forward, backward and AdamW."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-5)
    model(**clip).loss.backward()
    optimizer.step()


def fill(model: nn.Module) -> None:
    """Fill a model with random weights that keep the scale of activations from layer to layer."""
    with torch.no_grad():
        for name, values in model.state_dict().items():
            if not values.is_floating_point() or "log_scale" in name:
                continue
            if values.ndim > 1:
                values.uniform_(-1, 1).mul_((3 / values[0].numel()) ** 0.5)
            elif name.endswith("weight"):
                values.fill_(1)
            else:
                values.zero_()


def count(system: System, task: str) -> dict[str, int]:
    """Count the operations of a task on the meta device.

    The matching and naming of TAViS depend on values, which meta tensors do not have, and are no
    matrix products. So TAViS is counted up to the masks and similarities that they start from.

    Args:
        system: The system.
        task: "forward" or "train_step".

    Returns:
        Operations in total ("all"), and of each part of TAViS.
    """
    parts: dict[str, int] = {}
    with torch.device("meta"):
        model: Any = system.build()
        clip = system.inputs(model)
    if task == "forward":
        model.requires_grad_(False)
    with counted_without_values() as counter:
        if isinstance(model, TavisModel):
            outputs = count_tavis(model, clip, parts)
        else:
            outputs = model(**clip).mask_logits.sum()
        if task == "train_step":
            forward = counter.get_total_flops()
            outputs.backward()
            parts["backward"] = counter.get_total_flops() - forward
    return {"all": counter.get_total_flops()} | parts


def count_tavis(model: TavisModel, clip: dict[str, Tensor], parts: dict[str, int]) -> Tensor:
    """Run TAViS without matching and naming, and count the operations of each part."""

    def counted(part: str, call: Callable[..., Any], *arguments: Any) -> Any:
        with FlopCounterMode(display=False) as counter:
            result = call(*arguments)
        parts[part] = counter.get_total_flops()
        return result

    frames, sounds = clip["pixel_values"].flatten(0, 1), clip["audio_values"].flatten(0, 1)
    config = model.config.imagebind_config
    names = Names(
        clip["name_ids"],
        states=torch.empty(NAMES, config.text.width, device="meta"),
        embeddings=torch.empty(NAMES, config.dim, device="meta"),
    )
    sound, picture_cls = counted(
        "ImageBind of audio and frame", model.encode_inputs, frames, sounds
    )
    prompts = counted("prompts", model.build_prompts, sound, picture_cls)
    masks = counted("SAM 2", model.decode_masks, frames, sound, prompts, (1, 1), None)
    by_sound = model.bridge.compare_audio(prompts.objects, names)
    queries = masks.logits[:, :-1]
    by_picture = counted(
        "ImageBind of the masked frames", model.bridge.compare_images, frames, queries, names
    )
    results = (masks.logits, by_sound, by_picture, prompts.pseudo_text)
    return torch.stack([values.sum() for values in results]).sum()


def tavis_inputs(model: TavisModel) -> dict[str, Tensor]:
    """Generate one frame with its audio, and names about as long as AVSBench's."""
    audio = model.config.imagebind_config.audio
    ids = torch.zeros(NAMES, 77, dtype=torch.int64)
    ids[:, :6] = torch.arange(1, 7)  # start, "A", three tokens, end (the highest ID)
    return {
        "pixel_values": torch.rand(1, 1, 3, 224, 224),
        "audio_values": torch.randn(1, 1, 1, audio.mel_bins, audio.target_length),
        "name_ids": ids,
    }


def av2t_inputs(model: Av2tSamModel) -> dict[str, Tensor]:
    """Generate one frame with its audio window."""
    config = model.config
    return {
        "pixel_values_sam": torch.randn(1, 1, 3, 1024, 1024),
        "pixel_values_beit3": torch.rand(1, 1, 3, 224, 224) * 2 - 1,
        "pixel_values_clip": torch.randn(1, 1, 3, 224, 224),
        "audio_values": torch.randn(1, 1, round(config.window_s * config.clap_config.sample_rate)),
    }


SYSTEMS = {
    "tavis": System(lambda: TavisModel(TavisConfig()), tavis_inputs),
    "av2t-sam2": System(
        lambda: Av2tSamModel(Av2tSamConfig(sam_config=PromptedSam2Config())), av2t_inputs, 14
    ),
    "av2t-sam1": System(
        lambda: Av2tSamModel(Av2tSamConfig(sam_config=PromptedSam1Config())), av2t_inputs, 32
    ),
}

if __name__ == "__main__":
    main()
