"""`avseg reproduce`: reproduce a paper's tables with small models."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter, validators
from rich.console import Console

if TYPE_CHECKING:
    from avseg.reproduction.runs import PlannedRun

Count = Annotated[int, Parameter(validator=validators.Number(gte=1))]
Rows = Annotated[
    tuple[str, ...] | None, Parameter(name="--rows", negative="", consume_multiple=True)
]


def reproduce(
    paper: Literal["av2t-sam", "tavis"],
    *,
    output: Path = Path("runs"),
    data: Path | None = None,
    seeds: Count = 3,
    steps: Count | None = None,
    rows: Rows = None,
) -> None:
    """Reproduce a paper's tables with small models trained on SynthAVS, and test its claims.

    The same command resumes a reproduction that was stopped. Writes PAPER.md and PAPER.json.

    Args:
        paper: Name of the paper.
        output: Folder of the runs. The small model starts from other runs (for av2t-sam clip_small,
            clap_small, mask_decoder_small; for tavis imagebind_small, mask_decoder_small), which
            are trained first if they are missing.
        data: Folder of SynthAVS's s4 and ms3; by default they are synthesised in the output folder.
        seeds: Number of runs for each row, with the seeds 0, 1, ...
        steps: Training steps of each run; by default the number in the recipe.
        rows: Names of the rows to train; all by default. For av2t-sam: clip, clap, mul,
            clip+adapters, clap+adapters, mul+adapters. For tavis: full, no-ibqd, no-tbas, no-tbhp,
            no-a2t, no-i2t, zero-shot.
    """
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
