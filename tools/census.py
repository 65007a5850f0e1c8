"""Count the properties of the code that cost a reader time: sizes, comments, riddles, open files.

    python tools/census.py                 this checkout
    python tools/census.py --against DIR   beside another one, such as a worktree of an older commit
    python tools/census.py --quick         without the runs that count the files to open

A figure is of `src/avseg` unless it is named otherwise. The same script measures both checkouts, so
that a difference is one of the code.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: First words of a summary that do not name an operation.
VAGUE_VERBS = {
    *("Ask", "Bring", "Call", "Do", "Get", "Give", "Go", "Hear", "Hold"),
    *("Keep", "Know", "Leave", "Let", "Lets", "Look", "Make", "Makes", "Put"),
    *("Puts", "Say", "Says", "See", "Spell", "Take", "Tell", "Want"),
}

#: Phrases that a reader has to solve: a pronoun in place of the field's word.
RIDDLES = re.compile(
    r"\bwhat (?:sounds|is heard|is seen|is said|is left|is there|is meant|it says|it sees|it hears|"
    r"they say|there is|was there|has to be)\b"
    r"|\b(?:nobody|is told|are told|the rest|of chance|in the place of|is forgotten|is asked)\b"
    r"|\bsays? of\b",
    re.IGNORECASE,
)

#: Stages of the data's path. A module may import modules of its own folder and of lower stages;
#: folders of one stage stand beside each other.
STAGES = {
    "packed_mask": -1,  # the data types are made of it
    **dict.fromkeys(("allocator", "errors", "heartbeat", "types", "version", "metrics"), 0),
    **dict.fromkeys(("atomic", "environment", "media", "backbones"), 1),
    **dict.fromkeys(("models", "export"), 2),
    **dict.fromkeys(("checkpoints", "datasets"), 3),
    **dict.fromkeys(("segmenter", "synthavs"), 4),
    **dict.fromkeys(("batch", "diagnosis", "training", "evaluation"), 5),
    **dict.fromkeys(("reproduction",), 6),
    **dict.fromkeys(("cli", "__main__"), 7),
}

#: Shared lines that make two places a pair of duplicates.
DUPLICATE_LINES = 6

#: Longest file of the package and longest body of a function, in lines.
MAX_FILE_LINES, MAX_BODY_LINES = 500, 60

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Source:
    """One file of the package.

    Attributes:
        path: Of the file, from `src/avseg` on.
        text: Its content.
        tree: Its syntax tree.
    """

    path: Path
    text: str
    tree: ast.Module

    @classmethod
    def read(cls, path: Path, root: Path) -> Source:
        """Read and parse a file below a root folder."""
        text = path.read_text(encoding="utf-8")
        return cls(path.relative_to(root), text, ast.parse(text))

    @property
    def lines(self) -> list[str]:
        """Lines of the file."""
        return self.text.splitlines()

    def comments(self) -> Iterator[str]:
        """Yield the comments of the file."""
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type == tokenize.COMMENT:
                yield token.string

    def docstrings(self) -> Iterator[tuple[str, str]]:
        """Yield the name and the docstring of the module and of each class and function."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Module | Definition):
                text = ast.get_docstring(node)
                if text:
                    yield getattr(node, "name", "module"), text


def read_package(root: Path) -> list[Source]:
    """Read all files of the package of a checkout.

    Args:
        root: Folder of the checkout.

    Returns:
        The files in the order of their paths.
    """
    package = root / "src" / "avseg"
    return [Source.read(path, package) for path in sorted(package.rglob("*.py"))]


def functions(sources: list[Source]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield all functions and methods."""
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function's body without its docstring."""
    body = function.body
    has_docstring = ast.get_docstring(function) is not None
    if has_docstring and len(body) == 1:
        return 0
    first = body[1] if has_docstring else body[0]
    return (function.end_lineno or first.lineno) - first.lineno + 1


def typed_share(sources: list[Source]) -> float:
    """Compute the share of arguments and returns that have an annotation."""
    annotated = []
    for function in functions(sources):
        arguments = function.args
        named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        named += [extra for extra in (arguments.vararg, arguments.kwarg) if extra]
        annotated += [a.annotation is not None for a in named if a.arg not in ("self", "cls")]
        annotated.append(function.returns is not None)
    return statistics.fmean(annotated)


def is_public(name: str) -> bool:
    """Return whether a name has no leading underscore."""
    return not name.startswith("_")


def public_definitions(sources: list[Source]) -> list[Definition]:
    """List the public functions, classes and methods of public classes."""
    found: list[Definition] = []
    for source in sources:
        holders: list[ast.Module | ast.ClassDef] = [source.tree]
        while holders:
            for node in holders.pop().body:
                if isinstance(node, Definition) and is_public(node.name):
                    found.append(node)
                    if isinstance(node, ast.ClassDef):
                        holders.append(node)
    return found


def vague_summaries(sources: list[Source]) -> list[str]:
    """List the docstrings that begin with a vague verb.

    Args:
        sources: Files of the package.

    Returns:
        Path, name and summary of each.
    """
    return [
        f"{source.path}: {name}: {text.splitlines()[0]}"
        for source in sources
        for name, text in source.docstrings()
        if text.split()[0].strip(",.:") in VAGUE_VERBS
    ]


def riddles(sources: list[Source]) -> list[str]:
    """List the docstrings and comments with a phrase that a reader has to solve.

    Args:
        sources: Files of the package.

    Returns:
        Path and phrase of each.
    """
    return [
        f"{source.path}: {match.group()}"
        for source in sources
        for text in (*(" ".join(t.split()) for _, t in source.docstrings()), *source.comments())
        for match in RIDDLES.finditer(text)
    ]


def edges_against_the_flow(sources: list[Source]) -> list[str]:
    """List the imports of a module from a folder that is not of a lower stage.

    Args:
        sources: Files of the package.

    Returns:
        Importing file and imported module of each.
    """
    found = []
    for source in sources:
        own = source.path.parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        for name in _imports(source):
            other = name.split(".")[1] if "." in name else "__init__"
            # The front door reaches everything, so it is above all but the command line.
            stage = STAGES.get(other, 7 if other == "__init__" else 0)
            if other != own and stage >= STAGES[own] and own not in ("cli", "__main__"):
                found.append(f"{source.path} imports {name}")
    return found


def _imports(source: Source) -> Iterator[str]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] == "avseg")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "avseg":
            yield node.module or ""


def duplicate_pairs(sources: list[Source]) -> list[tuple[Path, Path]]:
    """List the pairs of files that share a run of equal lines of code.

    Blank lines, comments, docstrings, imports and lines without a word do not count.

    Args:
        sources: Files of the package.

    Returns:
        Each pair once.
    """
    places: dict[tuple[str, ...], set[Path]] = defaultdict(set)
    for source in sources:
        lines = _code_lines(source)
        for start in range(len(lines) - DUPLICATE_LINES + 1):
            places[tuple(lines[start : start + DUPLICATE_LINES])].add(source.path)
    pairs = {
        (first, second)
        for paths in places.values()
        for first in paths
        for second in paths
        if first < second
    }
    return sorted(pairs)


def _code_lines(source: Source) -> list[str]:
    skipped: set[int] = set()
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import | ast.ImportFrom) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        ):
            skipped.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    stripped = (
        line.strip() for number, line in enumerate(source.lines, 1) if number not in skipped
    )
    return [line for line in stripped if re.search(r"\w", line) and not line.startswith("#")]


def measure(root: Path) -> dict[str, float | int | str]:
    """Measure the package of a checkout without running it.

    Args:
        root: Folder of the checkout.

    Returns:
        Each figure by its name.
    """
    sources = read_package(root)
    lengths = sorted((len(source.lines), str(source.path)) for source in sources)
    bodies = sorted(body_lines(function) for function in functions(sources))
    public = public_definitions(sources)
    lines = sum(length for length, _ in lengths)
    comments = sum(line.lstrip().startswith("#") for source in sources for line in source.lines)
    front_door = next(source for source in sources if source.path == Path("__init__.py"))
    return {
        "files": len(sources),
        "lines": lines,
        "median file, lines": statistics.median(length for length, _ in lengths),
        "longest file, lines": f"{lengths[-1][0]} ({lengths[-1][1]})",
        f"files over {MAX_FILE_LINES} lines": sum(n > MAX_FILE_LINES for n, _ in lengths),
        "body of a function, median": statistics.median(bodies),
        "body of a function, 90th percentile": bodies[int(0.9 * len(bodies))],
        "body of a function, longest": bodies[-1],
        "typed arguments and returns": f"{typed_share(sources):.1%}",
        "public definitions with a docstring": (
            f"{statistics.fmean(ast.get_docstring(node) is not None for node in public):.1%}"
        ),
        "lines that are a comment": f"{comments / lines:.1%}",
        "public definitions": len(public),
        "names of the front door": len(_front_door_names(front_door)),
        "imports against the flow": len(edges_against_the_flow(sources)),
        "summaries with a vague verb": len(vague_summaries(sources)),
        "riddles": len(riddles(sources)),
        "pairs of files with duplicate lines": len(duplicate_pairs(sources)),
    }


def _front_door_names(front_door: Source) -> list[str]:
    for node in front_door.tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


#: Runs a task of the package and prints the files of which a function ran, imports left out.
_TRACER = """
import os, sys, threading
from pathlib import Path
package = os.path.realpath(sys.argv[1]) + "/src/avseg/"
opened = set()

def is_import(frame):
    while frame:
        code = frame.f_code
        if code.co_name == "<module>" and code.co_filename.startswith(package):
            return True
        frame = frame.f_back
    return False

def trace(frame, event, _):
    code = frame.f_code
    if event == "call" and code.co_filename.startswith(package) and code.co_filename not in opened:
        if code.co_name != "<module>" and code.co_flags & 1 and not is_import(frame):
            opened.add(code.co_filename)

import avseg
threading.setprofile(trace)
sys.setprofile(trace)
task, arguments = sys.argv[2], sys.argv[3:]
if task == "clip":
    avseg.load_segmenter()(arguments[0])
else:
    from avseg.cli.main import main
    sys.argv = ["avseg", task, *arguments]
    try:
        main()
    except SystemExit as stop:
        if stop.code:
            raise
sys.setprofile(None)
Path(os.environ["AVSEG_CENSUS"]).write_text("\\n".join(sorted(opened)))
"""

#: The smallest model that trains, so that the run is short.
_RECIPE = {
    "task": "audio-visual",
    "model": {"features": "mul", "adapters": True},
    "data": {"train": ["ms3/train"], "measured": ["ms3/val"], "off_screen": 0.0},
    "trainer": {
        "max_steps": 1,
        "per_device_train_batch_size": 2,
        "per_device_eval_batch_size": 4,
        "save_strategy": "no",
    },
}


def count_opened_files(root: Path) -> dict[str, int]:
    """Run a clip, a recipe and an evaluation, and count the files that a reader of each opens.

    Args:
        root: Folder of the checkout.

    Returns:
        By task, the files in which a function ran.
    """
    demo = str(root / "examples" / "demo.mp4")
    with tempfile.TemporaryDirectory() as folder:
        data, recipe = Path(folder) / "data", Path(folder) / "tiny.yaml"
        recipe.write_text(json.dumps(_RECIPE))  # JSON is YAML
        drawn = ["--subset", "ms3", "--out", str(data), "--clips", "4", "--evaluation-clips", "2"]
        _run(root, [sys.executable, "-m", "avseg", "data", "synthesize", *drawn], Path(folder))
        of_data = ["--data", str(data)]
        tasks = {
            "files to open for a clip": ["clip", demo],
            "files to open for a recipe": [
                *("train", str(recipe), *of_data, "--output", f"{folder}/run"),
                *("--feature-cache", f"{folder}/features"),
            ],
            "files to open for an evaluation": [
                *("evaluate", *of_data, "--subset", "ms3", "--output", f"{folder}/report")
            ],
        }
        counts = {}
        for name, arguments in tasks.items():
            _run(root, [sys.executable, "-c", _TRACER, str(root), *arguments], Path(folder))
            counts[name] = len((Path(folder) / "opened").read_text().split("\n"))
    return counts


def _run(root: Path, command: list[str], folder: Path) -> None:
    environment = os.environ | {
        "PYTHONPATH": str(root / "src"),
        "AVSEG_CENSUS": str(folder / "opened"),
    }
    result = subprocess.run(  # noqa: S603 - our own interpreter and arguments
        command, env=environment, cwd=folder, capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise SystemExit(f"{root}: {' '.join(command[:4])} failed:\n{result.stderr[-2000:]}")


def main() -> None:
    """Measure one checkout or two, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--against", type=Path, help="another checkout, shown first")
    parser.add_argument("--quick", action="store_true", help="count no files to open")
    options = parser.parse_args()
    roots = [root.resolve() for root in (options.against, ROOT) if root]
    columns = [
        measure(root) | ({} if options.quick else count_opened_files(root)) for root in roots
    ]
    names = ["before", "now"] if options.against else ["now"]
    print(f"| figure | {' | '.join(names)} |\n| --- |{' --- |' * len(names)}")
    for figure in dict.fromkeys(name for column in columns for name in column):
        print(f"| {figure} | {' | '.join(str(column.get(figure, '-')) for column in columns)} |")


if __name__ == "__main__":
    main()
