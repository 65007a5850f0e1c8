"""The SynthAVS data of the reproductions: size, splits, and scores of masks without a model."""

from dataclasses import asdict
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from avseg.datasets.avsbench import AVSBench
from avseg.metrics.binary import BinaryMetrics
from avseg.reproduction.runs import Measures
from avseg.synthavs.contents import find_synthavs_split
from avseg.synthavs.generators import GeneratorVersion, SynthavsOptions
from avseg.synthavs.writer import write_synthavs

#: Number of training clips that are synthesised if no data are given.
CLIPS: dict[Literal["s4", "ms3"], int] = {"s4": 1000, "ms3": 1200}
#: Number of clips in each other split.
_EVALUATION_CLIPS = 80

#: Evaluated splits -> their art styles. The sounds of both have parameters unseen in training.
STYLES = {"test_seen": "seen art styles", "test": "unseen art styles"}

#: Names of the rows without a model.
NOTHING, ALL_OBJECTS = "nothing is marked", "every object is marked"


def draw_data(folder: Path, version: GeneratorVersion = 2, clips: int | None = None) -> Path:
    """Synthesise S4 and MS3, unless they are complete already.

    Args:
        folder: Folder of the data sets.
        version: Version of the generator.
        clips: Training clips of each subset, with as many in each other split; None for the full
            size.

    Returns:
        The same folder.

    Raises:
        OutputError: If the folder contains other data, or cannot be written.
    """
    for subset, full in CLIPS.items():
        write_synthavs(
            folder,
            SynthavsOptions(
                subset=subset,
                clips=clips or full,
                evaluation_clips=clips or _EVALUATION_CLIPS,
                generator_version=version,
            ),
        )
    return folder


def measure_baselines(data: Path) -> dict[str, list[Measures]]:
    """Compute the measures of masks made without a model: empty masks, and all visible objects.

    Args:
        data: Folder of the data sets.

    Returns:
        `NOTHING` and `ALL_OBJECTS` -> their measures on all splits. All objects are known because
        SynthAVS can render its clips again.

    Raises:
        DatasetError: If a data set is missing.
    """
    return {name: [_measure_baseline(data, name)] for name in (NOTHING, ALL_OBJECTS)}


def _measure_baseline(data: Path, name: str) -> Measures:
    measures: Measures = {}
    for subset in CLIPS:
        for split in STYLES:
            clips = AVSBench(data, subset, split)
            generated = find_synthavs_split(clips) if name == ALL_OBJECTS else None
            metrics = BinaryMetrics()
            for index, clip in enumerate(clips):
                marked = np.zeros(clip.masks.shape, bool)
                if generated is not None:
                    marked = generated.all_objects(index)
                metrics.update(torch.from_numpy(marked).float(), torch.from_numpy(clip.masks))
            scores = asdict(metrics.compute())
            # Named like the measures of a training run, so that all rows have the same columns.
            measures |= {f"{subset}_{split}_{k}": v for k, v in scores.items() if v is not None}
    return measures
