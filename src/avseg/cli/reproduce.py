"""`avseg reproduce`: a paper's tables in small."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter, validators
from rich.console import Console

from avseg.checkpoints.cache import cache_folder

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
    """Train and measure a paper's tables in small, on SynthAVS, and print them beside its own.

    The same command goes on where it was stopped. Writes PAPER.md and PAPER.json.

    Args:
        paper: Which paper.
        output: Folder of the runs. What the small model starts from (for av2t-sam clip_small,
            clap_small, mask_decoder_small; for tavis imagebind_small, mask_decoder_small) is
            trained first if it is not there.
        data: Folder of SynthAVS's s4 and ms3; drawn into the output folder if not given.
        seeds: Runs of each row.
        steps: Of each training, in place of the recipe's.
        rows: Which rows; all if not given. Of av2t-sam: clip, clap, mul, clip+adapters,
            clap+adapters, mul+adapters. Of tavis: full, no-ibqd, no-tbas, no-tbhp, no-a2t, no-i2t,
            zero-shot.
    """
    from avseg.reproduction import reproduce as reproducing  # torch and transformers
    from avseg.reproduction.av2t_sam import Av2tSamTables
    from avseg.reproduction.grid import Stage
    from avseg.reproduction.tavis import TavisTables

    console = Console(stderr=True)

    def on_stage(stage: Stage, number: int, total: int) -> None:
        console.print(f"{paper}: training {number} of {total}: {stage.output}", soft_wrap=True)

    tables: dict[str, type[Av2tSamTables | TavisTables]] = {
        "av2t-sam": Av2tSamTables,
        "tavis": TavisTables,
    }
    reproduction = reproducing.reproduce(
        tables[paper],
        output,
        data,
        rows=rows or None,
        seeds=seeds,
        steps=steps,
        on_stage=on_stage,
        feature_cache=cache_folder() / "features",
    )
    print(reproduction.markdown())
    print(f"{output / paper}.md, {paper}.json: written")
