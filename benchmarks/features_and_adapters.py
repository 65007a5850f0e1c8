"""Does it listen? The paper's Tables 1 and 2 in small: features x adapters, several seeds.

Trains the bridge of `av2t_sam_small` for each kind of features, with and without adapters, on
SynthAVS, from the same pre-trained parts, and measures J and F on its test splits: single (s4) and
multi source (ms3), in art styles of training (test_seen) and in others (test). A longer training
goes on from the end of the run before it, with the same schedule. Beside them two baselines that
need no model: nothing is marked; all objects are marked.

    python benchmarks/features_and_adapters.py RUNS DATA [--seeds 3] [--kinds mul,clap,clip]
                                               [--stretches 1]

RUNS holds the runs of `clip_small`, `clap_small` and `mask_decoder_small`; a run that is done
is not done again. Prints a Markdown table and writes RUNS/features_and_adapters.json.
"""

import argparse
import json
import statistics
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avseg.datasets.avsbench import AVSBench
from avseg.datasets.synthetic.writer import RECIPE_FILE, draw_clip
from avseg.datasets.synthetic.writer import Recipe as DataRecipe
from avseg.metrics.binary import BinaryMetrics
from avseg.training.recipe import load_recipe
from avseg.training.run import run_recipe

SPLITS = ("s4/test_seen", "s4/test", "ms3/test_seen", "ms3/test")
MEASURES = ("j", "f", "silent_clean")


def main() -> None:
    """Train what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--kinds", default="clip,clap,mul,clip+adapters,clap+adapters,mul+adapters")
    parser.add_argument("--stretches", type=int, default=1)
    arguments = parser.parse_args()
    rows: dict[str, list[dict[str, float]]] = {
        name: [measure_baseline(arguments.data, name)] for name in ("nothing", "all objects")
    }
    for kind in arguments.kinds.split(","):
        rows[kind] = [
            train(arguments.runs, arguments.data, kind, seed, arguments.stretches)
            for seed in range(arguments.seeds)
        ]
    (arguments.runs / "features_and_adapters.json").write_text(json.dumps(rows, indent=1) + "\n")
    print(table(rows))


def train(runs: Path, data: Path, kind: str, seed: int, stretches: int) -> dict[str, float]:
    """Return the measures after so many stretches; train those that are not there."""
    features, _, adapters = kind.partition("+")
    recipe = load_recipe("av2t_sam_small")
    recipe = replace(
        recipe,
        model=recipe.model | {"features": features, "adapters": bool(adapters)},
        data=recipe.data | {"measured": list(SPLITS)},
        trainer=recipe.trainer | {"eval_strategy": "no"},
    )
    for stretch in range(stretches):
        output = runs / f"bridge_{kind.replace('+', '_')}_{seed}{'_on' * stretch}"
        # Another seed, for another order of the clips.
        trainer = recipe.trainer | {"seed": 10 * stretch + seed}
        if not (output / "metrics.json").exists():
            run_recipe(replace(recipe, trainer=trainer), output, data)
        recipe = replace(recipe, start_from={"model": output.name})
    metrics: dict[str, float] = json.loads((output / "metrics.json").read_text())
    return {name.removeprefix("eval_"): value for name, value in metrics.items()}


def measure_baseline(data: Path, name: str) -> dict[str, float]:
    """Score masks that no model made; "all objects" draws the clips again to know every object."""
    measures: dict[str, float] = {}
    for split in SPLITS:
        subset, part = split.split("/")
        clips = AVSBench(data, subset, part)  # type: ignore[arg-type]
        options = json.loads((clips.folder / RECIPE_FILE).read_text())
        counts = options["clips"]
        recipe = DataRecipe(
            subset=options["subset"],
            clips=counts["train"],
            evaluation_clips=counts[part],
            seed=options["seed"],
            side=options["side"],
        )
        metrics = BinaryMetrics()
        for index, clip in enumerate(clips):
            marked = np.zeros(clip.masks.shape, np.float32)
            if name == "all objects":
                drawn = draw_clip(recipe, part, index)
                marked = np.stack([drawn.frame(t)[1] > 0 for t in range(len(marked))])
            metrics.update(torch.from_numpy(marked).float(), torch.from_numpy(clip.masks))
        scores = {k: v for k, v in asdict(metrics.compute()).items() if v is not None}
        measures |= {f"{subset}_{part}_{k}": v for k, v in scores.items()}
    return measures


def table(rows: dict[str, list[dict[str, Any]]]) -> str:
    """Return the table in Markdown: mean and, with several seeds, the standard deviation."""
    columns = [
        (s.replace("/", "_"), m)
        for s in SPLITS
        for m in MEASURES
        if m != "silent_clean" or s[0] == "m"
    ]
    lines = [
        "| prompt | " + " | ".join(f"{s} {m}" for s, m in columns) + " |",
        "| --- |" + " --- |" * len(columns),
    ]
    for kind, runs in rows.items():
        cells = []
        for split, measure in columns:
            values = [run[f"{split}_{measure}"] for run in runs if f"{split}_{measure}" in run]
            spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.3f}{spread}" if values else "-")
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
