"""Checkpoints that store only trained weights and refer to the frozen ones by hash.

A run may train only a few megabytes of a model with gigabytes of weights. Then it can save only the
trained weights, in `trained.safetensors`. The header of this file lists the files with the frozen
weights and their SHA-256. Loading merges trained and frozen weights, and rejects a file with
another hash.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from avseg.atomic import replace_when_complete
from avseg.checkpoints.import_cache import find_imported
from avseg.checkpoints.known_models import RELEASES, TOWER_FILES, describe_size
from avseg.checkpoints.mmap_weights import MappedWeights
from avseg.checkpoints.model_folder import TRAINED_FILE, WEIGHTS_FILE, file_sha256
from avseg.checkpoints.saving import save_weights
from avseg.checkpoints.tower_files import read_tower
from avseg.errors import CheckpointError

#: Environment variable with additional files and folders in which frozen parts are searched.
PARTS_VARIABLE = "AVSEG_PARTS"

#: Key of the header with the list of frozen parts, as JSON.
_FROZEN_PARTS = "frozen_parts"


@dataclass(frozen=True)
class FrozenPart:
    """Frozen weights of a model, and the file from which a run loaded them.

    The attributes are also the keys of an entry in the header of `trained.safetensors`.

    Attributes:
        into: Prefix of the names of the weights in the model.
        prefix: Prefix of the names of the weights in the file.
        path: Path of the file when the run started.
        size_bytes: Size of the file.
        sha256: SHA-256 of the file.
        is_published: Whether the file is that of a tower in the format of its authors. Its tensors
            then have the authors' names.
        source: Name under which the file is published; None for another file.
        names: Names of the weights in the model, without the prefix `into`.
    """

    into: str
    prefix: str
    path: str
    size_bytes: int
    sha256: str
    is_published: bool
    source: str | None
    names: tuple[str, ...] = ()

    @classmethod
    def of_file(
        cls, file: Path, into: str, prefix: str, *, is_published: bool, source: str | None
    ) -> Self:
        """Build the entry of a file, with an empty list of names.

        Args:
            file: The file.
            into: Prefix of the names of its weights in the model.
            prefix: Prefix of the names in the file.
            is_published: Whether it is a tower's file in its authors' format.
            source: Name under which it is published; None for another file.

        Returns:
            The entry.
        """
        path = file.resolve()
        size, sha256 = path.stat().st_size, file_sha256(path)
        return cls(into, prefix, str(path), size, sha256, is_published, source)

    def within(self, prefix: str) -> Self | None:
        """Return the entry restricted to the weights of one module of the model.

        Args:
            prefix: Prefix of the names of the module's weights in the model.

        Returns:
            The entry with names relative to the module; None if the module has none of the weights.
        """
        everything = [self.into + name for name in self.names]
        inside = [name.removeprefix(prefix) for name in everything if name.startswith(prefix)]
        if not inside:
            return None
        # The module may contain all weights of the file (module "a.", weights "a.b."), or only some
        # of them (module "a.b.", weights "a.").
        into = self.into.removeprefix(prefix) if self.into.startswith(prefix) else ""
        deeper = prefix.removeprefix(self.into) if prefix.startswith(self.into) else ""
        names = tuple(name.removeprefix(into) for name in inside)
        return replace(self, into=into, prefix=self.prefix + deeper, names=names)


@dataclass(frozen=True)
class FileWeights:
    """The weights of a model that come from one file.

    Attributes:
        tensors: The tensors by their names in the model.
        into: Prefix of these names.
        prefix: Prefix of the names in the file.
        file: The file, if its tensors are memory-mapped; None if they are in memory.
    """

    tensors: Mapping[str, Tensor]
    into: str = ""
    prefix: str = ""
    file: MappedWeights | None = None

    def release_after_use(self, model: nn.Module) -> None:
        """Register hooks that release the memory of large frozen layers after each pass.

        Args:
            model: The model; its frozen weights must be the tensors in `tensors`, not copies.
        """
        if self.file is not None:
            part = model.get_submodule(self.into.rstrip("."))
            self.file.release_after_use(part, self.prefix)


def open_weights(
    weights: Path, expected: Mapping[str, Tensor], prefix: str = ""
) -> list[FileWeights]:
    """Open the weights of a model or of a module of it, with the files of its frozen parts.

    Args:
        weights: `model.safetensors` with all weights, or `trained.safetensors`.
        expected: State dict of the model; only names and shapes are used.
        prefix: Prefix of the names in the file; empty for a whole model.

    Returns:
        The weights of each file.

    Raises:
        CheckpointError: If the file of a frozen part is missing, has changed, or does not fit.
        OSError: If the file cannot be read.
        ValueError: If it is damaged.
    """
    own = MappedWeights(weights)
    files = [FileWeights(_strip_prefix(own.tensors, prefix), prefix=prefix, file=own)]
    for part in _frozen_parts(own):
        inside = part.within(prefix)
        if inside is None:
            continue
        unknown = sorted({inside.into + name for name in inside.names} - expected.keys())
        if unknown:
            raise CheckpointError(
                f"{weights}: has {len(unknown)} weights that the model lacks, first "
                f"{unknown[0]}; does its config.json belong to this run?"
            )
        files.append(_open_part(inside, find_part(inside, weights.parent), expected))
    return files


def read_weights(weights: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Read all weights of a model.

    Args:
        weights: `model.safetensors` with all weights, or `trained.safetensors`.
        expected: State dict of the model; only names and shapes are used.

    Returns:
        The tensors, mapped from disk.

    Raises:
        CheckpointError: If the file of a frozen part is missing, has changed, or does not fit.
    """
    return merge_tensors(open_weights(weights, expected))


def merge_tensors(files: Iterable[FileWeights]) -> dict[str, Tensor]:
    """Merge the weights of several files.

    Args:
        files: Weights of one model.

    Returns:
        Name to tensor.
    """
    return {name: values for file in files for name, values in file.tensors.items()}


def find_part(part: FrozenPart, run: Path) -> Path:
    """Find the file of a frozen part, and verify its hash.

    The places are searched in this order: the recorded path, beside the run, AVSEG_PARTS, the
    cache.

    Args:
        part: The part.
        run: Folder of the run.

    Returns:
        A file with the recorded hash.

    Raises:
        CheckpointError: If there is no such file.
    """
    other = None
    for path in _candidates(part, run):
        if path.is_file():
            if file_sha256(path) == part.sha256:
                return path
            other = other or path
    what = f"{run}: {part.into}* is frozen, and stored only in the file that it was loaded from"
    where = f"name a file or folder that contains it in the environment variable {PARTS_VARIABLE}"
    if other is not None:
        raise CheckpointError(
            f"{what}; {other} has other content now (SHA-256 {file_sha256(other)}, must be "
            f"{part.sha256}). Restore the earlier file, or {where}."
        )
    published = TOWER_FILES.get(part.source or "")
    again = f"; it is {published.file} of {published.repository} on the Hub" if published else ""
    if part.source in RELEASES:
        again = f"; `avseg segment --model {part.source}` downloads it"
    raise CheckpointError(
        f"{what}; {part.path} ({describe_size(part.size_bytes)}) does not exist. Restore it, or "
        f"{where}{again}."
    )


def find_stored_weights(
    state: Mapping[str, Tensor],
    frozen: Iterable[str],
    parts: Iterable[tuple[FrozenPart, Path]],
) -> list[FrozenPart]:
    """Find the frozen weights that need not be saved, because a file contains equal weights.

    Args:
        state: State dict of the model.
        frozen: Names of the frozen weights.
        parts: Files that were loaded into the model, and their paths.

    Returns:
        An entry for each file with such weights, with the names of these weights.
    """
    remaining = set(frozen) & state.keys()
    stored = []
    for part, file in parts:
        found = _open_part(part, file, state).tensors
        # Names are not enough: a frozen weight may have been changed after it was loaded.
        same = [
            name
            for name, values in found.items()
            if name in remaining and _are_equal(state[name].cpu(), values)
        ]
        remaining -= set(same)
        if same:
            names = tuple(sorted(name.removeprefix(part.into) for name in same))
            stored.append(replace(part, names=names))
    return stored


def save_trained(state: Mapping[str, Tensor], parts: Sequence[FrozenPart], folder: Path) -> None:
    """Save the weights of a model without those that other files contain.

    Args:
        state: State dict of the model.
        parts: Weights in other files, from `find_stored_weights`.
        folder: Folder of the run; the file appears when it is complete.
    """
    stored = {part.into + name for part in parts for name in part.names}
    own = {name: values for name, values in state.items() if name not in stored}
    described = json.dumps([asdict(part) for part in parts])
    with replace_when_complete(folder / TRAINED_FILE) as partial:
        save_weights(own, partial, {_FROZEN_PARTS: described})


def frozen_parts_of(weights: Path, into: str, prefix: str) -> list[tuple[FrozenPart, Path]]:
    """List the frozen parts of a run, for a new model whose weights start from this run.

    Args:
        weights: The run's `trained.safetensors`.
        into: Prefix of the names of the weights in the new model.
        prefix: Prefix of the names of the weights in the run.

    Returns:
        The frozen parts, with names of the new model, and the paths of their files.
    """
    parts = [part.within(prefix) for part in _frozen_parts(MappedWeights(weights))]
    return [
        (replace(part, into=into + part.into), find_part(part, weights.parent))
        for part in parts
        if part is not None
    ]


def _frozen_parts(weights: MappedWeights) -> list[FrozenPart]:
    listed: list[dict[str, Any]] = json.loads(weights.metadata.get(_FROZEN_PARTS, "[]"))
    return [FrozenPart(**entry | {"names": tuple(entry["names"])}) for entry in listed]


def _open_part(part: FrozenPart, file: Path, expected: Mapping[str, Tensor]) -> FileWeights:
    """Open a file's weights under their names in the model; all weights if `part` lists none."""
    names = {part.into + name for name in part.names} or expected.keys()
    if part.is_published:
        mapped, found = None, read_tower(file, _strip_prefix(expected, part.into))
    else:
        mapped = MappedWeights(file)
        found = _strip_prefix(mapped.tensors, part.prefix)
    tensors = {part.into + name: v for name, v in found.items() if part.into + name in names}
    return FileWeights(tensors, part.into, part.prefix, mapped)


def _candidates(part: FrozenPart, run: Path) -> Iterator[Path]:
    path = Path(part.path)
    yield path
    # A part of another run is found if the folders of both runs were moved together.
    yield run.resolve().parent / path.parent.name / path.name
    for name in filter(None, os.environ.get(PARTS_VARIABLE, "").split(os.pathsep)):
        place = Path(name).expanduser()
        for file in [place, *sorted(place.rglob("*"))]:
            # Only files of the right size are hashed, since hashing gigabytes takes long.
            if file.is_file() and file.stat().st_size == part.size_bytes:
                yield file
    if part.source in RELEASES:
        imported = find_imported(RELEASES[part.source])
        yield from [imported.folder / WEIGHTS_FILE] if imported else []
    if part.source in TOWER_FILES:
        from avseg.checkpoints.download import find_downloaded  # here since it is slow to import

        downloaded = find_downloaded(TOWER_FILES[part.source])
        yield from [downloaded] if downloaded else []


def _strip_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): values
        for name, values in tensors.items()
        if name.startswith(prefix)
    }


def _are_equal(values: Tensor, stored: Tensor) -> bool:
    return values.shape == stored.shape and torch.equal(values, stored.to(values.dtype))
