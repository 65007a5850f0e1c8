"""`avseg data`: make data sets, and check them."""

import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from avseg.datasets.checking import CheckReport, check_data
from avseg.datasets.checking.findings import FINDING_KINDS
from avseg.datasets.layout import Release
from avseg.synthavs.clips import SynthavsOptions
from avseg.synthavs.negatives import check_has_negatives, write_negatives
from avseg.synthavs.writer import write_synthavs

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
    workers: Count | None = None,
) -> None:
    """Write SynthAVS, the synthetic benchmark, in AVSBench's layout.

    The same options give the same bytes. Splits: train; val; test (art styles that no training
    scene shows); test_seen (styles of training); test_zero_shot (categories that no training clip
    has). All but train have sounds of parameters that training does not use.

    Args:
        subset: s4 (one source; in training only the first mask), ms3 (several sources that start
            and stop, silent objects, sounds from off the screen) or avss (both, and clips of 10 s,
            with class labels).
        out: Where the subset's folder goes: Single-source, Multi-sources or AVSBench_semantic.
        clips: Training clips.
        seed: Of all chance.
        evaluation_clips: Clips of each other split; by default a quarter of the training clips,
            but at least 10 and at most 100.
        videos: Write each clip also as an mp4 file with sound.
        negatives: Write also what AVSBench-Robust adds to s4 and ms3, for all splits but train: for
            each clip noise and a sound that nothing in the picture makes, and one silent file.
        workers: Processes; by default one for each core.
    """
    if negatives:
        check_has_negatives(subset)
    recipe = SynthavsOptions(
        subset=subset, clips=clips, seed=seed, evaluation_clips=evaluation_clips, videos=videos
    )
    total = sum(recipe.counts().values())
    start = time.monotonic()
    with _progress() as progress:
        task = progress.add_task(f"clips of {subset}", total=total)
        written = write_synthavs(out, recipe, workers, on_clip=lambda: progress.advance(task))
        progress.update(task, completed=total)
    seconds = time.monotonic() - start
    splits = ", ".join(f"{split} {count}" for split, count in written.counts.items())
    action = "already there, made by the same recipe" if written.was_there else "written"
    print(f"{written.folder}: {total} clips ({splits}) {action}, in {seconds:.0f} s")
    if negatives:
        print(f"{write_negatives(out, recipe, workers)}: negative sounds written")


def check(folder: Path, /, *, json: Path | None = None, workers: Count | None = None) -> int:
    """Look for what is missing, broken or mislabelled in a data set in AVSBench's layout.

    Every file is read. Says what was found, errors first; ends with 1 if there are errors. A
    warning is what is known of a release, or what avseg mends and other code may not.

    Args:
        folder: A subset's folder, or one that holds some, up to two folders deep.
        json: Also write everything, with every path, to this file.
        workers: Processes; by default one for each core.

    Returns:
        The exit code.
    """
    with _progress() as progress:
        task = progress.add_task("clips", total=None)
        report = check_data(
            folder,
            workers,
            on_clip=lambda done, total: progress.update(task, completed=done, total=total),
        )
    _show(report)
    if json is not None:
        report.save(json)
    return int(report.errors > 0)


def _show(report: CheckReport) -> None:
    console = Console()
    headings, rows = report.table()
    if rows:
        table = Table()
        for heading in headings:
            table.add_column(heading, overflow="fold", no_wrap=heading in {"what", "subset"})
        for row in rows:
            # Text, not markup: a file name may hold square brackets.
            table.add_row(*(Text(cell) for cell in row))
        console.print(table)
        for kind in dict.fromkeys(row[1] for row in rows):
            console.print(Text(f"{kind}: {FINDING_KINDS[kind].meaning}"), soft_wrap=True)
    for subset, splits in report.clips.items():
        print(f"{subset}: {', '.join(f'{split} {count}' for split, count in splits.items())}")
    print(f"{report.root}: {report.errors} errors, {report.warnings} warnings")


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))
