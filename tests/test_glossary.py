"""The glossary: one meaning for each term, and names that exist in the code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "avseg"


def _rows() -> list[list[str]]:
    """Return the cells of each row of the glossary's table, without its head."""
    lines = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8").splitlines()
    table = [line for line in lines if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def _names_in(node: ast.AST) -> Iterator[str]:
    """Yield the names that one node of the syntax tree defines."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        yield node.name
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        yield node.attr


def _names_in_package() -> set[str]:
    """Return all names of the package, and `Class.member` for the members of its classes."""
    names = {path.stem for path in PACKAGE.rglob("*.py")}
    names |= {path.parent.name for path in PACKAGE.rglob("__init__.py")}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names.update(_names_in(node))
            if isinstance(node, ast.ClassDef):
                members = {name for inner in ast.walk(node) for name in _names_in(inner)}
                names.update(f"{node.name}.{member}" for member in members)
    return names


def test_every_row_of_the_glossary_has_a_term_a_meaning_a_symbol_and_a_name() -> None:
    rows = _rows()

    assert len(rows) >= 50
    assert [row for row in rows if len(row) != 4 or not row[0] or not row[1] or not row[3]] == []


def test_every_term_of_the_glossary_is_unique_and_the_table_is_sorted() -> None:
    terms = [row[0].lower() for row in _rows()]

    assert len(set(terms)) == len(terms)
    assert terms == sorted(terms)


def test_every_name_in_the_last_column_of_the_glossary_exists_in_the_package() -> None:
    known = _names_in_package()

    listed = [name for row in _rows() for name in re.findall(r"`([^`]+)`", row[3])]

    assert len(listed) >= len(_rows())
    assert [name for name in listed if name not in known] == []
