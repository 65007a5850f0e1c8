"""Negative sounds for SynthAVS, as AVSBench-Robust (arXiv:2502.00358) has them for S4 and MS3.

Each clip gets white noise and a sound from off the screen, of a category that it neither shows nor
sounds of; one silent file serves all. Unlike AVSBench-Robust's own, the noise is as loud as the
clip and as long, and the other sound surely belongs to nothing in the picture.
"""

from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np

from avseg.atomic import replace_when_complete
from avseg.datasets.layout import LAYOUTS, ClipEntry, Release, Subset, find_folder
from avseg.datasets.metadata import read_metadata
from avseg.datasets.parallel import map_in_processes
from avseg.errors import DatasetError
from avseg.synthavs.clips import (
    SPLIT_DOMAINS,
    SoundEvent,
    SynthavsOptions,
    draw_clip,
    make_stems,
    mix,
)
from avseg.synthavs.sounds import SAMPLE_RATE
from avseg.synthavs.writer import is_written, write_options, write_wav

#: Folder of AVSBench-Robust's sounds, beside those of the data sets.
NEGATIVES = "avsbench_neg_data"


def write_negatives(root: Path, options: SynthavsOptions, workers: int | None = None) -> Path:
    """Write negative sounds of all clips but those of the training split.

    Args:
        root: Where the subset's folder is; theirs goes beside it.
        options: What the subset was made by.
        workers: Processes; by default one for each core.

    Returns:
        The folder of the sounds; if they are there already, they are left alone.

    Raises:
        DatasetError: If the subset has no negative sounds, or is not there.
        OutputError: If the folder holds something else, or cannot be made.
        ValueError: If there are no workers.
    """
    check_has_negatives(options.subset)
    folder = root / NEGATIVES / LAYOUTS[options.subset].folders[0]
    if is_written(folder, options):
        return folder
    entries = read_metadata(find_folder(root, options.subset), options.subset)
    clips = [
        (index, entry)
        for split in options.counts()
        for index, entry in enumerate(entry for entry in entries if entry.split == split)
        if split != "train"
    ]
    with replace_when_complete(folder) as unfinished:
        unfinished.mkdir()
        for _ in map_in_processes(partial(_write, unfinished, options), clips, workers):
            pass
        write_options(unfinished, options)
    seconds = clips[0][1].seconds
    write_wav(np.zeros(seconds * SAMPLE_RATE, np.float32), root / NEGATIVES / "silent.wav")
    return folder


def check_has_negatives(subset: Release) -> None:
    """Refuse a subset that AVSBench-Robust has no sounds for.

    Args:
        subset: Which subset.

    Raises:
        DatasetError: If it is AVSS.
    """
    if f"{subset}_noise" not in get_args(Subset):
        raise DatasetError(
            f"{subset}: AVSBench-Robust has negative sounds of s4 and ms3 only; choose one of "
            "these, or leave out --negatives."
        )


def _write(folder: Path, options: SynthavsOptions, clip: tuple[int, ClipEntry]) -> None:
    """Write the noise and the other sound of one clip; runs in a worker process."""
    index, entry = clip
    drawn = draw_clip(options, entry.split, index)
    numbers = (
        get_args(Release).index(options.subset),
        tuple(SPLIT_DOMAINS).index(entry.split),
        index,
    )
    rng = np.random.default_rng((options.seed, *numbers, 1))
    noise = rng.standard_normal(len(drawn.audio), np.float32)
    noise *= np.sqrt(np.mean(drawn.audio**2))
    domain = SPLIT_DOMAINS[entry.split]
    present = {thing.category for thing in drawn.scene.objects}
    present |= {source.category for source in drawn.sound_events}
    absent = [category for category in domain.categories if category not in present]
    other = SoundEvent(str(rng.choice(absent)), 0, np.ones(entry.seconds, bool))
    sounds = {
        "noise": np.clip(noise, -1, 1),
        "misaligned": mix(make_stems(rng, [other], domain.parameter_split, entry.seconds)),
    }
    for kind, audio in sounds.items():
        layout = next(LAYOUTS[s] for s in get_args(Subset) if s == f"{options.subset}_{kind}")
        write_wav(audio, layout.path(layout.audio, folder, entry))
