"""How much faster is a smaller input of SAM 2, and how much does it change the masks?

    python benchmarks/smaller_pictures.py DATA [--model NAME] [--sizes 96,64] [--clips 40]
        [--subset ms3] [--split test]

Segments the first clips of a split of AVSBench's layout at the image size of the checkpoint and at
smaller ones, and prints a Markdown table: frames per second of processor time (without decoding and
writing, all threads), J and F against the ground truth, and the IoU with the masks at the
checkpoint's size, over the frames in which either mask is not empty.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from avseg.checkpoints import DEFAULT_MODEL
from avseg.datasets.avsbench import AVSBench
from avseg.metrics.binary import BinaryMetrics
from avseg.segmenter import load_segmenter


def main() -> None:
    """Measure each image size and print a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--sizes", default="96,64")
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--subset", default="ms3")
    parser.add_argument("--split", default="test")
    options = parser.parse_args()
    sizes = [None, *map(int, options.sizes.split(","))]
    segmenters = {size: load_segmenter(options.model, "cpu", image_size=size) for size in sizes}
    metrics = {size: BinaryMetrics() for size in sizes}
    overlaps: dict[int | None, list[float]] = {size: [] for size in sizes}
    cpu_s, frames = dict.fromkeys(sizes, 0.0), 0
    clips = AVSBench(options.data, options.subset, options.split)
    for index in range(min(options.clips, len(clips))):
        clip = clips[index]
        frames += len(clip.clip.frames)
        own = None
        for size, segmenter in segmenters.items():
            start = time.process_time()
            masks = segmenter.segment_clip(clip.clip).masks
            cpu_s[size] += time.process_time() - start
            own = masks if own is None else own
            overlaps[size] += overlap(own, masks)
            marked = torch.from_numpy(masks[clip.annotated])
            metrics[size].update(marked.float(), torch.from_numpy(clip.masks[clip.annotated]))
    print(
        f"{options.subset}/{options.split}, {frames} frames, {torch.get_num_threads()} thread(s)\n"
    )
    print("| image size | frames per CPU-s | speed-up | J | F of masks | IoU with own size |")
    print("| --- | --- | --- | --- | --- | --- |")
    for size in sizes:
        scores = metrics[size].compute()
        cells = (
            "own size" if size is None else f"{size} px",
            f"{frames / cpu_s[size]:.1f}",
            f"{cpu_s[None] / cpu_s[size]:.2f}",
            f"{scores.j:.3f}",
            f"{scores.f_at_threshold or 0:.3f}",
            f"{np.mean(overlaps[size]):.3f}",
        )
        print("| " + " | ".join(cells) + " |")


def overlap(own: np.ndarray, other: np.ndarray) -> list[float]:
    """Compute the IoU of two masks, (T, H, W), in each frame where either is not empty."""
    either = (own | other).sum((1, 2))
    both = (own & other).sum((1, 2))
    shares: list[float] = (both[either > 0] / either[either > 0]).tolist()
    return shares


if __name__ == "__main__":
    main()
