"""Files of a report: figures as JSON and CSV, tables as Markdown, plots and clips as pictures."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from PIL import Image

from avseg.atomic import replace_when_complete
from avseg.errors import OutputError
from avseg.evaluation.compare import Comparison, compared_tables
from avseg.evaluation.figures.plots import DPI, PLOTS, draw_comparison
from avseg.evaluation.report import CLIPS_FILE, JSON_FILE, Report
from avseg.evaluation.tables import to_markdown

TABLE_FILE, SHEET_FILE = "report.md", "clips.png"

#: Name of a comparison's files, without what follows the dot.
COMPARED = "compare"


def save_report(report: Report, folder: Path, sheet: Image.Image | None = None) -> list[str]:
    """Write a report; each file appears when it is complete.

    Args:
        report: The report.
        folder: Where the files go; made if it is missing.
        sheet: A contact sheet of clips.

    Returns:
        Names of the files.

    Raises:
        OutputError: If a file cannot be written.
    """
    files: dict[str, Callable[[Path], object]] = {
        JSON_FILE: _text(report.to_json()),
        CLIPS_FILE: _text(report.clips_to_csv()),
    }
    pictures = {}
    for name, (title, draw) in PLOTS.items():
        figure = draw(report)
        if figure is not None:
            pictures[title] = name
            files[name] = partial(figure.savefig, dpi=DPI)
    if sheet is not None:
        pictures["The worst and the best clips"] = SHEET_FILE
        files[SHEET_FILE] = sheet.save
    files[TABLE_FILE] = _text(to_markdown(report, pictures))
    _write_files(files, folder)
    return list(files)


def save_comparison(comparison: Comparison, folder: Path) -> list[str]:
    """Write a comparison; each file appears when it is complete.

    Args:
        comparison: The comparison.
        folder: Where the files go; made if it is missing.

    Returns:
        Names of the files.

    Raises:
        OutputError: If a file cannot be written.
    """
    report = comparison.reports[comparison.first]
    parts = [f"# {len(comparison.reports)} models on {report.subset}/{report.split}\n"]
    parts += [table.to_markdown() for table in compared_tables(comparison)]
    parts.append(f"![Scores and differences]({COMPARED}.png)\n")
    files: dict[str, Callable[[Path], object]] = {
        f"{COMPARED}.json": _text(comparison.to_json()),
        f"{COMPARED}.png": partial(draw_comparison(comparison).savefig, dpi=DPI),
        f"{COMPARED}.md": _text("\n".join(parts)),
    }
    _write_files(files, folder)
    return list(files)


def _write_files(files: Mapping[str, Callable[[Path], object]], folder: Path) -> None:
    """Let each file be written to a path; it appears when it is complete."""
    try:
        for name, write in files.items():
            with replace_when_complete(folder / name) as path:
                write(path)
    except OSError as error:
        raise OutputError(
            f"{folder}: the report cannot be written ({error.strerror}); name another folder."
        ) from error


def _text(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text, encoding="utf-8")
