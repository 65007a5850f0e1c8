"""Weights of a run without what it left as it was.

Of a model with gigabytes of weights a run may train a few megabytes. It can keep these alone, in
`trained.safetensors`. The header of that file says which other weights came from which file, and
that file's SHA-256. Reading puts them together again, and refuses any other file.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from avseg.atomic import replace_when_complete
from avseg.checkpoints.import_cache import find_imported
from avseg.checkpoints.importing import read_tower
from avseg.checkpoints.known_models import RELEASES, TOWER_FILES, describe_size
from avseg.checkpoints.mmap_weights import MappedWeights
from avseg.checkpoints.model_folder import TRAINED_FILE, WEIGHTS_FILE, file_sha256
from avseg.errors import CheckpointError

#: Environment variable with files and folders in which frozen parts are looked for too.
PARTS_VARIABLE = "AVSEG_PARTS"

#: Key of the header that lists the frozen parts, as JSON.
_FROZEN_PARTS = "frozen_parts"


@dataclass(frozen=True)
class FrozenPart:
    """Weights of a model that a run took from a file and did not train.

    Attributes:
        into: What their names begin with in the model.
        prefix: What their names begin with in the file.
        path: Where the file was.
        size_bytes: Of the file.
        sha256: Of the file.
        is_published: Whether it is a tower's file as its authors publish it, under their names.
        source: By which name it is published; None for another file.
        names: The weights, without `into`.
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
        """Describe a file.

        Args:
            file: The file.
            into: What the names of its weights begin with in the model.
            prefix: What they begin with in the file.
            is_published: Whether it is a tower's file as its authors publish it.
            source: By which name it is published.

        Returns:
            All that it holds.
        """
        path = file.resolve()
        size, sha256 = path.stat().st_size, file_sha256(path)
        return cls(into, prefix, str(path), size, sha256, is_published, source)

    def within(self, prefix: str) -> Self | None:
        """Describe what a part of the model has of it.

        Args:
            prefix: What the names of that part's weights begin with in the model.

        Returns:
            The same with names as in that part; None if it has nothing of it.
        """
        everything = [self.into + name for name in self.names]
        inside = [name.removeprefix(prefix) for name in everything if name.startswith(prefix)]
        if not inside:
            return None
        into = self.into.removeprefix(prefix) if self.into.startswith(prefix) else ""
        deeper = prefix.removeprefix(self.into) if prefix.startswith(self.into) else ""
        names = tuple(name.removeprefix(into) for name in inside)
        return replace(self, into=into, prefix=self.prefix + deeper, names=names)


@dataclass(frozen=True)
class FileWeights:
    """What one file has of a model's weights.

    Attributes:
        tensors: By their names in the model.
        into: What these begin with.
        prefix: What they begin with in the file instead.
        file: The file, if they stay in it until they are used.
    """

    tensors: Mapping[str, Tensor]
    into: str = ""
    prefix: str = ""
    file: MappedWeights | None = None

    def release_after_use(self, model: nn.Module) -> None:
        """Make large frozen layers give the pages of their weights back when they have run.

        Args:
            model: The model; its frozen weights are those of `tensors` themselves.
        """
        if self.file is not None:
            part = model.get_submodule(self.into.rstrip("."))
            self.file.release_after_use(part, self.prefix)


def open_weights(
    weights: Path, expected: Mapping[str, Tensor], prefix: str = ""
) -> list[FileWeights]:
    """Open the weights of a model, or of a part of one; what is frozen is looked for.

    Args:
        weights: `model.safetensors` with all of them, or `trained.safetensors`.
        expected: The model's state, of which names and shapes count.
        prefix: What its names begin with in the file.

    Returns:
        The pieces, each name in one of them.

    Raises:
        CheckpointError: If a frozen part is missing, has changed, or does not fit.
        OSError: If the file cannot be read.
        ValueError: If it is damaged.
    """
    own = MappedWeights(weights)
    pieces = [FileWeights(_named(own.tensors, prefix), prefix=prefix, file=own)]
    for part in _frozen_parts(own):
        inside = part.within(prefix)
        if inside is None:
            continue
        unknown = sorted({inside.into + name for name in inside.names} - expected.keys())
        if unknown:
            raise CheckpointError(
                f"{weights}: has {len(unknown)} weights that the model has not, first "
                f"{unknown[0]}; is its configuration that of the run?"
            )
        pieces.append(_open_part(inside, find_part(inside, weights.parent), expected))
    return pieces


def read_weights(weights: Path, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Read all weights of a model.

    Args:
        weights: As for `open_weights`.
        expected: As for `open_weights`.

    Returns:
        The tensors, mapped from disk.

    Raises:
        CheckpointError: As `open_weights`.
    """
    return merge_tensors(open_weights(weights, expected))


def merge_tensors(pieces: Iterable[FileWeights]) -> dict[str, Tensor]:
    """Put pieces together.

    Args:
        pieces: Of one model.

    Returns:
        Name to tensor.
    """
    return {name: values for piece in pieces for name, values in piece.tensors.items()}


def find_part(part: FrozenPart, run: Path) -> Path:
    """Find the file of a frozen part: where it was, beside the run, in AVSEG_PARTS, in the cache.

    Args:
        part: The part.
        run: Folder of the run.

    Returns:
        A file with exactly the contents that the run began with.

    Raises:
        CheckpointError: If there is none.
    """
    other = None
    for path in _places(part, run):
        if path.is_file():
            if file_sha256(path) == part.sha256:
                return path
            other = other or path
    what = (
        f"{run}: {part.into}* is frozen, and not in that folder but in the file that it came from"
    )
    where = f"name a file or folder that has it in the environment variable {PARTS_VARIABLE}"
    if other is not None:
        raise CheckpointError(
            f"{what}; {other} holds something else now (SHA-256 {file_sha256(other)}, must be "
            f"{part.sha256}). Bring the earlier file back, or {where}."
        )
    published = TOWER_FILES.get(part.source or "")
    again = f"; it is {published.file} of {published.repository} on the Hub" if published else ""
    if part.source in RELEASES:
        again = f"; `avseg segment --model {part.source}` downloads it"
    raise CheckpointError(
        f"{what}; {part.path} ({describe_size(part.size_bytes)}) is not there. Bring it back, or "
        f"{where}{again}."
    )


def find_stored_weights(
    state: Mapping[str, Tensor],
    frozen: Iterable[str],
    parts: Iterable[tuple[FrozenPart, Path]],
) -> list[FrozenPart]:
    """Find out which weights of a model need not be saved, since a file holds the very same.

    Args:
        state: Of the model.
        frozen: Names of what did not train.
        parts: Files that were loaded into the model, and where they are.

    Returns:
        Those of them that hold something, each with the names of what it holds.
    """
    left = set(frozen) & state.keys()
    kept = []
    for part, file in parts:
        found = _open_part(part, file, state).tensors
        same = [
            name
            for name, values in found.items()
            if name in left and _are_equal(state[name].cpu(), values)
        ]
        left -= set(same)
        if same:
            names = tuple(sorted(name.removeprefix(part.into) for name in same))
            kept.append(replace(part, names=names))
    return kept


def save_trained(state: Mapping[str, Tensor], parts: Sequence[FrozenPart], folder: Path) -> None:
    """Save what no file holds already.

    Args:
        state: Of the model.
        parts: What is left out, of `find_stored_weights`.
        folder: Of the run; the file appears when it is complete.
    """
    elsewhere = {part.into + name for part in parts for name in part.names}
    own = {name: values.contiguous() for name, values in state.items() if name not in elsewhere}
    described = json.dumps([asdict(part) for part in parts])
    with replace_when_complete(folder / TRAINED_FILE) as partial:
        save_file(own, partial, {"format": "pt", _FROZEN_PARTS: described})
        partial.chmod(0o644)  # safetensors makes it readable by its owner only


def frozen_parts_of(weights: Path, into: str, prefix: str) -> list[tuple[FrozenPart, Path]]:
    """List the files that a run's weights are in besides its own, for a model that starts from it.

    Args:
        weights: The run's `trained.safetensors`.
        into: What the names of the weights begin with in the model.
        prefix: What they begin with in the run.

    Returns:
        The frozen parts by their names in the model, and where they are.
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
    """Open a file's weights under their names in the model; all of them if none are listed."""
    names = {part.into + name for name in part.names} or expected.keys()
    if part.is_published:
        mapped, found = None, read_tower(file, _named(expected, part.into))
    else:
        mapped = MappedWeights(file)
        found = _named(mapped.tensors, part.prefix)
    tensors = {part.into + name: v for name, v in found.items() if part.into + name in names}
    return FileWeights(tensors, part.into, part.prefix, mapped)


def _places(part: FrozenPart, run: Path) -> Iterator[Path]:
    path = Path(part.path)
    yield path
    yield run.resolve().parent / path.parent.name / path.name  # runs that moved together
    for name in filter(None, os.environ.get(PARTS_VARIABLE, "").split(os.pathsep)):
        place = Path(name).expanduser()
        for file in [place, *sorted(place.rglob("*"))]:
            if file.is_file() and file.stat().st_size == part.size_bytes:
                yield file
    if part.source in RELEASES:
        imported = find_imported(RELEASES[part.source])
        yield from [imported.folder / WEIGHTS_FILE] if imported else []
    if part.source in TOWER_FILES:
        from avseg.checkpoints.download import find_downloaded  # slow to import

        downloaded = find_downloaded(TOWER_FILES[part.source])
        yield from [downloaded] if downloaded else []


def _named(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): values
        for name, values in tensors.items()
        if name.startswith(prefix)
    }


def _are_equal(values: Tensor, stored: Tensor) -> bool:
    return values.shape == stored.shape and torch.equal(values, stored.to(values.dtype))
