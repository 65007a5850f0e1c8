"""The folder of a saved model: file names, hash of the weights, licences, user notice."""

import hashlib
import json
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from avseg.errors import CheckpointError

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
#: Only the weights that a training run changed; see `delta.py`.
TRAINED_FILE = "trained.safetensors"
PROCESSOR_FILE = "processor_config.json"
CARD_FILE = "README.md"
#: The published files from which an imported model was made.
SOURCE_FILE = "source.json"

#: Errors of Python's own readers (JSON, pickles, mappings that lack a key) on files with any other
#: content than expected. RuntimeError includes the error of too deep a nesting.
PARSE_ERRORS = (
    ArithmeticError,
    AssertionError,  # torch's reader of old pickles checks what it reads by assertions
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
#: Software, settings and starting weights of a training run.
ENVIRONMENT_FILE = "environment.json"

#: Part of the SPDX identifiers of licences that forbid commercial use, such as CC-BY-NC-SA-4.0.
_NON_COMMERCIAL = "-NC-"

#: What a licence forbids besides the usual terms, by its name.
_USE_LIMITS = {"SAM License": "no military, nuclear or weapons use"}


#: Kind of masks that a model predicts: "one" mask of all sounding objects together, one mask of
#: each sounding source "by name", or one mask of the objects that each text describes "by text".
Masks = Literal["one", "by name", "by text"]


#: Next step for a user whose videos are filmed. The sizes are those of the catalog.
_FILM_STEP = (
    "for filmed video give --model open-cascade (about 3.1 GB, downloaded on first use, "
    "Apache-2.0), the lighter open-cascade-light (1.4 GB), or another one of `avseg models`"
)


@dataclass(frozen=True)
class Training:
    """Data that a model was trained on.

    Attributes:
        data: Name of the data set in a few characters.
        is_filmed: Whether its pictures are filmed or photographed, so that the model can be
            expected to work on filmed video.
    """

    data: str
    is_filmed: bool


@dataclass(frozen=True)
class Checkpoint:
    """A saved model.

    Attributes:
        name: Name of the model in results.
        folder: Folder with the files of the model.
        licence: SPDX expression of the licence of the weights, or the name of a licence that has
            no identifier; None if not recorded.
        world: Kind of videos in the training, as a phrase that completes "this model was trained
            on ..."; None if not recorded.
        restrictions: Licences that forbid commercial use. They apply to weights in the model or to
            weights from which its training started.
        what: Description in a few words; empty if not recorded.
        masks: Kind of masks that the model predicts; None if not recorded.
        training: Data of the training; None if not recorded.
    """

    name: str
    folder: Path
    licence: str | None = None
    world: str | None = None
    restrictions: tuple[str, ...] = ()
    what: str = ""
    masks: Masks | None = None
    training: Training | None = None

    @property
    def notice(self) -> str | None:
        """Limits of the model, for the user; None if no limit is recorded."""
        notices = []
        if self.world is not None:
            notices.append(
                f"{self.name}: this model was trained on {self.world} only; on other "
                f"videos expect wrong masks or none. Next step: {_FILM_STEP}."
            )
        if self.restrictions:
            notices.append(
                f"{self.name}: this model is built on weights under "
                f"{' and '.join(self.restrictions)}, which allows no commercial use; assume the "
                "same for this model."
            )
        limits = [(name, use) for name, use in _USE_LIMITS.items() if name in (self.licence or "")]
        notices += [
            f"{self.name}: the weights of this model are under the {name}, which allows {use}; "
            "read it before you use the model or its masks."
            for name, use in limits
        ]
        return " ".join(notices) or None

    def sha256(self) -> str:
        """Compute the hash of the weights; it is cached until the file changes.

        If a run saved only its trained weights, this is the hash of the file with these weights.
        The header of this file contains the hashes of the files with the frozen weights.

        Returns:
            64 hexadecimal digits.

        Raises:
            CheckpointError: If the file of the weights cannot be read.
        """
        return file_sha256(weights_file(self.folder))


def recorded_origins(folder: Path) -> list[dict[str, Any]]:
    """Read the list of published files from which an imported model was made.

    Args:
        folder: Folder of the model.

    Returns:
        Entries of `source.json`: role, name, format, SHA-256 and licence of each file. Empty if
        none are recorded.
    """
    path = folder / SOURCE_FILE
    try:
        return [dict(origin) for origin in _read_json(path, {}).get("sources", [])]
    except PARSE_ERRORS as error:
        raise _damaged_record(path, error) from error


def recorded_licences(folder: Path) -> list[str | None]:
    """Read the licences of the weights from which a model was made or its training started.

    Args:
        folder: Folder of an imported model or of a run.

    Returns:
        SPDX identifiers, each once. None stands for weights whose owners state no licence.
    """
    path = folder / ENVIRONMENT_FILE
    try:
        # A run that was resumed has one entry for each start.
        starts = _read_json(path, [])
        parts = [part for start in starts for part in start["parts"].values()]
        found = [licence for part in parts for licence in part.get("licences", [])]
    except PARSE_ERRORS as error:
        raise _damaged_record(path, error) from error
    path = folder / SOURCE_FILE
    try:
        found = [origin["licence"] for origin in recorded_origins(folder)] + found
        for licence in found:
            if not isinstance(licence, str | None):
                raise TypeError(f"a licence is {licence!r}")
        return list(dict.fromkeys(found))
    except PARSE_ERRORS as error:
        raise _damaged_record(path, error) from error


def restrictions(licences: Iterable[str | None]) -> tuple[str, ...]:
    """Select the licences that forbid commercial use.

    Args:
        licences: SPDX identifiers.

    Returns:
        The non-commercial ones, each once.
    """
    return tuple(dict.fromkeys(name for name in licences if name and _NON_COMMERCIAL in name))


def describe_licence(licence: str | None) -> str:
    """Format a licence with the limits of use that it states.

    Args:
        licence: SPDX identifier, or the name of a licence that has none.

    Returns:
        Text such as "MIT" or "not stated: ask its owners".
    """
    if licence is None:
        return "not stated: ask its owners"
    return f"{licence}: {_USE_LIMITS[licence]}" if licence in _USE_LIMITS else licence


def _damaged_record(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        f"{path}: is damaged ({error!r}), so the origin and the licence of the weights are not "
        "known; copy the model again."
    )


def _read_json(path: Path, otherwise: Any) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else otherwise


def weights_file(folder: Path) -> Path:
    """Return the path of a saved model's weights.

    Args:
        folder: Folder of the model.

    Returns:
        The file with all weights; if there is only a file with the trained weights, that file.
    """
    whole, trained = folder / WEIGHTS_FILE, folder / TRAINED_FILE
    return trained if trained.is_file() and not whole.is_file() else whole


def missing_files(folder: Path) -> list[str]:
    """List the files of a saved model that are missing in a folder.

    Args:
        folder: The folder, which may not exist.

    Returns:
        Names of the files; empty if the model is complete.
    """
    needed = (CONFIG_FILE, weights_file(folder).name, PROCESSOR_FILE)
    return [name for name in needed if not (folder / name).is_file()]


def file_sha256(path: Path) -> str:
    """Compute the SHA-256 of a file; it is cached until the file changes.

    Args:
        path: The file.

    Returns:
        64 hexadecimal digits.

    Raises:
        CheckpointError: If the file cannot be read.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}).") from error
    # Time and size are part of the cache key, so a changed file is hashed again.
    return _sha256(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=16)
def _sha256(path: Path, mtime_ns: int, size: int) -> str:  # noqa: ARG001 - part of the cache key
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
