"""Output that several commands share: tables, progress bars, notices and errors."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from textwrap import fill
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

from avseg.checkpoints import find_checkpoint

if TYPE_CHECKING:
    from avseg.evaluation.tables import Table as ReportTable

#: Names up to this number of characters are never folded, even in a narrow terminal.
_NAME_WIDTH = 20

#: Longest line of a text that is wrapped, in characters.
_TEXT_WIDTH = 100


class ProgressBar:
    """A progress bar; `progress_bar` shows one on stderr.

    Lines printed to `console` appear above the bar.

    Args:
        progress: Display of the bar.
        description: Text before the bar.
    """

    def __init__(self, progress: Progress, description: str) -> None:
        self.console = progress.console
        self._progress = progress
        # A total of 1 until the first update: then the bar shows 0 % instead of an unknown length.
        self._task = progress.add_task(description, total=1.0)

    def update(self, done: float, total: float = 1.0) -> None:
        """Show how much of the work is done.

        Args:
            done: Finished work, such as a number of clips, in [0, total].
            total: All work, in the same unit.
        """
        self._progress.update(self._task, completed=done, total=total)

    def restart(self, description: str) -> None:
        """Start again at zero with other work.

        Args:
            description: Text before the bar.
        """
        self._progress.reset(self._task, description=description)


@contextmanager
def progress_bar(description: str = "", *, transient: bool = False) -> Iterator[ProgressBar]:
    """Show a progress bar while a block runs.

    Args:
        description: Text before the bar.
        transient: Whether the bar disappears at the end of the block.

    Yields:
        The bar, at zero.
    """
    # Without markup, since square brackets in a file name would be read as markup.
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
    with Progress(
        *columns, TimeRemainingColumn(), console=Console(stderr=True), transient=transient
    ) as progress:
        yield ProgressBar(progress, description)


def show_notices(models: Iterable[str], *, offline: bool, is_mapped: bool = False) -> None:
    """Print the notices of models on stderr, such as limits of their licence or training data.

    Args:
        models: Names of models, or folders of saved ones.
        offline: Whether to forbid downloads.
        is_mapped: Whether the weights will stay in their file (--memory low).

    Raises:
        CheckpointError: If there is no such model, or it cannot be downloaded.
    """
    console = Console(stderr=True)
    for model in models:
        notice = find_checkpoint(model, offline=offline, is_mapped=is_mapped).notice
        if notice is not None:
            console.print(Text(notice, "yellow"), soft_wrap=True)


def wrap(text: str, width: int, subsequent_indent: str = "") -> str:
    """Wrap a text between words; paths, addresses and options are not split.

    Args:
        text: The text.
        width: Width of the terminal, in characters; a line has at most 100 of them.
        subsequent_indent: Text before all lines but the first.

    Returns:
        The text with line breaks.
    """
    return fill(
        text,
        min(width, _TEXT_WIDTH),
        subsequent_indent=subsequent_indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def show_error(message: str, console: Console | None = None) -> None:
    """Print an error in red.

    Args:
        message: Text of the error.
        console: Console of a progress bar, if one is shown; stderr otherwise.
    """
    # Without markup, since square brackets in a file name would be read as markup. With soft wrap,
    # a long path has no line breaks and can be copied.
    line = Text.assemble(("error: ", "bold red"), (message, "red"))
    (console or Console(stderr=True)).print(line, soft_wrap=True, highlight=False)


def show_table(table: "ReportTable", intervals: bool = False) -> None:
    """Print a table of a report.

    Args:
        table: The table.
        intervals: Whether to print confidence intervals with the scores.
    """
    from avseg.evaluation.tables import format_cell, format_cell_briefly  # loads torch

    write = format_cell if intervals else format_cell_briefly

    # Markdown marks baselines in italics by asterisks, which a terminal would print.
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
