"""SynthAVS as the papers in small use it: its splits, and what masks without a model score."""

from dataclasses import asdict
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from avseg.datasets.avsbench import AVSBench
from avseg.metrics.binary import BinaryMetrics
from avseg.reproduction.grid import Measures
from avseg.synthavs.clips import SynthavsOptions
from avseg.synthavs.contents import find_synthavs_split
from avseg.synthavs.writer import write_synthavs

#: Training clips of SynthAVS, where no data is given; 80 clips for each evaluation split.
CLIPS: dict[Literal["s4", "ms3"], int] = {"s4": 1000, "ms3": 1200}
_EVALUATION_CLIPS = 80

#: Where figures are measured: art styles of training, and others; sounds are new in both.
STYLES = {"test_seen": "seen art styles", "test": "unseen art styles"}

#: Rows without a model.
NOTHING, ALL_OBJECTS = "nothing is marked", "every object is marked"


def draw_data(folder: Path) -> Path:
    """Draw S4 and MS3, if they are not there.

    Args:
        folder: Where to.

    Returns:
        The folder.

    Raises:
        OutputError: If the folder holds something else, or cannot be written.
    """
    for subset, clips in CLIPS.items():
        write_synthavs(
            folder, SynthavsOptions(subset=subset, clips=clips, evaluation_clips=_EVALUATION_CLIPS)
        )
    return folder


def measure_baselines(data: Path) -> dict[str, list[Measures]]:
    """Score masks that no model made: none at all, and those of every object, sounding or not.

    Args:
        data: Folder of the data sets.

    Returns:
        `NOTHING` and `ALL_OBJECTS`, for which clips are drawn again to know every object, to their
        measures on all splits.

    Raises:
        DatasetError: If a data set is not there.
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
            measures |= {f"{subset}_{split}_{k}": v for k, v in scores.items() if v is not None}
    return measures
