"""Rules for every file of the package that no linter checks; `tools/census.py` counts the same."""

from pathlib import Path

import pytest

from tools.census import (
    MAX_BODY_LINES,
    MAX_FILE_LINES,
    Source,
    body_lines,
    duplicate_pairs,
    edges_against_the_flow,
    functions,
    read_package,
    riddles,
    vague_summaries,
)

ROOT = Path(__file__).parent.parent
SOURCES = read_package(ROOT)


def parse(tmp_path: Path, name: str, text: str) -> Source:
    """Write a file into a folder and read it as a file of the package."""
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return Source.read(path, tmp_path)


def test_no_file_is_too_long() -> None:
    assert not [str(s.path) for s in SOURCES if len(s.lines) > MAX_FILE_LINES]


def test_no_function_is_too_long() -> None:
    assert not [f.name for f in functions(SOURCES) if body_lines(f) > MAX_BODY_LINES]


def test_no_summary_begins_with_a_vague_verb() -> None:
    assert not vague_summaries(SOURCES)


def test_no_docstring_or_comment_is_a_riddle() -> None:
    assert not riddles(SOURCES)


def test_no_import_runs_against_the_flow() -> None:
    assert not edges_against_the_flow(SOURCES)


@pytest.mark.parametrize(
    ("summary", "count"),
    [("Say how sure the model is.", 1), ("Compute the score of each mask.", 0)],
)
def test_a_vague_summary_is_found(summary: str, count: int, tmp_path: Path) -> None:
    source = parse(tmp_path, "types.py", f'def score():\n    """{summary}"""\n')
    assert len(vague_summaries([source])) == count


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ('"""Masks of what\n\nsounds."""\n', 1),
        ("x = 1  # nobody reads this\n", 1),
        ('"""Masks of the sounding objects."""\n', 0),
        ('x = "nobody"\n', 0),
    ],
)
def test_a_riddle_is_found_in_docstrings_and_comments(
    text: str, count: int, tmp_path: Path
) -> None:
    assert len(riddles([parse(tmp_path, "types.py", text)])) == count


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("from avseg.models.model import AvsegModel", 1),
        ("import avseg", 1),
        ("from avseg.errors import ClipError", 0),
        ("from avseg.media.video import read_frames", 0),
    ],
)
def test_an_import_against_the_flow_is_found(line: str, count: int, tmp_path: Path) -> None:
    assert len(edges_against_the_flow([parse(tmp_path, "media/clip.py", line)])) == count


def test_the_body_of_a_function_is_counted_without_its_docstring(tmp_path: Path) -> None:
    text = 'def f():\n    """One.\n\n    Two.\n    """\n    a = 1\n    return a\n'
    (function,) = functions([parse(tmp_path, "types.py", text)])
    assert body_lines(function) == 2


def test_six_equal_lines_make_a_pair_of_duplicates(tmp_path: Path) -> None:
    lines = "\n".join(f"value_{i} = {i}" for i in range(6))
    first = parse(tmp_path, "a.py", f"import os\n\n{lines}\n")
    second = parse(tmp_path, "b.py", f'"""B."""\n{lines}\n# end\n')
    shorter = parse(tmp_path, "c.py", lines.partition("\n")[2])
    assert duplicate_pairs([first, second, shorter]) == [(Path("a.py"), Path("b.py"))]
