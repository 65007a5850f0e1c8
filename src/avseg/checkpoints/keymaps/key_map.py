"""Key maps: rules that rename and convert published tensors to those of this package, and back.

A key map has a rule for every kind of tensor in a published file. The names in a rule are templates
with fields. A field with one letter, such as `{i}`, matches a number. A field with a longer name,
such as `{rest}`, matches any text. `{part:attn.qkv|proj}` matches the regular expression after the
colon. The same rule converts in both directions.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import NamedTuple

import torch
from torch import Tensor

from avseg.errors import CheckpointError

Conversion = Callable[[Sequence[Tensor]], Sequence[Tensor]]

_FIELD = re.compile(r"\{(\w+)(?::([^{}]+))?\}")

#: Maximum number of keys that an error message lists for each kind of mistake.
_LISTED_KEYS = 3


@dataclass(frozen=True)
class KeyRule:
    """Conversion of one kind of published tensors.

    Attributes:
        published: Templates of the published names.
        ours: Templates of the names in this package; empty if no model here uses the tensors.
        convert: Function that converts the published tensors, in the order of `published`, to ours.
        restore: Inverse of `convert`.
    """

    published: tuple[str, ...]
    ours: tuple[str, ...]
    convert: Conversion
    restore: Conversion


def rename(published: str, ours: str) -> KeyRule:
    """Build a rule for a tensor that has another name in this package."""
    return KeyRule((published,), (ours,), _same, _same)


def same(name: str) -> KeyRule:
    """Build a rule for a tensor that has the same name in this package."""
    # The expressions of the fields are written once, on the published side.
    return KeyRule((name,), (_FIELD.sub(r"{\1}", name),), _same, _same)


def drop(published: str) -> KeyRule:
    """Build a rule for a tensor that no model of this package uses."""
    return KeyRule((published,), (), _same, _same)


def split(published: str, *ours: str) -> KeyRule:
    """Build a rule for a tensor that is cut along its first axis into equal tensors here."""
    return KeyRule((published,), ours, partial(_cut, parts=len(ours)), _concatenate)


def join(published: Sequence[str], ours: str) -> KeyRule:
    """Build a rule for tensors that are concatenated along the first axis here."""
    return KeyRule(tuple(published), (ours,), _concatenate, partial(_cut, parts=len(published)))


def repeat(published: str, *ours: str) -> KeyRule:
    """Build a rule for a constant of which a model here has several copies."""
    return KeyRule((published,), ours, partial(_copy, times=len(ours)), _first)


def transpose(published: str, ours: str) -> KeyRule:
    """Build a rule for a matrix that is transposed here."""
    return KeyRule((published,), (ours,), _transpose, _transpose)


def linear(published: str, ours: str, axes: int) -> tuple[KeyRule, KeyRule]:
    """Build the rules for a convolution with kernel 1 that is a linear layer here.

    Args:
        published: Name of the convolution, without ".weight".
        ours: Name of the linear layer, without ".weight".
        axes: Number of axes over which the convolution runs: 1, 2 or 3.

    Returns:
        Rules for weight and bias.
    """
    weight = KeyRule(
        (published + ".weight",),
        (ours + ".weight",),
        partial(_remove_axes, axes=axes),
        partial(_add_axes, axes=axes),
    )
    return weight, rename(published + ".bias", ours + ".bias")


class Converted(NamedTuple):
    """Tensors of a published file after the conversion.

    Attributes:
        tensors: Tensors that the model uses, by their names in the model.
        unused: The other tensors, by their published names.
    """

    tensors: dict[str, Tensor]
    unused: dict[str, Tensor]


@dataclass(frozen=True)
class KeyMap:
    """An ordered list of rules; the first rule that a name matches applies.

    Attributes:
        rules: The rules.
    """

    rules: tuple[KeyRule, ...]

    def __add__(self, other: "KeyMap") -> "KeyMap":
        """Append the rules of another key map."""
        return KeyMap(self.rules + other.rules)

    def under(self, published: str, ours: str) -> "KeyMap":
        """Add prefixes to all names.

        Args:
            published: Prefix of the published names.
            ours: Prefix of the names here.

        Returns:
            The key map with the longer names.
        """
        return KeyMap(
            tuple(
                replace(
                    rule,
                    published=tuple(published + name for name in rule.published),
                    ours=tuple(ours + name for name in rule.ours),
                )
                for rule in self.rules
            )
        )

    def to_ours(self, published: Mapping[str, Tensor]) -> Converted:
        """Convert published tensors to the names and layouts here.

        Args:
            published: All tensors of a published file, or of a part of it.

        Returns:
            The converted tensors.

        Raises:
            CheckpointError: If no rule matches a tensor, or other tensors of its rule are missing.
        """
        tensors: dict[str, Tensor] = {}
        unused: dict[str, Tensor] = {}
        for rule, inputs, outputs in self._applications(published, to_ours=True):
            if outputs:
                values = rule.convert([published[name] for name in inputs])
                tensors.update(zip(outputs, values, strict=True))
            else:
                unused.update((name, published[name]) for name in inputs)
        return Converted(tensors, unused)

    def to_published(self, ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Convert a model's tensors to the published names and layouts.

        Args:
            ours: All tensors of a model, or of a part of it.

        Returns:
            The converted tensors, without those that no model here uses.

        Raises:
            CheckpointError: If no rule matches a tensor, or other tensors of its rule are missing.
        """
        tensors: dict[str, Tensor] = {}
        for rule, inputs, outputs in self._applications(ours, to_ours=False):
            values = rule.restore([ours[name] for name in inputs])
            tensors.update(zip(outputs, values, strict=True))
        return tensors

    def fit(self, published: Mapping[str, Tensor], model: Mapping[str, Tensor]) -> Converted:
        """Convert a file for a model, and validate that keys and shapes match exactly.

        Args:
            published: All tensors of the file.
            model: Tensors of the model, or of a part of it; only their shapes are used.

        Returns:
            The converted tensors.

        Raises:
            CheckpointError: If keys are missing, unexpected or of another shape.
        """
        # Converting the tensors of the model backwards gives all keys and shapes that the file
        # should have.
        expected = self.to_published(model)
        unexpected = [
            name for name in published if name not in expected and not self._is_unused(name)
        ]
        reshaped = [
            f"{name} (is {tuple(published[name].shape)}, should be {tuple(values.shape)})"
            for name, values in expected.items()
            if name in published and published[name].shape != values.shape
        ]
        mistakes = {
            "missing": [name for name in expected if name not in published],
            "unexpected": unexpected,
            "of another shape": reshaped,
        }
        if any(mistakes.values()):
            raise CheckpointError(
                "; ".join(
                    f"{len(names)} keys are {kind}: {', '.join(names[:_LISTED_KEYS])}"
                    + (", ..." if len(names) > _LISTED_KEYS else "")
                    for kind, names in mistakes.items()
                    if names
                )
            )
        return self.to_ours(published)

    def _is_unused(self, name: str) -> bool:
        match = _find_rule(name, self.rules, to_ours=True)
        return match is not None and not match[0].ours

    def _applications(
        self, names: Iterable[str], to_ours: bool
    ) -> list[tuple[KeyRule, list[str], list[str]]]:
        """Group names by rule and field values; return rule, inputs and outputs of each group."""
        known = set(names)
        # A rule is applied once for each combination of field values, for example for each layer.
        found: dict[tuple[int, tuple[tuple[str, str], ...]], KeyRule] = {}
        unknown = []
        for name in names:
            match = _find_rule(name, self.rules, to_ours)
            if match is None:
                unknown.append(name)
            else:
                found[id(match[0]), tuple(sorted(match[1].items()))] = match[0]
        if unknown:
            raise CheckpointError(
                f"{len(unknown)} keys are unexpected: {', '.join(unknown[:_LISTED_KEYS])}"
            )
        applications = []
        for (_, fields), rule in found.items():
            sides = (rule.published, rule.ours) if to_ours else (rule.ours, rule.published)
            inputs, outputs = ([_fill(name, dict(fields)) for name in side] for side in sides)
            missing = [name for name in inputs if name not in known]
            if missing:
                raise CheckpointError(f"{len(missing)} keys are missing: {', '.join(missing)}")
            applications.append((rule, inputs, outputs))
        return applications


def _find_rule(
    name: str, rules: Iterable[KeyRule], to_ours: bool
) -> tuple[KeyRule, dict[str, str]] | None:
    """Return the first rule that a name matches, and the values of its fields."""
    for rule in rules:
        for template in rule.published if to_ours else rule.ours:
            match = _pattern(template, rule.published).fullmatch(name)
            if match is not None:
                return rule, match.groupdict()
    return None


@cache
def _pattern(template: str, published: tuple[str, ...]) -> re.Pattern[str]:
    """Compile a template to a regular expression, with the fields of the published templates."""
    kinds: dict[str, str] = {}
    for field in _FIELD.finditer("".join(published)):
        kinds.setdefault(field[1], field[2] or (r"\d+" if len(field[1]) == 1 else ".+"))
    # The expression of a field is that of the published side, so both directions match the same
    # values.
    pattern, end = "", 0
    for field in _FIELD.finditer(template):
        pattern += re.escape(template[end : field.start()]) + f"(?P<{field[1]}>{kinds[field[1]]})"
        end = field.end()
    return re.compile(pattern + re.escape(template[end:]))


def _fill(template: str, fields: Mapping[str, str]) -> str:
    return _FIELD.sub(lambda field: fields[field[1]], template)


def _same(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    return tensors


def _cut(tensors: Sequence[Tensor], parts: int) -> Sequence[Tensor]:
    return tensors[0].chunk(parts)


def _concatenate(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    return [torch.cat(list(tensors))]


def _copy(tensors: Sequence[Tensor], times: int) -> Sequence[Tensor]:
    return [tensors[0].clone() for _ in range(times)]


def _first(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    # Constants are never trained, so all copies are equal.
    return tensors[:1]


def _transpose(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    return [tensors[0].T.contiguous()]


def _remove_axes(tensors: Sequence[Tensor], axes: int) -> Sequence[Tensor]:
    # A kernel of another size keeps its shape, and so is reported as of another shape.
    kernel = tensors[0].shape[-axes:]
    return [tensors[0].flatten(-axes - 1)] if kernel.numel() == 1 else tensors


def _add_axes(tensors: Sequence[Tensor], axes: int) -> Sequence[Tensor]:
    return [tensors[0][(...,) + (None,) * axes]]
