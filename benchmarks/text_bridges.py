"""Which segmenter does pseudo text prompt better, EVF-SAM or SAM 3? Equal steps, several seeds.

python benchmarks/text_bridges.py WORK [--segmenter-steps N] [--bridge-steps N] [--seeds N]

Both segmenters are pre-trained from random weights on the same captions of SynthAVS, and then
frozen as in AV2T-SAM. The bridges get CLIP and CLAP of the packaged av2t-sam-small, and are trained
without adapters. All runs are in WORK; a stopped run is resumed, a finished one is not repeated.
`--only "SAM 3"` trains the runs of one segmenter, so that two processes can share the work; start
the second one when the first trains.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from safetensors.torch import save_file

from avseg.atomic import replace_when_complete
from avseg.checkpoints import find_checkpoint
from avseg.checkpoints.loading import load_checkpoint
from avseg.checkpoints.model_folder import WEIGHTS_FILE, weights_file
from avseg.datasets.layout import Release
from avseg.synthavs.generators import SynthavsOptions
from avseg.synthavs.writer import write_synthavs
from avseg.training.parts import TOWER, WHOLE, Part
from avseg.training.recipe import Recipe, load_recipe, seed_recipe
from avseg.training.run import run_recipe
from avseg.training.tasks.building import build_task
from avseg.training.tasks.task import TaskInputs
from avseg.training.validation import validate

#: Name of a segmenter -> recipe of its pre-training, recipe of the bridge.
RECIPES = {
    "EVF-SAM": ("evf_sam_small", "av2t_sam_small"),
    "SAM 3": ("sam3_small", "av2t_sam3_small"),
}
#: Both segmenters get images of 64 pixels; CLIP gets images of 128. The coarsest features are grids
#: of 4 x 4 (EVF-SAM) and 8 x 8 (SAM 3: at its patches of 16 pixels it learned more slowly); the
#: masks have 16 and 32 pixels a side.
SIZES = {
    "EVF-SAM": ["model.sam_config.image_size=64", "model.beit3_config.image_size=64"],
    "SAM 3": [
        "model.sam3_config.vision_config.backbone_config.image_size=64",
        "model.sam3_config.vision_config.backbone_config.patch_size=8",
    ],
}
CLIPS, EVALUATION_CLIPS, SIDE = 120, 20, 128
SPLITS = ("s4/test_seen", "s4/test", "ms3/test_seen", "ms3/test")
#: On most CPUs bf16 is slower than float32.
PRECISION = "trainer.bf16=false"


def write_towers(runs: Path) -> None:
    """Write CLIP and CLAP of the packaged model as the runs that pre-trained them."""
    model: Any = load_checkpoint(find_checkpoint("av2t-sam-small"))[0]
    for name in ("clip", "clap"):
        folder = runs / f"{name}_small"
        if not folder.exists():
            state = model.get_submodule(name).state_dict()
            with replace_when_complete(folder) as partial:
                partial.mkdir()
                save_file({TOWER + key: v for key, v in state.items()}, partial / WEIGHTS_FILE)


def write_data(folder: Path) -> Path:
    """Write both subsets of SynthAVS, unless they exist already."""
    subsets: tuple[Release, ...] = ("s4", "ms3")
    for subset in subsets:
        options = SynthavsOptions(
            subset=subset, clips=CLIPS, evaluation_clips=EVALUATION_CLIPS, side=SIDE
        )
        write_synthavs(folder, options, workers=1)
    return folder


def plan_segmenter(name: str, steps: int) -> Recipe:
    """Return the recipe of a segmenter's pre-training from random weights."""
    changes = [
        *SIZES[name],
        f"trainer.max_steps={steps}",
        "trainer.per_device_train_batch_size=8",
        f"trainer.warmup_steps={steps // 10}",
        "trainer.save_steps=50",
        "trainer.eval_strategy='no'",
        # The recipes have four captions for each image, which take more time.
        "data.prompts=2",
        "data.measured_size=128",
        # The recipes differ in it.
        "data.generator_version=2",
        PRECISION,
    ]
    return replace(load_recipe(RECIPES[name][0], changes=changes), start_from={})


@torch.no_grad()
def measure_wrong_texts(recipe: Recipe, run: Path) -> float:
    """Return the J of masks from the captions of another image.

    A segmenter that ignores its text, and marks all objects, has this J with true captions too.
    """
    plan = validate(recipe)
    parts = {WHOLE: Part(weights_file(run))}
    task = build_task(plan.task, TaskInputs(plan.config, parts, None, run.parent / "sounds"))
    task.model.eval()
    items: Any = task.measured["seen"]
    measure = task.measure()
    for first in range(0, len(items), 16):
        batch = task.collate([items[i] for i in range(first, first + 16)])
        batch["captions"] = batch["captions"].roll(1, dims=0)
        measure.update(task.model(**batch), batch)
    return measure.compute()["iou"]


def plan_bridge(name: str, steps: int, seed: int) -> Recipe:
    """Return the recipe of a bridge without adapters."""
    changes = [
        *SIZES[name],
        f"trainer.max_steps={steps}",
        "trainer.per_device_train_batch_size=8",
        f"trainer.warmup_steps={steps // 10}",
        "trainer.save_strategy=steps",
        "trainer.save_steps=50",
        "trainer.eval_strategy='no'",
        "model.adapters=false",
        "data.measured=[ms3/val]",
        f"data.tested=[{','.join(SPLITS)}]",
        PRECISION,
    ]
    return seed_recipe(load_recipe(RECIPES[name][1], changes=changes), seed)


def print_table(scores: dict[str, list[dict[str, float]]], texts: dict[str, list[float]]) -> None:
    """Print J / F of each bridge on each split, mean and standard deviation over seeds.

    `texts` has three scores of each segmenter: J of true captions, J of wrong captions, and the
    share of captions without a visible object whose mask is empty.
    """
    print("| segmenter | true texts | wrong texts | absent: empty |", " | ".join(SPLITS), "|")
    print("| --- | --- | --- | --- |", " | ".join("---" for _ in SPLITS), "|")
    for name, runs in scores.items():
        cells = []
        for split in SPLITS:
            key = f"eval_{split.replace('/', '_')}"
            js, fs = ([run[f"{key}_{measure}"] for run in runs] for measure in ("j", "f"))
            spread = f" ± {stdev(js):.3f}" if len(js) > 1 else ""
            cells.append(f"{mean(js):.3f}{spread} / {mean(fs):.3f}")
        given = " | ".join(f"{score:.3f}" for score in texts[name])
        print(f"| {name} | {given} |", " | ".join(cells), "|")


def main() -> None:
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--segmenter-steps", type=int, default=1000)
    parser.add_argument("--bridge-steps", type=int, default=150)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=[*RECIPES], action="append")
    options = parser.parse_args()
    work: Path = options.work
    runs = work / "runs"
    write_towers(runs)
    data = write_data(work / "data")
    scores, texts = {}, {}
    for name in options.only or RECIPES:
        segmenter, bridge = RECIPES[name]
        recipe = plan_segmenter(name, options.segmenter_steps)
        measured = run_recipe(recipe, runs / segmenter)
        wrong = measure_wrong_texts(recipe, runs / segmenter)
        texts[name] = [measured["eval_seen_iou"], wrong, measured["eval_seen_clean"]]
        # EVF-SAM's bridge starts from a run of another name in its recipe.
        start = {"segmenter": segmenter}
        scores[name] = []
        for seed in range(options.seeds):
            recipe = plan_bridge(name, options.bridge_steps, seed)
            recipe = replace(recipe, start_from=recipe.start_from | start)
            output = runs / f"{bridge}_{seed}"
            scores[name].append(run_recipe(recipe, output, data, work / "features"))
    print_table(scores, texts)


if __name__ == "__main__":
    main()
