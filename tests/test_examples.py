"""Tests of the scripts in examples/. `make examples` runs all of them, slow ones included."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
QUICK = {"stage_by_stage.py"}  # all others take over 10 s


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_has_a_docstring_with_its_command_and_a_row_in_the_readme(script: Path) -> None:
    docstring = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
    assert f"python examples/{script.name}" in docstring
    assert f"]({script.name})" in (EXAMPLES / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(path, id=path.name, marks=[] if path.name in QUICK else [pytest.mark.slow])
        for path in SCRIPTS
    ],
)
def test_a_script_runs_without_arguments(script: Path, tmp_path: Path) -> None:
    done = subprocess.run(  # noqa: S603 - our own interpreter, a file of this repository
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
