"""Negative audio for SynthAVS, like that of AVSBench-Robust (arXiv:2502.00358) for S4 and MS3.

Each clip gets noise (white in version 2, of any colour in version 3) and an off-screen sound of a
category that is neither visible nor audible in it; all clips share one silent file. Unlike in
AVSBench-Robust, the noise is as loud and as long as the audio of the clip, and it is certain that
no visible object makes the off-screen sound.
"""

from contextlib import closing
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np

from avseg.atomic import replace_when_complete
from avseg.datasets.layout import LAYOUTS, ClipEntry, Release, Subset, find_folder
from avseg.datasets.metadata import read_metadata
from avseg.datasets.parallel import map_in_processes
from avseg.errors import DatasetError
from avseg.synthavs.generators import SynthavsOptions, draw_clip
from avseg.synthavs.sounds import SAMPLE_RATE
from avseg.synthavs.writer import is_written, write_options, write_wav

#: Name of the folder of AVSBench-Robust's audio, beside the folders of the data sets.
NEGATIVES = "avsbench_neg_data"


def write_negatives(root: Path, options: SynthavsOptions, workers: int | None = None) -> Path:
    """Write negative audio for all clips except those of the training split.

    Args:
        root: Folder that contains the folder of the subset; the audio is written beside it.
        options: Options with which the subset was written.
        workers: Number of processes; None for one per core.

    Returns:
        Folder of the audio. Audio that the same options wrote before is kept.

    Raises:
        DatasetError: If the subset has no negative audio, or does not exist.
        OutputError: If the folder contains other files, or cannot be created.
        ValueError: If `workers` is less than 1.
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
    # First, since a complete folder is not written again.
    seconds = clips[0][1].seconds
    with replace_when_complete(root / NEGATIVES / "silent.wav") as partial_file:
        write_wav(np.zeros(seconds * SAMPLE_RATE, np.float32), partial_file)
    with replace_when_complete(folder) as unfinished:
        unfinished.mkdir()
        with closing(
            map_in_processes(partial(_write, unfinished, options), clips, workers)
        ) as written:
            for _ in written:
                pass
        write_options(unfinished, options)
    return folder


def check_has_negatives(subset: Release) -> None:
    """Raise an error if AVSBench-Robust has no audio for a subset.

    Args:
        subset: Name of the subset.

    Raises:
        DatasetError: If it is "avss".
    """
    if f"{subset}_noise" not in get_args(Subset):
        raise DatasetError(
            f"{subset}: AVSBench-Robust has negative audio of s4 and ms3 only; choose one of them, "
            "or omit negatives (--negatives)."
        )


def _write(folder: Path, options: SynthavsOptions, indexed: tuple[int, ClipEntry]) -> None:
    """Write the noise and the off-screen sound of one clip; called in a worker process."""
    index, entry = indexed
    generator = options.generator
    clip = draw_clip(options, entry.split, index)
    numbers = (
        get_args(Release).index(options.subset),
        tuple(generator.domains).index(entry.split),
        index,
    )
    # The seed of the clip followed by a 1, so that the random numbers are not those of the clip.
    rng = np.random.default_rng((options.seed, *numbers, 1))
    noise = generator.make_noise(rng, len(clip.audio))
    # As loud as the clip, so that loudness alone does not reveal the noise.
    noise *= np.sqrt(np.mean(clip.audio**2))
    domain = generator.domains[entry.split]
    present = {shown.category for shown in clip.scene.objects}
    present |= {event.category for event in clip.sound_events}
    absent = [category for category in domain.categories if category not in present]
    category = str(rng.choice(absent))
    replacements = {
        "noise": np.clip(noise, -1, 1),
        "misaligned": generator.make_sound(rng, category, domain.parameter_split, entry.seconds),
    }
    for kind, audio in replacements.items():
        layout = next(LAYOUTS[s] for s in get_args(Subset) if s == f"{options.subset}_{kind}")
        write_wav(audio, layout.path(layout.audio, folder, entry))
