"""How commands show tables."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

#: Letters of a name that stay in one line, however narrow the terminal.
_NAME_WIDTH = 20

if TYPE_CHECKING:
    from avseg.evaluation.tables import Table as ReportTable


def show_table(table: "ReportTable", intervals: bool = False) -> None:
    """Print a table of a report.

    Args:
        table: The table.
        intervals: Whether scores are shown with their intervals.
    """
    from avseg.evaluation.tables import spell, spell_short  # loads torch

    write = spell if intervals else spell_short

    names = [write(row[0]).strip("*") for row in table.rows]
    width = min(max(map(len, names)), _NAME_WIDTH)
    shown = Table(
        Column(table.headings[0], overflow="fold", min_width=width),
        *table.headings[1:],
        title=table.title,
        title_justify="left",
    )
    for name, row in zip(names, table.rows, strict=True):
        shown.add_row(Text(name), *(Text(write(cell)) for cell in row[1:]))
    Console().print(shown)
