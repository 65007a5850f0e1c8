"""`avseg reproduce`: a paper's tables with small models, or the small models of the package."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, validators
from rich.console import Console

if TYPE_CHECKING:
    from avseg.reproduction.runs import PlannedRun

Count = Annotated[int, Parameter(validator=validators.Number(gte=1))]
Seed = Annotated[int, Parameter(validator=validators.Number(gte=0))]
Rows = Annotated[
    tuple[str, ...] | None, Parameter(name="--rows", negative="", consume_multiple=True)
]


def av2t_sam(
    *,
    output: Path = Path("runs"),
    data: Path | None = None,
    seeds: Count = 3,
    steps: Count | None = None,
    rows: Rows = None,
) -> None:
    """Reproduce the tables of AV2T-SAM with small models trained on SynthAVS; test its claims.

    The same command resumes a reproduction that was stopped. Writes av2t-sam.md and av2t-sam.json.

    Args:
        output: Folder of the runs. The small model starts from the runs clip_small, clap_small and
            evf_sam_small_256, which are trained first if they are missing.
        data: Folder of SynthAVS's s4 and ms3; by default they are synthesised in the output folder.
        seeds: Number of runs for each row, with the seeds 0, 1, ...
        steps: Training steps of each run; by default the number in the recipe.
        rows: Names of the rows to train; all by default: clip, clap, mul, clip+adapters,
            clap+adapters, mul+adapters.
    """
    _reproduce("av2t-sam", output, data, seeds, steps, rows)


def tavis(
    *,
    output: Path = Path("runs"),
    data: Path | None = None,
    seeds: Count = 3,
    steps: Count | None = None,
    rows: Rows = None,
) -> None:
    """Reproduce the tables of TAViS with small models trained on SynthAVS; test its claims.

    The same command resumes a reproduction that was stopped. Writes tavis.md and tavis.json.

    Args:
        output: Folder of the runs. The small model starts from the runs imagebind_small and
            evf_sam_small_256, which are trained first if they are missing.
        data: Folder of SynthAVS's s4 and ms3; by default they are synthesised in the output folder.
        seeds: Number of runs for each row, with the seeds 0, 1, ...
        steps: Training steps of each run; by default the number in the recipe.
        rows: Names of the rows to train; all by default: full, no-ibqd, no-tbas, no-tbhp, no-a2t,
            no-i2t, zero-shot.
    """
    _reproduce("tavis", output, data, seeds, steps, rows)


def small_models(
    *,
    output: Path = Path("runs"),
    seed: Seed = 0,
    steps: Count | None = None,
    clips: Count | None = None,
) -> None:
    """Train av2t-sam-small and tavis-small from random weights, and measure them.

    It takes about a day on one processor core. The same command resumes what was stopped. Writes
    small-models.md, with the time and the scores of each training, and the two models.

    Args:
        output: Folder of the runs, the data, the models and their reports.
        seed: Number that is added to the seed of each recipe; 0 trains the models of the package.
        steps: Training steps of each run, for a trial; by default the number in each recipe.
        clips: Training clips of each subset, for a trial; by default 1,000 and 1,200.
    """
    from avseg.reproduction.small_models import reproduce_small_models  # loads torch

    console = Console(stderr=True)

    def on_stage(stage: str, number: int, total: int) -> None:
        console.print(f"small-models: {number} of {total}: {stage}", soft_wrap=True)

    tables = reproduce_small_models(output, seed=seed, steps=steps, clips=clips, on_stage=on_stage)
    print(tables.read_text(encoding="utf-8"))
    print(f"{tables}: written")


def _reproduce(
    paper: str,
    output: Path,
    data: Path | None,
    seeds: int,
    steps: int | None,
    rows: tuple[str, ...] | None,
) -> None:
    from avseg.reproduction.papers import reproduce as reproduce_paper  # loads torch

    # stdout is for the tables alone, so that they can be redirected to a file.
    console = Console(stderr=True)

    def on_run(run: "PlannedRun", number: int, total: int) -> None:
        console.print(f"{paper}: training {number} of {total}: {run.output}", soft_wrap=True)

    reproduction = reproduce_paper(
        paper,
        output=output,
        data=data,
        seeds=seeds,
        steps=steps,
        rows=rows or None,
        on_run=on_run,
    )
    print(reproduction.markdown())
    print(f"{output / paper}.md, {paper}.json: written")
