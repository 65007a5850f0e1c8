"""How much time does the feature cache save when training starts, and how much disk does it use?

    python benchmarks/feature_cache.py DATA [--model NAME] [--clips 100]
        [--splits s4/train,ms3/train]

Opens the first clips of each split as training does, first with an empty cache and then with the
filled one, and prints a Markdown table: elapsed and processor time of both starts, bytes on disk
for each clip, and milliseconds to read a frame with its mask, and its features. The first row has
the features that a model with adapters needs. The second adds those of the image encoder, for a
model without adapters.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from _material import circumstances

from avseg.checkpoints import DEFAULT_MODEL
from avseg.datasets.avsbench import AVSBench
from avseg.models.av2t_sam import Av2tSamModel, Av2tSamProcessor
from avseg.segmenter import load_segmenter
from avseg.training.clips import EmbeddedClips, SingleFrames
from avseg.training.feature_cache import FeatureCache
from avseg.training.tasks.audio_visual import frozen_towers


def main() -> None:
    """Measure both kinds of models and print a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--splits", default="s4/train,ms3/train")
    options = parser.parse_args()
    segmenter = load_segmenter(options.model, "cpu")
    model, processor = segmenter.model, segmenter.processor
    if not isinstance(model, Av2tSamModel) or not isinstance(processor, Av2tSamProcessor):
        raise SystemExit(f"{options.model} is not an AV2T-SAM model")
    splits = [open_split(options.data, name, processor) for name in options.splits.split(",")]
    for split in splits:
        split.entries = split.entries[: options.clips]
    print(json.dumps(circumstances(options.model)) + "\n")
    print(
        "| features | clips | cold start | warm start | times as fast | bytes per clip "
        "| frame and mask | features of a frame |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    print(measure("CLIP and CLAP", model, processor, splits))
    model.adapters = None
    print(measure("CLIP, CLAP and image encoder", model, processor, splits))


def open_split(data: Path, name: str, processor: Av2tSamProcessor) -> AVSBench:
    """Open a split that is named as in a recipe, such as s4/train."""
    subset, _, split = name.partition("/")
    return AVSBench(data, subset, split, processor.sample_rate)  # type: ignore[arg-type]


def measure(
    name: str, model: Av2tSamModel, processor: Av2tSamProcessor, splits: Sequence[AVSBench]
) -> str:
    """Open the clips twice with a new cache and return a row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        cache = FeatureCache(Path(folder))
        starts = []
        for _ in range(2):
            clock, cpu = time.perf_counter(), time.process_time()
            # New towers, so that their weights are hashed again, as in a new process.
            clips = EmbeddedClips(
                splits, frozen_towers(model, processor), cache, processor.window_s
            )
            starts.append((time.perf_counter() - clock, time.process_time() - cpu))
        taken = sum(path.stat().st_size for path in Path(folder).rglob("*.safetensors"))
        frames = SingleFrames(clips)
        whole = seconds_of_each(frames)
        features = seconds_of_each(frames, features_alone=True)
    (cold, cold_cpu), (warm, warm_cpu) = starts
    cells = (
        name,
        str(len(clips)),
        f"{cold:.1f} s, {cold_cpu:.1f} CPU-s",
        f"{warm:.2f} s, {warm_cpu:.2f} CPU-s",
        f"{cold_cpu / warm_cpu:.0f}",
        f"{taken / len(clips):,.0f}",
        f"{1e3 * (whole - features):.2f} CPU-ms",
        f"{1e3 * features:.2f} CPU-ms",
    )
    return "| " + " | ".join(cells) + " |"


def seconds_of_each(frames: SingleFrames, features_alone: bool = False) -> float:
    """Read every frame, or only its features, and return the processor time for one in seconds."""
    start = time.process_time()
    for chosen, index in zip(frames.indices, range(len(frames)), strict=True):
        if features_alone:
            frames.clips.read_features(chosen.clip, chosen.frames)
        else:
            frames[index]
    return (time.process_time() - start) / len(frames)


if __name__ == "__main__":
    main()
