"""`avseg score`: score saved predictions again, by every protocol."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table


def score(
    predictions: Path,
    *,
    data: Path,
    protocol: Annotated[list[str] | None, Parameter(negative="")] = None,
    output: Path | None = None,
) -> int:
    """Score saved predictions by all published protocols side by side, without the model.

    Args:
        predictions: Folder that `avseg evaluate --save-predictions` wrote.
        data: Folder of the data sets they were made of.
        protocol: Name of a protocol, such as tpavi or av2t-sam, once for each; default all.
        output: File for the scores as JSON, with the source of each quirk.

    Returns:
        The exit code: 2 if there is no such protocol.
    """
    # These load torch; `--help` need not wait for them.
    from avseg.datasets import AVSBench
    from avseg.evaluation.prediction_files import read_predictions
    from avseg.evaluation.protocol_scores import rescore, save_scores
    from avseg.metrics.protocol_table import PROTOCOLS

    console = Console(stderr=True)
    unknown = [name for name in protocol or () if name not in PROTOCOLS]
    if unknown:
        console.print(
            f"no protocol {unknown[0]!r}; choose from {', '.join(PROTOCOLS)}.", style="red"
        )
        return 2
    saved = read_predictions(predictions)
    facts = saved.facts
    split = AVSBench(data, facts.subset, facts.split)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(f"{facts.subset}/{facts.split}", total=len(saved))
        rescored = rescore(saved, split, protocol, on_clip=lambda: progress.advance(task))
    if output is not None:
        save_scores(rescored, output)
    title = f"{facts.model} on {facts.subset}/{facts.split}"
    _print(title, *rescored.table())
    if rescored.categories:
        name = next(iter(rescored.protocols))
        _print(f"{PROTOCOLS[name].title}, by category", *rescored.category_table(name))
    if rescored.semantic:
        _print("classes", *rescored.semantic_table())
    return 0


def _print(title: str, headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    table = Table(title=title)
    for heading in headings:
        table.add_column(heading)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
