"""Which rule for choosing names gives the best masks of a cascade? Scores of many rules.

python benchmarks/cascade_rule.py CASCADE DATA --subset ms3 [--split val] [--clips N]

The model is run once with every name of the vocabulary in every frame. Each rule then selects from
these masks. Choose a rule on the split val, and evaluate only that one on test.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from avseg.datasets import AVSBench
from avseg.metrics.binary import BinaryMetrics, BinaryScores
from avseg.models.cascade import CascadeModel
from avseg.models.cascade.modeling import NO_OBJECT_LOGIT
from avseg.models.outputs import resize_logits
from avseg.segmenter import Segmenter, load_segmenter

MIN_SCORES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25)
MIN_SHARES = (0.0, 0.02, 0.05, 0.2)
MAX_NAMES = (1, 2, 3, 4)


@dataclass(frozen=True)
class ClipOutputs:
    """Outputs for a clip of T frames and C names: mask logits h x w, ground truth H x W."""

    similarities: Tensor  # (T, C)
    logits: Tensor  # (T, C, h, w) float16
    targets: Tensor  # (T, H, W) bool


@torch.inference_mode()
def run_all_names(segmenter: Segmenter, split: AVSBench, clips: int) -> Iterator[ClipOutputs]:
    """Compute the similarity and the mask of every name in every frame.

    Args:
        segmenter: A cascade.
        split: The data.
        clips: Number of clips, from the first.

    Yields:
        Outputs for the annotated frames of each clip.
    """
    model = cast("CascadeModel", segmenter.model)
    count = len(segmenter.vocabulary)
    model.config.min_score, model.config.max_names = -1.0, count
    model.config.min_share = -1.0
    for index in range(min(clips, len(split))):
        clip = split[index]
        inputs = {
            name: v.to(segmenter.device) for name, v in segmenter.processor(clip.clip).items()
        }
        output = model(**inputs)
        frames = len(clip.clip.frames)
        logits = output.named_logits.new_empty(frames, count, *output.named_logits.shape[1:])
        logits[output.frame_index, output.name_index] = output.named_logits
        keep = torch.from_numpy(clip.annotated)
        yield ClipOutputs(
            output.similarities[0].cpu()[keep],
            logits.half().cpu()[keep],
            torch.from_numpy(clip.masks)[keep],
        )


def score(model: CascadeModel, outputs: list[ClipOutputs]) -> BinaryScores:
    """Score the masks of the names that the model's rule selects.

    Args:
        model: Model with the rule in its configuration.
        outputs: Outputs for all clips.

    Returns:
        The scores.
    """
    metrics = BinaryMetrics(0.5)
    for clip in outputs:
        frames, names = model.select_prompts(clip.similarities)
        chosen = torch.zeros(clip.similarities.shape, dtype=torch.bool)
        chosen[frames, names] = True
        logits = clip.logits.float().masked_fill(~chosen[..., None, None], NO_OBJECT_LOGIT).amax(1)
        metrics.update(resize_logits(logits, clip.targets.shape[1:]).sigmoid(), clip.targets)
    return metrics.compute()


def main() -> None:
    """Print a line for each rule, in order of J, the best last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cascade", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--subset", choices=("s4", "ms3"), required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--clips", type=int, default=1000)
    options = parser.parse_args()
    segmenter = load_segmenter(options.cascade, "cpu")
    rate = segmenter.processor.sample_rate
    split = AVSBench(options.data, options.subset, options.split, rate)
    outputs = list(run_all_names(segmenter, split, options.clips))
    model = cast("CascadeModel", segmenter.model)
    lines = []
    with torch.inference_mode():
        for rule in product(MIN_SCORES, MIN_SHARES, MAX_NAMES):
            config = model.config
            config.min_score, config.min_share, config.max_names = rule
            found = score(model, outputs)
            clean = "-" if found.silent_clean is None else f"{found.silent_clean:.3f}"
            lines.append((found.j, f"{rule}: J {found.j:.3f}, F {found.f:.3f}, silent {clean}"))
    print(f"{options.subset}/{options.split}: (min_score, min_share, max_names)")
    print("\n".join(line for _, line in sorted(lines)))


if __name__ == "__main__":
    main()
