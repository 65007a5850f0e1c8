"""Options that a class declares, read from its source code instead of importing it.

Importing torch and transformers takes seconds of CPU time. Options of a recipe are therefore first
compared with the annotated fields in the source code of the class. Only annotations of simple
types are checked; any other annotation accepts every value.
"""

import ast
import sys
from collections.abc import Iterable, Iterator
from functools import cache, cached_property
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import Any, Self

#: Name in an annotation -> Python types of the YAML values that it accepts, and their description.
_SIMPLE_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "int": ((int, float), "a number"),  # `--set` reads 1e3 as a float
    "float": ((int, float), "a number"),
    "bool": ((bool,), "true or false"),
    "str": ((str,), "a text"),
    "list": ((list, tuple), "a list"),
    "dict": ((dict,), "a mapping of options"),
    "None": ((type(None),), "null"),
}


class DeclaredClass:
    """A class as it is defined in its source code.

    Args:
        module: Module in which the class is defined.
        node: Definition of the class.
    """

    def __init__(self, module: "_Module", node: ast.ClassDef) -> None:
        self.module = module
        self.node = node

    @classmethod
    def find(cls, module: str, name: str) -> Self:
        """Find the source of a class.

        Args:
            module: Dotted name of a module that defines or imports the class.
            name: Name of the class.

        Returns:
            The class.

        Raises:
            LookupError: If the module has no such class.
        """
        found = _read_module(module).find(name)
        if found is None or not isinstance(found[1], ast.ClassDef):
            raise LookupError(f"{module} has no class {name}.")
        return cls(found[0], found[1])

    @property
    def model_type(self) -> object:
        """Value of the class attribute `model_type`; None if the class has none."""
        value = self._attribute("model_type")
        return value.value if isinstance(value, ast.Constant) else None

    @cached_property
    def options(self) -> "dict[str, tuple[_Module, ast.expr]]":
        """Module and annotation of each annotated field, by the name of the field.

        Fields of base classes come first. Base classes from another package are skipped: their
        options are not meant for recipes.
        """
        found: dict[str, tuple[_Module, ast.expr]] = {}
        for base in self.node.bases:
            parent = self.module.find_class(base)
            if parent is not None and parent.module.package == self.module.package:
                found |= parent.options
        for node in self.node.body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                # Fields that the class computes itself are not options.
                is_set_later = "init=False" in ast.unparse(node)
                if not is_set_later and not ast.unparse(node.annotation).startswith("ClassVar"):
                    found[node.target.id] = (self.module, node.annotation)
        return found

    def expected(self, option: str, value: Any) -> str | None:
        """Describe the values that an option accepts, if a given value is not one of them.

        Args:
            option: Name of the option, a key of `options`.
            value: Value from a recipe.

        Returns:
            For instance "a number or null", or "one of clip, clap, mul"; None if the value is
            accepted.
        """
        module, annotation = self.options[option]
        types: list[type] = []
        descriptions: list[str] = []
        choices: list[object] = []
        for name, member in _union_members(annotation):
            if name in _SIMPLE_TYPES:
                types += _SIMPLE_TYPES[name][0]
                descriptions.append(_SIMPLE_TYPES[name][1])
            elif name == "Literal" and isinstance(member, ast.Subscript):
                choices += _constants([member.slice])
            else:
                # Any other type accepts every value here; the class itself validates the value in
                # the second stage.
                enum = module.find_class(member)
                if enum is None or not enum._is_enum():
                    return None
                choices += _constants(n.value for n in enum.node.body if isinstance(n, ast.Assign))
        if choices:  # `SchedulerType | str` means a text that is one of the choices
            types = [kind for kind in types if kind is not str]
            descriptions = [f"one of {', '.join(map(str, choices))}"]
        if isinstance(value, tuple(types)) or value in choices:
            return None
        return " or ".join(dict.fromkeys(descriptions))

    def class_of(self, option: str, mappings: Iterable[str]) -> "DeclaredClass | None":
        """Find the configuration class of an option that has options of its own.

        Args:
            option: Name of the option.
            mappings: Names of class attributes, in the order in which they are searched. Each is a
                dict from options to a configuration or its class.

        Returns:
            The class; None if no mapping has the option.
        """
        for mapping in mappings:
            entries = self._attribute(mapping)
            if isinstance(entries, ast.Dict):
                for key, value in zip(entries.keys, entries.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == option:
                        return self.module.find_class(value)
        return None

    def _attribute(self, name: str) -> ast.expr | None:
        for node in self.node.body:
            if name in _assigned_names(node):
                value: ast.expr | None = getattr(node, "value", None)
                return value
        return None

    def _is_enum(self) -> bool:
        return any(ast.unparse(base).endswith("Enum") for base in self.node.bases)


def literal_values(module: str, name: str) -> list[object]:
    """Return the values of a `Literal` type that a module defines.

    Args:
        module: Dotted name of the module.
        name: Name of the type.

    Returns:
        The values in order; empty if there is no such type.
    """
    found = _read_module(module).find(name)
    if found is None or not isinstance(found[1], ast.Subscript):
        return []
    return list(_constants([found[1].slice]))


class _Module:
    """A parsed source file.

    Args:
        name: Dotted name of the module.
        path: Its file.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.package = name.partition(".")[0]
        # The name against which relative imports in the file are resolved.
        self.parent = name if path.name == "__init__.py" else name.rpartition(".")[0]
        self.nodes = list(_statements(ast.parse(path.read_text(encoding="utf-8")).body))

    def find(self, name: str) -> "tuple[_Module, ast.ClassDef | ast.expr] | None":
        """Find the definition of a name, through imports.

        Args:
            name: Name of a class or a constant.

        Returns:
            The module with the definition, and the class or the assigned expression; None if the
            name is not found or belongs to the standard library.
        """
        for node in self.nodes:
            if isinstance(node, ast.ClassDef) and node.name == name:
                return self, node
            if name in _assigned_names(node):
                value: ast.expr | None = getattr(node, "value", None)
                return None if value is None else (self, value)
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    if (alias.asname or alias.name) == name:
                        origin = resolve_name("." * node.level + (node.module or ""), self.parent)
                        if origin.partition(".")[0] in sys.stdlib_module_names:
                            return None
                        return _read_module(origin).find(alias.name)
        return None

    def find_class(self, expression: ast.expr) -> DeclaredClass | None:
        """Find the class that an expression names, constructs, or calls a method of."""
        # `Config`, `Config(dim=8)` and `Config.tiny()` all lead to the name `Config`.
        while isinstance(expression, ast.Call | ast.Attribute):
            expression = expression.func if isinstance(expression, ast.Call) else expression.value
        found = self.find(expression.id) if isinstance(expression, ast.Name) else None
        if found is None:
            return None
        module, definition = found
        # A constant such as `TINY_SAM = PromptedSam2Config(...)` leads on to its own expression.
        if isinstance(definition, ast.ClassDef):
            return DeclaredClass(module, definition)
        return module.find_class(definition)


@cache
def _read_module(name: str) -> _Module:
    """Parse a module without importing it or the packages around it."""
    top, *below = name.split(".")
    # With a dotted name `find_spec` would import the packages around the module.
    spec = find_spec(top)
    if spec is None:
        raise LookupError(f"there is no package {top}.")
    if spec.submodule_search_locations is None:
        return _Module(name, Path(str(spec.origin)))
    # A package may span several folders; those looked up here have one.
    place = Path(next(iter(spec.submodule_search_locations)), *below)
    package_file = place / "__init__.py"
    return _Module(name, package_file if package_file.is_file() else place.with_suffix(".py"))


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield statements and those inside `if` blocks, such as `if TYPE_CHECKING:` imports."""
    for node in body:
        if isinstance(node, ast.If):
            yield from _statements([*node.body, *node.orelse])
        else:
            yield node


def _assigned_names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    else:
        return []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _union_members(annotation: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    """Yield name and expression of each member of `X | Y`; `list[int]` has the name `list`."""
    # `A | B | C` is parsed as `(A | B) | C`, so the left side is a union too.
    if isinstance(annotation, ast.BinOp):
        yield from _union_members(annotation.left)
        yield from _union_members(annotation.right)
    else:
        name = annotation.value if isinstance(annotation, ast.Subscript) else annotation
        yield ast.unparse(name), annotation


def _constants(expressions: Iterable[ast.expr]) -> Iterator[object]:
    for expression in expressions:
        if isinstance(expression, ast.Tuple):
            yield from _constants(expression.elts)
        elif isinstance(expression, ast.Constant):
            yield expression.value
