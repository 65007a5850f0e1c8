"""The path of the data is one-way: a module imports only the layers above its own."""

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import pytest

import avseg

SRC = Path(avseg.__file__).parent

#: In this order; each may import those before it.
LAYERS = [
    "errors",
    "types",
    "media",
    "export",
    "metrics",
    "backbones",
    "models",
    "checkpoints",
    "segmenter",
    "datasets",
    "training",
    "evaluation",
    "reproduction",
    "cli",
    "__main__",
]
MODULES = sorted(path.relative_to(SRC) for path in SRC.rglob("*.py"))


def imported_modules(path: Path) -> Iterator[str]:
    """Yield what a file imports, as absolute dotted names, imports inside functions included."""
    package = ".".join(("avseg", *path.relative_to(SRC).parent.parts))
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield from (f"{module}.{alias.name}" for alias in node.names)


def imported_layers(path: Path) -> set[str]:
    """Layers of avseg that a file imports, through the front door too."""
    names = {name for name in imported_modules(path) if name.split(".")[0] == "avseg"}
    parts = {name.partition(".")[2].partition(".")[0] for name in names} - {"__version__"}
    # Who imports the front door as a whole may reach every public name: that is for the top layer.
    return {vars(avseg)["_LAYERS"].get(part, part) or "cli" for part in parts}


def layer_of(module: Path) -> str:
    """Layer that a file of the package belongs to, by its place in the tree."""
    return module.parts[0].removesuffix(".py")


def test_every_module_belongs_to_a_layer() -> None:
    assert {layer_of(module) for module in MODULES} - {"__init__"} <= set(LAYERS)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_imports_only_the_layers_above_its_own(module: Path) -> None:
    own = layer_of(module)
    if own == "__init__":
        pytest.skip("the public front door may import every layer")
    below = {
        layer for layer in imported_layers(SRC / module) if LAYERS.index(layer) > LAYERS.index(own)
    }
    assert not below, f"{own} must not import {sorted(below)}"


@pytest.mark.parametrize(
    ("line", "layers"),
    [
        ("import avseg.media.video", {"media"}),
        ("from avseg.models.config import AvsegConfig", {"models"}),
        ("from avseg import media", {"media"}),
        ("from avseg import read_clip", {"media"}),
        ("from avseg import __version__", set()),
        ("from ..errors import ClipError", {"errors"}),
        ("def late():\n    import avseg.cli.main", {"cli"}),
        ("import avseg", {"cli"}),
        ("import numpy", set()),
    ],
)
def test_an_import_is_seen_however_it_is_written(
    line: str, layers: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.SRC", tmp_path)
    file = tmp_path / "media" / "video.py"
    file.parent.mkdir()
    file.write_text(line)
    assert imported_layers(file) == layers
