"""`avseg data`: write synthetic data sets, and check data sets."""

import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators
from rich.console import Console
from rich.table import Table
from rich.text import Text

from avseg.cli.terminal import progress_bar
from avseg.datasets.checking import CheckReport, check_data
from avseg.datasets.checking.findings import FINDING_KINDS
from avseg.datasets.layout import Release
from avseg.synthavs.generators import GeneratorVersion
from avseg.synthavs.synthesize import synthesize_data

Count = Annotated[int, Parameter(validator=validators.Number(gte=1))]
Seed = Annotated[int, Parameter(validator=validators.Number(gte=0))]


def synthesize(  # noqa: PLR0913 - one argument for each option of the command
    *,
    subset: Release,
    out: Path,
    clips: Count,
    seed: Seed = 0,
    evaluation_clips: Count | None = None,
    videos: bool = False,
    negatives: bool = False,
    generator_version: GeneratorVersion = 2,
    workers: Count | None = None,
) -> None:
    """Write SynthAVS, the synthetic benchmark, in AVSBench's layout.

    The same options give the same bytes. The splits are train, val, test (art styles unseen in
    training), test_seen (art styles of training) and test_zero_shot (categories unseen in
    training). The sounds of all splits except train have synthesis parameters that training does
    not use.

    Args:
        subset: s4 (one source; a training clip has only the mask of its first frame), ms3 (several
            sources that start and stop, silent objects, off-screen sounds) or avss (both, clips of
            up to 10 s, with class labels).
        out: Folder to which the folder of the subset is written: Single-source, Multi-sources or
            AVSBench_semantic.
        clips: Number of training clips.
        seed: Random seed.
        evaluation_clips: Number of clips of each other split; by default a quarter of the training
            clips, but at least 10 and at most 100.
        videos: Also write each clip as an mp4 file with audio.
        negatives: Also write the negative audio that AVSBench-Robust adds to s4 and ms3, for all
            splits except train: noise and an off-screen sound for each clip, and one silent file.
        generator_version: 2 (plain scenes, clean sound that starts and stops at whole seconds) or 3
            (film-like scenes: camera motion, cuts, shadows, motion blur, occlusion; rooms, noise,
            onsets at any time).
        workers: Number of processes; by default one per core.
    """
    start = time.monotonic()
    with progress_bar(f"clips of {subset}") as bar:
        written = synthesize_data(
            out,
            subset=subset,
            clips=clips,
            seed=seed,
            evaluation_clips=evaluation_clips,
            videos=videos,
            negatives=negatives,
            generator_version=generator_version,
            workers=workers,
            on_clip=bar.update,
        )
    seconds = time.monotonic() - start
    splits = ", ".join(f"{split} {count}" for split, count in written.counts.items())
    action = "already there, written with the same options" if written.existed else "written"
    total = sum(written.counts.values())
    print(f"{written.folder}: {total} clips ({splits}) {action}, in {seconds:.0f} s")
    if written.negatives is not None:
        print(f"{written.negatives}: negative audio written")


def check(folder: Path, /, *, json: Path | None = None, workers: Count | None = None) -> int:
    """Find missing, broken and mislabelled files of a data set in AVSBench's layout.

    Every file is read. The findings are printed, errors first; the exit code is 1 if there are
    errors. A warning is a known property of a release, or a problem that avseg corrects but other
    code may not.

    Args:
        folder: Folder of a subset, or one that contains subsets, up to two folders deep.
        json: Also write all findings, with every path, to this file.
        workers: Number of processes; by default one per core.

    Returns:
        The exit code.
    """
    with progress_bar("clips") as bar:
        report = check_data(folder, workers, on_clip=bar.update)
    _show(report)
    if json is not None:
        report.save(json)
    # Warnings alone give 0: a published release has known ones.
    return int(report.errors > 0)


def _show(report: CheckReport) -> None:
    console = Console()
    headings, rows = report.table()
    if rows:
        table = Table()
        for heading in headings:
            table.add_column(heading, overflow="fold", no_wrap=heading in {"what", "subset"})
        for row in rows:
            # Text, not markup: a file name may contain square brackets.
            table.add_row(*(Text(cell) for cell in row))
        console.print(table)
        # Each kind of finding is explained once, in the order of the table.
        for kind in dict.fromkeys(row[1] for row in rows):
            console.print(Text(f"{kind}: {FINDING_KINDS[kind].meaning}"), soft_wrap=True)
    for subset, splits in report.clips.items():
        print(f"{subset}: {', '.join(f'{split} {count}' for split, count in splits.items())}")
    print(f"{report.root}: {report.errors} errors, {report.warnings} warnings")
