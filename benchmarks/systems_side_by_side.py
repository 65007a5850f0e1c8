"""What does a frame cost with each system at its published size?

    python benchmarks/systems_side_by_side.py [--systems tavis,av2t-sam2,av2t-sam1]
        [--tasks forward,train_step]

TAViS at 224 pixels with 71 names, and AV2T-SAM (product of CLIP and CLAP, adapters) on SAM 2 and on
SAM 1 at 1024 pixels; random weights, one frame with its sound, float32, towers included. Each run
has a process of its own. Prints for each, as a line of JSON: the operations of matrix products and
convolutions, of the whole and of TAViS's parts (counted without being done; a training step without
what is recomputed); processor time of all threads; the peak of resident memory from the moment the
model is loaded; and how much of that the weights are. A training step is forward, backward and
AdamW; with AV2T-SAM the first blocks of the image encoder, as many as in the table at the end, are
recomputed in the backward pass to fit into memory. TAViS has read its names before, once for all
frames; that is timed apart, and so are its masks alone, without names for them.
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

from avseg.backbones import PromptedSam1Config, PromptedSam2Config
from avseg.cli.main import TRAINING_LIMIT, reuse_freed_memory
from avseg.models.av2t_sam import Av2tSamConfig, Av2tSamModel
from avseg.models.tavis import TavisConfig, TavisModel
from avseg.models.tavis.bridge import Names

NAMES = 71
TASKS = ("forward", "train_step")


@dataclass(frozen=True)
class System:
    """A system at its published size.

    Args:
        build: Makes the model.
        inputs: Makes one frame with its sound for a model.
        recomputed_blocks: Blocks of the image encoder that a training step recomputes.
    """

    build: Callable[[], nn.Module]
    inputs: Callable[[Any], dict[str, Tensor]]
    recomputed_blocks: int = 0


def main() -> None:
    """Run each task with each system, and print what it took."""
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
    """Count the operations of one task, then do and measure it."""
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
    """Make one step of the optimiser."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-5)
    model(**clip).loss.backward()
    optimizer.step()


def fill(model: nn.Module) -> None:
    """Give a model random weights that keep the scale of what passes through."""
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
    """Count operations on tensors without values.

    TAViS's matching and naming look at values, and are no matrix products: it is counted up to the
    masks and similarities that they start from.

    Args:
        system: The system.
        task: "forward" or "train_step".

    Returns:
        Of all, and of the parts of TAViS.
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
    """Run TAViS up to what is computed from values, and count each part."""

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
        "ImageBind of sound and frame", model.encode_inputs, frames, sounds
    )
    prompts = counted("prompts", model.build_prompts, sound, picture_cls)
    masks = counted("SAM 2", model.decode_masks, frames, sound, prompts, (1, 1), None)
    by_sound = model.bridge.compare_audio(prompts.objects, names)
    queries = masks.logits[:, :-1]
    by_picture = counted(
        "ImageBind of what is marked", model.bridge.compare_images, frames, queries, names
    )
    results = (masks.logits, by_sound, by_picture, prompts.pseudo_text)
    return torch.stack([values.sum() for values in results]).sum()


def tavis_inputs(model: TavisModel) -> dict[str, Tensor]:
    """Make one frame with its sound, and names of about the length of AVSBench's."""
    audio = model.config.imagebind_config.audio
    ids = torch.zeros(NAMES, 77, dtype=torch.int64)
    ids[:, :6] = torch.arange(1, 7)  # start, "A", three tokens, and the end, which is the highest
    return {
        "pixel_values": torch.rand(1, 1, 3, 224, 224),
        "audio_values": torch.randn(1, 1, 1, audio.mel_bins, audio.target_length),
        "name_ids": ids,
    }


def av2t_inputs(model: Av2tSamModel) -> dict[str, Tensor]:
    """Make one frame with a second of sound."""
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
