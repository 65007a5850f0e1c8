"""`avseg evaluate`: score a model on a data set."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter, validators
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from avseg.checkpoints import DEFAULT_MODEL

Threshold = Annotated[float, Parameter(validator=validators.Number(gt=0, lt=1))]


def evaluate(  # noqa: PLR0913 - one argument for each option of the command
    model: str = DEFAULT_MODEL,
    *,
    data: Path,
    subset: Literal["s4", "ms3"],
    output: Path,
    split: str = "test",
    device: str = "auto",
    dtype: Literal["float32", "bfloat16", "float16"] = "float32",
    threshold: Threshold = 0.5,
) -> None:
    """Score a model: with the true sound, muted, in noise, and with sounds from off the screen.

    Writes report.json, report.md, and clips.png with the worst and the best clips.

    Args:
        model: Name of a model, or folder of a trained one.
        data: Folder of the data sets, in AVSBench's layout.
        subset: s4 (single source) or ms3 (multi source).
        output: Folder for the report.
        split: Which split, such as test; SynthAVS also has test_seen and test_zero_shot.
        device: cpu, cuda, mps, or auto for a GPU if there is one.
        dtype: What matrix products are computed in; bfloat16 is faster where the processor has
            instructions for it, and on a GPU, and moves the masks a little.
        threshold: Probability above which a pixel is marked.
    """
    # These load torch and transformers; `--help` need not wait for them.
    from avseg.datasets import AVSBench
    from avseg.evaluation import evaluate as score
    from avseg.evaluation import save_report
    from avseg.evaluation.sheet import draw_sheet, extreme_clips
    from avseg.segmenter import load_segmenter

    segmenter = load_segmenter(model, device, dtype=dtype)
    clips = AVSBench(data, subset, split, segmenter.processor.sample_rate)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task(f"{subset}/{split}", total=len(clips))
        report = score(segmenter, clips, threshold, on_clip=lambda: progress.advance(task))
    save_report(report, output, draw_sheet(extreme_clips(segmenter, clips, report)))
    headings, rows = report.table()
    table = Table(title=f"{report.model} on {subset}/{split}")
    for heading in headings:
        table.add_column(heading, no_wrap=not heading)  # the name stays in one piece
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    for sentence in report.sentences():
        print(sentence)
    print(f"{output}: report.json, report.md, clips.png")
