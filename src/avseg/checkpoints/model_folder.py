"""A saved model is a folder: configuration, weights, the processor's configuration, a card."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from avseg.errors import CheckpointError

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
#: What a run trained, in place of all weights; see `delta.py`.
TRAINED_FILE = "trained.safetensors"
PROCESSOR_FILE = "processor_config.json"
CARD_FILE = "README.md"
#: What an imported model was made of.
SOURCE_FILE = "source.json"
#: What a model was trained with, and from which weights.
ENVIRONMENT_FILE = "environment.json"

#: What the SPDX identifiers of licences have in them that forbid commercial use.
_NON_COMMERCIAL = "-NC-"


@dataclass(frozen=True)
class Checkpoint:
    """A saved model.

    Attributes:
        name: How results call it.
        folder: Where its files are.
        licence: SPDX identifier of the licence of its weights; None where nobody has said.
        world: What it was taught and therefore knows, to be read after "this model knows"; None
            where nobody has said.
        restrictions: Licences of weights in it, or that it was trained from, that forbid commercial
            use.
    """

    name: str
    folder: Path
    licence: str | None = None
    world: str | None = None
    restrictions: tuple[str, ...] = ()

    @property
    def notice(self) -> str | None:
        """What a user should know before looking at results, None if there is nothing to say."""
        notices = []
        if self.world is not None:
            notices.append(
                f"{self.name}: this model knows {self.world} only; on other videos expect wrong "
                "masks or none. Next step: train on your own clips (AVSBench's layout) with `avseg "
                "train`, and give the folder of that run as --model."
            )
        if self.restrictions:
            notices.append(
                f"{self.name}: this model is built on weights under "
                f"{' and '.join(self.restrictions)}, which allows no commercial use; take that to "
                "be so for this model too."
            )
        return " ".join(notices) or None

    def sha256(self) -> str:
        """Compute the hash of the weights; computed once for each version of the file.

        Of a run that keeps what it trained, it is that of this file, which names the hashes of all
        others.

        Returns:
            64 hexadecimal digits.

        Raises:
            CheckpointError: If the weights are not there (any more).
        """
        return file_sha256(weights_file(self.folder))


def recorded_licences(folder: Path) -> list[str | None]:
    """Read which licences the weights have that a model was made of or trained from.

    Args:
        folder: Of an imported model or of a run.

    Returns:
        SPDX identifiers, each once; None among them for weights whose owners state none.
    """
    sources = _read_json(folder / SOURCE_FILE, {}).get("sources", [])
    starts = _read_json(folder / ENVIRONMENT_FILE, [])
    parts = [part for start in starts for part in start["parts"].values()]
    found = [source["licence"] for source in sources]
    for part in parts:
        found += part.get("licences", [])
    return list(dict.fromkeys(found))


def restrictions(licences: Iterable[str | None]) -> tuple[str, ...]:
    """Pick the licences that forbid commercial use.

    Args:
        licences: SPDX identifiers.

    Returns:
        Those of them, each once.
    """
    return tuple(dict.fromkeys(name for name in licences if name and _NON_COMMERCIAL in name))


def _read_json(path: Path, otherwise: Any) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else otherwise


def weights_file(folder: Path) -> Path:
    """Say in which file the weights of a saved model are.

    Args:
        folder: Of the model.

    Returns:
        The file with what was trained, if that is there in place of one with all weights.
    """
    whole, trained = folder / WEIGHTS_FILE, folder / TRAINED_FILE
    return trained if trained.is_file() and not whole.is_file() else whole


def missing_files(folder: Path) -> list[str]:
    """List what a folder lacks to be a saved model.

    Args:
        folder: The folder; it need not exist.

    Returns:
        Names of files; none if the model is complete.
    """
    needed = (CONFIG_FILE, weights_file(folder).name, PROCESSOR_FILE)
    return [name for name in needed if not (folder / name).is_file()]


def file_sha256(path: Path) -> str:
    """Compute the hash of a file; computed once for each version of the file.

    Args:
        path: The file.

    Returns:
        64 hexadecimal digits.

    Raises:
        CheckpointError: If the file is not there (any more).
    """
    try:
        facts = path.stat()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}).") from error
    return _sha256(path, facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=16)
def _sha256(path: Path, mtime_ns: int, size: int) -> str:  # noqa: ARG001 - the cache's key
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
