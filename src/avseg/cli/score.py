"""`avseg score`: score saved predictions by every protocol."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from avseg.cli.terminal import progress_bar, show_table


def _check_protocols(_: object, names: list[str] | None) -> None:
    """Validate `--protocol` during parsing, so that a misspelt name is wrong usage: exit code 2."""
    if names:
        from avseg.metrics.protocols import check_protocols  # loads torch

        check_protocols(names)


def score(
    predictions: Path,
    *,
    data: Path,
    protocol: Annotated[
        list[str] | None, Parameter(negative="", validator=_check_protocols)
    ] = None,
    output: Path | None = None,
) -> None:
    """Score saved predictions by all published protocols side by side, without the model.

    Args:
        predictions: Folder that `avseg evaluate --save-predictions` wrote.
        data: Folder of the data sets for which the predictions were made.
        protocol: Name of a protocol, such as tpavi or av2t-sam; may be repeated; all by default.
        output: JSON file for the scores, with the place of each quirk in the published code.
    """
    from avseg.evaluation.protocol_scores import score as score_predictions  # loads torch

    with progress_bar(predictions.name) as bar:
        scores = score_predictions(
            predictions,
            data,
            protocol=protocol,
            output=output,
            on_clip=bar.update,
        )
    for table in scores.tables():
        show_table(table)
