"""Is avseg as fast as the authors' AV2T-SAM, and are the outputs the same?

    python benchmarks/beside_the_authors.py CLONE WORK --task forward|train_step|score
        [--sam 1|2] [--frames 1] [--rounds 1] [--device cpu|cuda] [--bf16] [--memory normal|low]
        [--image-size 1024] [--recomputed-blocks N] [--plain]

CLONE is a clone of github.com/bok-bok/AV2T-SAM (_authors.py lists what it needs), WORK a folder for
4 GB of weights, which are written once. The model is AV2T-SAM on SAM 2 Hiera-L (`--sam 1`: SAM
ViT-H) with product features and adapters. Weights and inputs are random, made as in parity_av2t.py.
The authors' code ("theirs") and avseg ("ours") run in turn, each in a new process. For each side
the script prints the processor time of all threads, the elapsed time, and the peak of resident
memory after the model is loaded. Then it prints the ratios and the differences of the outputs.

`train_step` is one batch through their training loop, with anomaly detection and F-measure as in
their script; `--plain` omits these two. `score` is one F-measure with 255 thresholds. The options
--bf16 (autocast), --memory, --image-size and --recomputed-blocks apply to ours only.

`floor_s` is a lower bound of our time: the number of floating-point operations
(torch.utils.flop_counter) over the speed of a matrix product on this machine, measured in the same
process.

`--device cuda` has not been run yet.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from _authors import build as build_theirs
from _authors import f_measure, prepare, quiet, train_step
from _cost import Cost, counted_without_values, matrix_rate, measure
from _material import circumstances
from parity_av2t import inputs, target, weight
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from avseg.allocator import reuse_freed_memory
from avseg.backbones import PromptedSam1Config, PromptedSam2Config
from avseg.checkpoints.keymaps.av2t_sam import av2t_sam
from avseg.checkpoints.loading import load_checkpoint
from avseg.checkpoints.model_folder import WEIGHTS_FILE, Checkpoint
from avseg.cli.main import TRAINING_LIMIT
from avseg.metrics.binary import FScore
from avseg.models.av2t_sam import Av2tSamConfig, Av2tSamModel, Av2tSamProcessor
from avseg.models.outputs import resize_logits

SEED = 1
SIDE = 1024
SAMS: dict[int, Any] = {1: PromptedSam1Config, 2: PromptedSam2Config}


def main() -> None:
    """Run both sides in turn and print their costs and differences."""
    options = parse()
    if options.side:
        print(json.dumps(SIDES[options.side](options)))
        return
    folder = model_folder(options)
    if options.task != "score" and not folder.exists():
        run(options, "prepare")
    found: dict[str, list[dict[str, Any]]] = {"theirs": [], "ours": []}
    for _ in range(options.rounds):
        for side, rows in found.items():
            rows.append(run(options, side))
            print(side, json.dumps(rows[-1]), flush=True)
    best = {side: min(rows, key=lambda row: row["cpu_s"]) for side, rows in found.items()}
    for name in ("cpu_s", "wall_s", "peak_gb"):
        ratio = best["theirs"][name] / best["ours"][name]
        print(f"{name}: theirs / ours = {ratio:.2f}, ours / theirs = {1 / ratio:.1%}")
    print(json.dumps(compare(options, best)))
    print(json.dumps(circumstances()))


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("clone", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--task", choices=("forward", "train_step", "score"), default="forward")
    parser.add_argument("--sam", type=int, choices=(1, 2), default=2)
    parser.add_argument("--frames", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--device", type=torch.device, default="cpu")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--memory", choices=("normal", "low"), default="normal")
    parser.add_argument("--image-size", type=int, default=SIDE)
    parser.add_argument("--recomputed-blocks", type=int)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--side", choices=tuple(SIDES), help=argparse.SUPPRESS)
    return parser.parse_args()


def run(options: argparse.Namespace, side: str) -> dict[str, Any]:
    """Run one side in a new process, with the same command line."""
    options.work.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, *sys.argv, "--side", side]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603 - this script
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return row


def compare(options: argparse.Namespace, best: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Compute the differences between the outputs of the two sides."""
    if options.task == "score":
        return {"f_difference": abs(best["theirs"]["f"] - best["ours"]["f"])}
    theirs, ours = (torch.load(options.work / f"{side}.pt") for side in ("theirs", "ours"))
    if options.task == "forward":
        marked = (theirs["masks"] > 0, ours["masks"] > 0)
        return {
            "largest_difference": (theirs["masks"] - ours["masks"]).abs().max().item(),
            "scale": theirs["masks"].abs().max().item(),
            "mask_iou": ((marked[0] & marked[1]).sum() / (marked[0] | marked[1]).sum()).item(),
            "flipped_pixels": int((marked[0] ^ marked[1]).sum()),
        }
    names = av2t_sam(options.sam, "mul")
    gradients = names.to_published(ours["gradients"])
    reference = theirs["gradients"]
    far = [
        ((gradients[name] - values).norm() / values.norm()).item()
        for name, values in reference.items()
        if values.norm() > 1e-4  # smaller norms are rounding errors
    ]
    return {
        "loss_difference": abs(theirs["loss"] - ours["loss"]),
        "largest_relative_gradient_difference": max(far),
        "median_relative_gradient_difference": sorted(far)[len(far) // 2],
        "gradients_of_one_side_only": len(reference.keys() ^ gradients.keys()),
    }


def model_folder(options: argparse.Namespace) -> Path:
    """Return the folder of the weights in avseg's format."""
    folder: Path = options.work / f"sam{options.sam}"
    return folder


def prepare_weights(options: argparse.Namespace) -> dict[str, Any]:
    """Convert the random weights of the authors' model to an avseg model folder."""
    prepare(options.clone, torch.device("cpu"))
    with quiet():
        theirs = build_theirs(options.clone, None, options.sam)
    shapes = {name: list(values.shape) for name, values in theirs.state_dict().items()}
    del theirs
    config = Av2tSamConfig(sam_config=SAMS[options.sam]())
    with torch.device("meta"):
        model = Av2tSamModel(config)
    towers = {n: v for n, v in model.state_dict().items() if n.startswith(("clip.", "clap."))}
    system = {n: v for n, v in model.state_dict().items() if n not in towers}
    published = {name: weight(name, shape, SEED) for name, shape in shapes.items()}
    tensors = av2t_sam(options.sam, "mul").fit(published, system).tensors
    # Both sides get the embeddings of CLIP and CLAP as inputs, so these towers need no weights.
    tensors |= {n: torch.zeros(v.shape, dtype=v.dtype) for n, v in towers.items()}
    folder = model_folder(options)
    folder.mkdir()
    config.save_pretrained(folder)
    Av2tSamProcessor.from_config(config).save_pretrained(folder)
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    return {}


def run_theirs(options: argparse.Namespace) -> dict[str, Any]:
    """Run the authors' side."""
    prepare(options.clone, options.device)
    if options.task == "score":
        probs, targets = scored_masks(options.frames)
        with quiet():
            f_measure(probs[:1], targets[:1])  # warm-up: imports their module
            cost, value = measure(lambda: f_measure(probs, targets), options.device)
        return asdict(cost) | {"f": value}
    clip = inputs(SEED, options.frames)
    with quiet():
        model = build_theirs(options.clone, SEED, options.sam).to(options.device)
        if options.task == "forward":
            model.eval()
            batch = [values.to(options.device) for values in clip.values()]
            with torch.no_grad():
                cost, masks = measure(lambda: model(*batch, None), options.device)
            torch.save({"masks": masks[:, 0].cpu()}, options.work / "theirs.pt")
            return asdict(cost)
        targets = target(SEED, options.frames)
        cost, loss = measure(
            lambda: train_step(model, clip, targets, not options.plain), options.device
        )
    save_gradients(model, loss, options.work / "theirs.pt")
    return asdict(cost)


def run_ours(options: argparse.Namespace) -> dict[str, Any]:
    """Run avseg's side, with the allocator settings of the `avseg` command."""
    reuse_freed_memory(TRAINING_LIMIT if options.task == "train_step" else None)
    if options.task == "score":
        probs, targets = scored_masks(options.frames)
        repeats = 200  # one call takes less than a millisecond
        cost, values = measure(lambda: [score(probs, targets) for _ in range(repeats)], "cpu")
        return {"cpu_s": cost.cpu_s / repeats, "wall_s": cost.wall_s / repeats} | {
            "peak_gb": cost.peak_gb,
            "f": values[0],
        }
    size = None if options.image_size == SIDE else options.image_size
    checkpoint = Checkpoint("beside", model_folder(options))
    model, _ = load_checkpoint(checkpoint, options.memory, size)
    model = model.to(options.device)
    clip = {
        name: values.to(options.device) for name, values in inputs(SEED, options.frames).items()
    }
    if size is not None:
        pictures = clip["pixel_values_sam"].flatten(0, 1)
        pictures = F.interpolate(pictures, (size, size), mode="bilinear", antialias=True)
        clip["pixel_values_sam"] = pictures.unsqueeze(0)
    precision = (
        torch.autocast(options.device.type, torch.bfloat16) if options.bf16 else nullcontext()
    )
    with precision:
        if options.task == "forward":
            with torch.no_grad():
                cost, logits = measure(lambda: forward(model, clip, options.memory), options.device)
            masks = resize_logits(logits.float().flatten(0, 1), (224, 224))
            torch.save({"masks": masks.cpu()}, options.work / "ours.pt")
        else:
            model.train()
            sam: Any = model.segmenter.sam
            sam.gradient_checkpointing = options.recomputed_blocks != 0
            sam.recomputed_blocks = options.recomputed_blocks
            targets = target(SEED, options.frames).to(options.device)
            cost, loss = measure(lambda: step(model, clip, targets), options.device)
            save_gradients(model, loss, options.work / "ours.pt")
    return asdict(cost) | floor(options, cost)


def forward(model: Any, clip: dict[str, Tensor], memory: str) -> Tensor:
    """Run the model on all frames at once, or one by one, as a segmenter with low memory does."""
    if memory == "normal":
        logits: Tensor = model(**clip).mask_logits
        return logits
    frames = next(iter(clip.values())).shape[1]
    parts = [
        model(**{name: values[:, i : i + 1] for name, values in clip.items()}).mask_logits
        for i in range(frames)
    ]
    return torch.cat(parts, dim=1)


def step(model: Any, clip: dict[str, Tensor], targets: Tensor) -> float:
    """Run one training step and return the loss."""
    trained = [values for values in model.parameters() if values.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=2e-4)
    loss = model(**clip, targets=targets).loss
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def score(probs: Tensor, targets: Tensor) -> float:
    """Compute the F-measure of one clip."""
    measure_f = FScore()
    measure_f.update(probs, targets)
    return measure_f.compute()


def scored_masks(frames: int) -> tuple[Tensor, Tensor]:
    """Return smooth probabilities, and discs as ground truth, (T, 224, 224) each."""
    noise = torch.randn(frames, 1, 14, 14, generator=torch.Generator().manual_seed(SEED))
    probs = F.interpolate(noise, (224, 224), mode="bicubic").squeeze(1).sigmoid()
    rows, columns = torch.meshgrid(torch.arange(224), torch.arange(224), indexing="ij")
    disc = (rows - 100).square() + (columns - 120).square() < 60**2
    return probs, disc.expand(frames, -1, -1)


def save_gradients(model: torch.nn.Module, loss: float, path: Path) -> None:
    """Save the loss and the gradients of the trainable parameters for the comparison."""
    gradients = {
        name: values.grad.cpu()
        for name, values in model.named_parameters()
        if values.grad is not None
    }
    torch.save({"loss": loss, "gradients": gradients}, path)


def floor(options: argparse.Namespace, cost: Cost) -> dict[str, float]:
    """Compare our time with the time that the matrix products alone would take.

    Args:
        options: The command line.
        cost: Measured cost of our side.

    Returns:
        Operations, speed of this machine, lower bound of the time, and its share of our time.
    """
    dtype = torch.bfloat16 if options.bf16 else torch.float32
    on_gpu = options.device.type == "cuda"
    rate = matrix_rate(options.device, dtype)
    operations = count_operations(options)
    floor_s = operations / rate
    return {
        "gflop": round(operations / 1e9),
        "matmul_gflop_per_s": round(rate / 1e9),
        "floor_s": round(floor_s, 3),
        "floor_share": round(floor_s / (cost.wall_s if on_gpu else cost.cpu_s), 3),
    }


def count_operations(options: argparse.Namespace) -> int:
    """Count the operations of matrix products and attention, on the meta device."""
    config = Av2tSamConfig(sam_config=SAMS[options.sam](image_size=options.image_size))
    with torch.device("meta"):
        model = Av2tSamModel(config)
        clip = {name: values.to("meta") for name, values in inputs(SEED, options.frames).items()}
        side = (options.image_size, options.image_size)
        clip["pixel_values_sam"] = torch.empty(1, options.frames, 3, *side)
        with counted_without_values() as counter:
            if options.task == "forward":
                with torch.no_grad():
                    model(**clip)
            else:
                model(**clip, targets=target(SEED, options.frames).to("meta")).loss.backward()
    return counter.get_total_flops()


SIDES: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "prepare": prepare_weights,
    "theirs": run_theirs,
    "ours": run_ours,
}

if __name__ == "__main__":
    main()
