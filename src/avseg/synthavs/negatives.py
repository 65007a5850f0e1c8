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
from avseg.datasets.metadata import read_table
from avseg.datasets.parallel import map_in_processes
from avseg.errors import DatasetError
from avseg.synthavs.clips import WORLDS, Recipe, Source, draw_clip, make_stems, mix
from avseg.synthavs.sounds import SAMPLE_RATE
from avseg.synthavs.writer import is_there, write_recipe, write_wav

#: Folder of AVSBench-Robust's sounds, beside those of the data sets.
NEGATIVES = "avsbench_neg_data"


def write_negatives(root: Path, recipe: Recipe, workers: int | None = None) -> Path:
    """Write negative sounds of all clips but those of the training split.

    Args:
        root: Where the subset's folder is; theirs goes beside it.
        recipe: What the subset was made by.
        workers: Processes; by default one for each core.

    Returns:
        The folder of the sounds; if they are there already, they are left alone.

    Raises:
        DatasetError: If the subset has no negative sounds, or is not there.
        OutputError: If the folder holds something else, or cannot be made.
        ValueError: If there are no workers.
    """
    check_has_negatives(recipe.subset)
    folder = root / NEGATIVES / LAYOUTS[recipe.subset].folders[0]
    if is_there(folder, recipe):
        return folder
    entries = read_table(find_folder(root, recipe.subset), recipe.subset)
    clips = [
        (index, entry)
        for split in recipe.counts()
        for index, entry in enumerate(entry for entry in entries if entry.split == split)
        if split != "train"
    ]
    with replace_when_complete(folder) as unfinished:
        unfinished.mkdir()
        for _ in map_in_processes(partial(_write, unfinished, recipe), clips, workers):
            pass
        write_recipe(unfinished, recipe)
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


def _write(folder: Path, recipe: Recipe, clip: tuple[int, ClipEntry]) -> None:
    """Write the noise and the other sound of one clip; runs in a worker process."""
    index, entry = clip
    drawn = draw_clip(recipe, entry.split, index)
    numbers = get_args(Release).index(recipe.subset), tuple(WORLDS).index(entry.split), index
    rng = np.random.default_rng((recipe.seed, *numbers, 1))
    noise = rng.standard_normal(len(drawn.audio), np.float32)
    noise *= np.sqrt(np.mean(drawn.audio**2))
    world = WORLDS[entry.split]
    present = {thing.category for thing in drawn.scene.objects}
    present |= {source.category for source in drawn.sources}
    absent = [category for category in world.categories if category not in present]
    other = Source(str(rng.choice(absent)), 0, np.ones(entry.seconds, bool))
    sounds = {
        "noise": np.clip(noise, -1, 1),
        "misaligned": mix(make_stems(rng, [other], world.voice, entry.seconds)),
    }
    for kind, audio in sounds.items():
        layout = next(LAYOUTS[s] for s in get_args(Subset) if s == f"{recipe.subset}_{kind}")
        write_wav(audio, layout.path(layout.audio, folder, entry))
