"""How much faster is a lower precision, and how much does it change the masks?

    python benchmarks/lower_precision.py DATA [--model NAME] [--dtypes bfloat16,float16]
        [--clips 80] [--subset ms3] [--split test] [--device cpu]

Segments the first clips of a split of AVSBench's layout in float32 and in each lower precision, and
prints a Markdown table: frames per second of processor time (without decoding and writing, all
threads), J and F against the ground truth, the IoU with the masks of float32 over the frames in
which either mask is not empty (mean, and share of frames above 0.99), and the largest difference of
a frame's score.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from _material import circumstances
from smaller_pictures import overlap

from avseg.checkpoints import DEFAULT_MODEL
from avseg.datasets.avsbench import AVSBench
from avseg.metrics.binary import BinaryMetrics
from avseg.segmenter import load_segmenter


def main() -> None:
    """Measure each precision and print a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--dtypes", default="bfloat16,float16")
    parser.add_argument("--clips", type=int, default=80)
    parser.add_argument("--subset", default="ms3")
    parser.add_argument("--split", default="test")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    dtypes = ["float32", *options.dtypes.split(",")]
    segmenters = {
        dtype: load_segmenter(options.model, options.device, dtype=dtype) for dtype in dtypes
    }
    metrics = {dtype: BinaryMetrics() for dtype in dtypes}
    overlaps: dict[str, list[float]] = {dtype: [] for dtype in dtypes}
    differences = dict.fromkeys(dtypes, 0.0)
    cpu_s, frames = dict.fromkeys(dtypes, 0.0), 0
    clips = AVSBench(options.data, options.subset, options.split)
    for index in range(min(options.clips, len(clips))):
        clip = clips[index]
        frames += len(clip.clip.frames)
        exact = None
        for dtype, segmenter in segmenters.items():
            start = time.process_time()
            segmentation = segmenter.segment_clip(clip.clip)
            cpu_s[dtype] += time.process_time() - start
            exact = exact or segmentation
            overlaps[dtype] += overlap(exact.masks, segmentation.masks)
            difference = np.abs(exact.scores - segmentation.scores).max()
            differences[dtype] = max(differences[dtype], float(difference))
            marked = torch.from_numpy(segmentation.masks[clip.annotated])
            metrics[dtype].update(marked.float(), torch.from_numpy(clip.masks[clip.annotated]))
    print(json.dumps(circumstances(options.model)))
    print(f"\n{options.subset}/{options.split}, {frames} frames\n")
    print("| dtype | frames per CPU-s | J | F of masks | IoU | above 0.99 | scores |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for dtype in dtypes:
        scores = metrics[dtype].compute()
        cells = (
            dtype,
            f"{frames / cpu_s[dtype]:.1f}",
            f"{scores.j:.4f}",
            f"{scores.f_at_threshold or 0:.4f}",
            f"{np.mean(overlaps[dtype]):.4f}",
            f"{np.mean(np.array(overlaps[dtype]) > 0.99):.1%}",
            f"{differences[dtype]:.4f}",
        )
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
