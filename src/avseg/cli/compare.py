"""`avseg compare`: compare several reports."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from avseg.cli.terminal import show_table


def compare(
    report: Annotated[list[Path], Parameter(negative="")],
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
) -> None:
    """Compare the reports of several models: scores, differences and confidence intervals.

    The reports must be of the same clips, with the same threshold and protocols. Each report is
    compared with the first one by the paired bootstrap over clips. Writes compare.md,
    compare.json and compare.png.

    Args:
        report: Folders that `avseg evaluate` wrote, at least two; the others are compared with the
            first.
        output: Folder for the comparison.
    """
    from avseg.evaluation.compare import compare as compare_reports  # loads torch

    comparison = compare_reports(report, output=output)
    # Scores and differences; the tables of protocols and conditions are in compare.md.
    for table in comparison.tables()[:2]:
        show_table(table, intervals=True)
    print(f"{output}: compare.md, compare.json, compare.png")
