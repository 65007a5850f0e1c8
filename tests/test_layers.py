"""The path of the data is one-way: a layer imports only the layers that its row allows."""

import ast
import importlib.util
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import avseg

SRC = Path(avseg.__file__).parent

#: A layer, which is a folder or a file of the package, to the layers that it may import.
ALLOWED: dict[str, set[str]] = {
    "version": set(),
    "errors": set(),
    "packed_mask": set(),
    "types": {"packed_mask"},
    "allocator": set(),
    "atomic": {"errors"},
    "environment": {"version"},
    "heartbeat": set(),
    "media": {"errors", "heartbeat", "types"},
    "backbones": {"errors"},
    "models": {"backbones", "errors", "media", "packed_mask", "types"},
    "export": {"atomic", "errors", "media", "types"},
    "checkpoints": {"atomic", "backbones", "errors", "models"},
    "segmenter": {
        *("backbones", "checkpoints", "errors", "media", "models", "packed_mask", "types"),
    },
    "batch": {
        *("allocator", "atomic", "checkpoints", "errors", "export", "heartbeat", "media"),
        *("models", "segmenter", "types"),
    },
    "diagnosis": {
        *("checkpoints", "environment", "errors", "media", "models", "segmenter", "synthavs"),
        *("types", "version"),
    },
    "metrics": set(),
    "datasets": {"atomic", "errors", "export", "media", "types"},
    "synthavs": {"atomic", "datasets", "errors", "media"},
    "training": {
        *("atomic", "backbones", "checkpoints", "datasets", "environment", "errors", "metrics"),
        *("models", "synthavs"),
    },
    "evaluation": {
        *("atomic", "backbones", "datasets", "environment", "errors", "media", "metrics", "models"),
        *("segmenter", "synthavs", "types"),
    },
    "reproduction": {
        *("atomic", "checkpoints", "datasets", "errors", "evaluation", "metrics", "synthavs"),
        *("training",),
    },
    "cli": {
        *("allocator", "batch", "checkpoints", "datasets", "diagnosis", "evaluation", "media"),
        *("metrics", "reproduction", "synthavs", "training", "types"),
    },
    "__main__": {"cli"},
}
MODULES = sorted(path.relative_to(SRC) for path in SRC.rglob("*.py"))


def imported_modules(path: Path) -> Iterator[str]:
    """Yield the absolute dotted names that a file imports, imports inside functions included."""
    package = ".".join(("avseg", *path.relative_to(SRC).parent.parts))
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            yield from (f"{module}.{alias.name}" for alias in node.names)


def imported_layers(path: Path) -> set[str]:
    """Return the layers of avseg that a file imports, through the front door too."""
    names = {name for name in imported_modules(path) if name.split(".")[0] == "avseg"}
    parts = {name.partition(".")[2].partition(".")[0] for name in names}
    front_door = vars(avseg)["_MODULES"] | {"__version__": "version"}
    # `import avseg` reaches every public name, so it counts as the top layer.
    return {front_door.get(part, part) or "cli" for part in parts}


def layer_of(module: Path) -> str:
    """Return the layer of a file, by its place in the tree."""
    return module.parts[0].removesuffix(".py")


def test_every_module_belongs_to_a_layer() -> None:
    assert {layer_of(module) for module in MODULES} - {"__init__"} == set(ALLOWED)


def test_the_allowed_imports_form_no_cycle() -> None:
    assert list(TopologicalSorter(ALLOWED).static_order())


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_imports_only_the_layers_that_its_own_may_import(module: Path) -> None:
    own = layer_of(module)
    if own == "__init__":
        pytest.skip("the public front door may import every layer")
    refused = imported_layers(SRC / module) - ALLOWED[own] - {own}
    assert not refused, f"{own} must not import {sorted(refused)}"


@pytest.mark.parametrize("layer", ALLOWED)
def test_every_allowed_import_is_made(layer: str) -> None:
    made = set().union(*(imported_layers(SRC / m) for m in MODULES if layer_of(m) == layer))
    assert ALLOWED[layer] <= made, f"{layer} does not import {sorted(ALLOWED[layer] - made)}"


@pytest.mark.parametrize(
    ("line", "layers"),
    [
        ("import avseg.media.video", {"media"}),
        ("from avseg.models.model import AvsegConfig", {"models"}),
        ("from avseg import media", {"media"}),
        ("from avseg import read_clip", {"media"}),
        ("from avseg import __version__", {"version"}),
        ("from ..errors import ClipError", {"errors"}),
        ("def late():\n    import avseg.cli.main", {"cli"}),
        ("import avseg", {"cli"}),
        ("import numpy", set()),
    ],
)
def test_an_import_is_found_however_it_is_written(
    line: str, layers: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.SRC", tmp_path)
    file = tmp_path / "media" / "video.py"
    file.parent.mkdir()
    file.write_text(line)
    assert imported_layers(file) == layers


def dotted(module: Path) -> str:
    """Return the dotted name of a file of the package."""
    return ".".join(("avseg", *module.with_suffix("").parts)).removesuffix(".__init__")


def test_no_module_imports_itself_through_others() -> None:
    names = {dotted(module) for module in MODULES}
    graph: dict[str, set[str]] = {}
    for module in MODULES:
        # An imported name is a module itself, or a name in the module before its last dot.
        found = (
            name if name in names else name.rpartition(".")[0]
            for name in imported_modules(SRC / module)
        )
        graph[dotted(module)] = {name for name in found if name in names - {"avseg"}}
    assert list(TopologicalSorter(graph).static_order())
