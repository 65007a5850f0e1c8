"""`avseg compare`: several reports side by side."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


def compare(
    report: Annotated[list[Path], Parameter(negative="")],
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
) -> None:
    """Put reports of `avseg evaluate` side by side, and say how sure their differences are.

    The reports must be of the same clips, with the same threshold and protocols. Each is compared
    with the first by the bootstrap over clips, both models on the same draws. Writes compare.md,
    compare.json and compare.png.

    Args:
        report: Folders that `avseg evaluate` wrote, at least two; the others are compared with the
            first.
        output: Folder for the comparison.
    """
    # These load torch; `--help` need not wait for it.
    from avseg.cli.terminal import show_table
    from avseg.evaluation.compare import compare as put_side_by_side
    from avseg.evaluation.compare import compared_tables
    from avseg.evaluation.report import name_reports
    from avseg.evaluation.report_files import save_comparison

    comparison = put_side_by_side(name_reports(report))
    files = save_comparison(comparison, output)
    for table in compared_tables(comparison)[:2]:
        show_table(table, intervals=True)
    print(f"{output}: {', '.join(files)}")
