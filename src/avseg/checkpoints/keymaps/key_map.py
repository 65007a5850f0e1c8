"""Tables of names: published tensors under this package's names, and back.

A table has a row for every kind of tensor in a published file. Names in a row are templates:
`{i}` (any one-letter field) stands for a number, `{rest}` (a longer one) for anything, and
`{part:attn.qkv|proj}` for what the regular expression after the colon matches. The same row is read
in both directions.
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

#: How many keys an error names of each kind of mistake.
_NAMED_KEYS = 3


@dataclass(frozen=True)
class Row:
    """Some published tensors, and what they are here.

    Attributes:
        published: Templates of the published names.
        ours: Templates of the names here; none where the package has no use for the tensors.
        convert: Published tensors, in that order, to ours.
        restore: The way back.
    """

    published: tuple[str, ...]
    ours: tuple[str, ...]
    convert: Conversion
    restore: Conversion


def rename(published: str, ours: str) -> Row:
    """Make a row for a tensor that only has another name here."""
    return Row((published,), (ours,), _same, _same)


def same(name: str) -> Row:
    """Make a row for a tensor that has the same name here."""
    return Row((name,), (_FIELD.sub(r"{\1}", name),), _same, _same)


def drop(published: str) -> Row:
    """Make a row for a tensor that nothing here computes with."""
    return Row((published,), (), _same, _same)


def split(published: str, *ours: str) -> Row:
    """Make a row for a tensor that is several here, one after the other along its first axis."""
    return Row((published,), ours, partial(_cut, parts=len(ours)), _concatenate)


def join(published: Sequence[str], ours: str) -> Row:
    """Make a row for tensors that are one here, one after the other along their first axis."""
    return Row(tuple(published), (ours,), _concatenate, partial(_cut, parts=len(published)))


def repeat(published: str, *ours: str) -> Row:
    """Make a row for a constant that is held several times here."""
    return Row((published,), ours, partial(_copy, times=len(ours)), _first)


def transpose(published: str, ours: str) -> Row:
    """Make a row for a matrix that is the other way round here."""
    return Row((published,), (ours,), _transpose, _transpose)


class Converted(NamedTuple):
    """A published file's tensors.

    Attributes:
        tensors: Those the model computes with, under its names.
        unused: The others, under their published names.
    """

    tensors: dict[str, Tensor]
    unused: dict[str, Tensor]


@dataclass(frozen=True)
class KeyMap:
    """A table, read from the top: the first row that a name fits counts.

    Attributes:
        rows: Its rows.
    """

    rows: tuple[Row, ...]

    def __add__(self, other: "KeyMap") -> "KeyMap":
        """Put another table below this one."""
        return KeyMap(self.rows + other.rows)

    def under(self, published: str, ours: str) -> "KeyMap":
        """Put prefixes before all names.

        Args:
            published: Prefix of the published names.
            ours: Prefix of the names here.

        Returns:
            The table with longer names.
        """
        return KeyMap(
            tuple(
                replace(
                    row,
                    published=tuple(published + name for name in row.published),
                    ours=tuple(ours + name for name in row.ours),
                )
                for row in self.rows
            )
        )

    def to_ours(self, published: Mapping[str, Tensor]) -> Converted:
        """Read the table from left to right.

        Args:
            published: All tensors of a published file, or of a part of it.

        Returns:
            The same tensors here.

        Raises:
            CheckpointError: If a tensor is in no row, or others of its row are missing.
        """
        tensors: dict[str, Tensor] = {}
        unused: dict[str, Tensor] = {}
        for row, sources, targets in self._applications(published, to_ours=True):
            if targets:
                values = row.convert([published[name] for name in sources])
                tensors.update(zip(targets, values, strict=True))
            else:
                unused.update((name, published[name]) for name in sources)
        return Converted(tensors, unused)

    def to_published(self, ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Read the table from right to left.

        Args:
            ours: All tensors of a model, or of a part of it.

        Returns:
            The same tensors under published names, without those that are unused here.

        Raises:
            CheckpointError: If a tensor is in no row, or others of its row are missing.
        """
        tensors: dict[str, Tensor] = {}
        for row, sources, targets in self._applications(ours, to_ours=False):
            values = row.restore([ours[name] for name in sources])
            tensors.update(zip(targets, values, strict=True))
        return tensors

    def fit(self, published: Mapping[str, Tensor], model: Mapping[str, Tensor]) -> Converted:
        """Convert a file for a model and refuse it unless it fits exactly.

        Args:
            published: All tensors of the file.
            model: Tensors of the model, or of a part of it, of which only the shapes count.

        Returns:
            The file's tensors here.

        Raises:
            CheckpointError: If keys are missing, unexpected or of another shape.
        """
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
                    f"{len(names)} keys are {kind}: {', '.join(names[:_NAMED_KEYS])}"
                    + (", ..." if len(names) > _NAMED_KEYS else "")
                    for kind, names in mistakes.items()
                    if names
                )
            )
        return self.to_ours(published)

    def _is_unused(self, name: str) -> bool:
        match = _row(name, self.rows, to_ours=True)
        return match is not None and not match[0].ours

    def _applications(
        self, names: Iterable[str], to_ours: bool
    ) -> list[tuple[Row, list[str], list[str]]]:
        """Group names by the row they fit; give each group's names and its names to be."""
        known = set(names)
        found: dict[tuple[int, tuple[tuple[str, str], ...]], Row] = {}
        unknown = []
        for name in names:
            match = _row(name, self.rows, to_ours)
            if match is None:
                unknown.append(name)
            else:
                found[id(match[0]), tuple(sorted(match[1].items()))] = match[0]
        if unknown:
            raise CheckpointError(
                f"{len(unknown)} keys are unexpected: {', '.join(unknown[:_NAMED_KEYS])}"
            )
        applications = []
        for (_, fields), row in found.items():
            sides = (row.published, row.ours) if to_ours else (row.ours, row.published)
            sources, targets = ([_fill(name, dict(fields)) for name in side] for side in sides)
            missing = [name for name in sources if name not in known]
            if missing:
                raise CheckpointError(f"{len(missing)} keys are missing: {', '.join(missing)}")
            applications.append((row, sources, targets))
        return applications


def _row(name: str, rows: Iterable[Row], to_ours: bool) -> tuple[Row, dict[str, str]] | None:
    """Find the first row that a name fits, and what its fields stand for."""
    for row in rows:
        for template in row.published if to_ours else row.ours:
            match = _pattern(template, row.published).fullmatch(name)
            if match is not None:
                return row, match.groupdict()
    return None


@cache
def _pattern(template: str, published: tuple[str, ...]) -> re.Pattern[str]:
    """Turn a template into a regular expression; the published names say what fields may be."""
    kinds: dict[str, str] = {}
    for field in _FIELD.finditer("".join(published)):
        kinds.setdefault(field[1], field[2] or (r"\d+" if len(field[1]) == 1 else ".+"))
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
    return tensors[:1]  # constants that never train, so the copies are equal


def _transpose(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    return [tensors[0].T.contiguous()]
