"""Features of frozen towers, kept so that each is computed once.

What a frozen tower says of a frame or its sound is the same in every epoch and every run. Here it
lies on disk, in a file whose name is the hash of all that it depends on:

- the bytes of the frame or the sound,
- the tower's sizes, its preprocessing and each of its weights, with their dtype,
- what computes: the versions of the libraries, the kind of device, and `FEATURES_VERSION`.

So whatever changes has another name, and what lies under an old name is never asked for again. A
file appears when it is complete; one that is damaged counts as missing. Any number of processes may
read and write at once, since whatever they write under one name is the same.

T frames.
"""

import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from avseg.atomic import replace_when_complete
from avseg.errors import DatasetError, OutputError

#: To be raised when this package computes other features from the same bytes, settings and weights.
FEATURES_VERSION = 1

#: Libraries that features depend on: they decode, prepare and compute.
_LIBRARIES = ("av", "numpy", "pillow", "torch", "transformers")

#: What a tower says of T frames, one tensor or several, (T, ...) each.
Features = tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class FrozenTower:
    """A tower that does not learn, and all that its features depend on besides its input.

    Attributes:
        name: Of its features; their folder in the cache.
        source: What it is given of a clip: its frames, or the window of sound of each frame.
        module: What holds its weights. Parameters that train do not count, so no feature may
            depend on them.
        settings: Its sizes, its preprocessing and how its features are stored, ready for JSON.
        compute: Features of frames (T, H, W, 3) uint8, or of windows (T, S) float32.
    """

    name: str
    source: Literal["frames", "sound"]
    module: nn.Module
    settings: Mapping[str, Any]
    compute: Callable[[NDArray[Any]], Features]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all that its features depend on besides its input, 64 hexadecimal digits.

        It is computed once, so the weights have to be in place before.
        """
        facts = {
            "features": FEATURES_VERSION,
            "libraries": {name: version(name) for name in _LIBRARIES},
            "settings": dict(self.settings),
            "weights": _hash_weights(self.module),
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def key(self, content: str) -> str:
        """Name the features of an input.

        Args:
            content: Hash of the input, of `hash_files`.

        Returns:
            The key, for a `FeatureStore`.
        """
        digest = hashlib.sha256(f"{self.fingerprint} {content}".encode()).hexdigest()
        return f"{self.name}/{digest}"


def hash_files(paths: Iterable[Path], seconds: Iterable[int]) -> str:
    """Hash an input of a tower by the bytes of its files, which need not be decoded for it.

    Args:
        paths: The files, in order.
        seconds: What is taken of them.

    Returns:
        64 hexadecimal digits.

    Raises:
        DatasetError: If a file cannot be read.
    """
    parts = []
    for path in paths:
        try:
            parts.append(hashlib.sha256(path.read_bytes()).hexdigest())
        except OSError as error:
            raise DatasetError(
                f"{path}: cannot be read ({error.strerror}); unpack or copy the data set again."
            ) from error
    return hashlib.sha256(f"{' '.join(parts)} {list(seconds)}".encode()).hexdigest()


class FeatureStore(Protocol):
    """Where features are kept."""

    def holds(self, key: str) -> bool:
        """Say whether there are features of that key, whole and undamaged."""
        ...

    def write(self, key: str, features: Features) -> None:
        """Keep features."""
        ...

    def read(self, key: str, rows: slice) -> Features:
        """Get the features of some frames, of those that are held."""
        ...


class FeaturesInMemory:
    """Features for as long as the process lives."""

    def __init__(self) -> None:
        self._features: dict[str, Features] = {}

    def holds(self, key: str) -> bool:
        """Say whether there are features of that key."""
        return key in self._features

    def write(self, key: str, features: Features) -> None:
        """Keep features."""
        self._features[key] = tuple(values.detach().cpu() for values in features)

    def read(self, key: str, rows: slice) -> Features:
        """Get the features of some frames, of those that are held."""
        return tuple(values[rows] for values in self._features[key])


class FeatureCache:
    """Features in a folder, one file for each key, mapped into memory when they are read.

    Args:
        folder: Of the cache; it need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        """Find the file of a key; it need not exist."""
        tower, _, digest = key.partition("/")
        return self.folder / tower / digest[:2] / f"{digest}.safetensors"

    def holds(self, key: str) -> bool:
        """Say whether there is a file of that key whose contents are what was written.

        Args:
            key: Of `FrozenTower.key`.

        Returns:
            False also of a file that was cut short, changed, or given another's name.
        """
        try:
            with safe_open(self.path(key), "pt") as file:
                features = tuple(file.get_tensor(name) for name in _names(file))
                return bool(file.metadata() == _facts(key, features))
        except (OSError, SafetensorError, ValueError):
            return False

    def write(self, key: str, features: Features) -> None:
        """Write features; they appear when they are complete.

        Args:
            key: Of `FrozenTower.key`.
            features: Of T frames, (T, ...) each.

        Raises:
            OutputError: If the folder cannot be written to, or the disk is full.
        """
        kept = tuple(values.detach().cpu().contiguous() for values in features)
        named = {str(number): values for number, values in enumerate(kept)}
        try:
            with replace_when_complete(self.path(key)) as partial:
                save_file(named, partial, _facts(key, kept))
        except (OSError, SafetensorError, OutputError) as error:
            raise OutputError(
                f"{self.folder}: features cannot be kept there ({error}); name another folder with "
                "--feature-cache, or keep them in memory with --feature-cache none."
            ) from error

    def read(self, key: str, rows: slice) -> Features:
        """Map the features of some frames into memory; nothing else of the file is read.

        Args:
            key: Of features that are held.
            rows: The frames.

        Returns:
            Features of these frames, (T, ...) each.

        Raises:
            OutputError: If they have gone since.
        """
        try:
            with safe_open(self.path(key), "pt") as file:
                return tuple(file.get_slice(name)[rows] for name in _names(file))
        except (OSError, SafetensorError) as error:
            raise OutputError(
                f"{self.path(key)}: was there when the run started ({error}); start it again, it "
                "computes what is missing and goes on from its last checkpoint."
            ) from error


def _names(file: Any) -> list[str]:
    return sorted(file.keys(), key=int)


def _facts(key: str, features: Features) -> dict[str, str]:
    """What is written beside features, by which damage shows."""
    checksum = 0
    for values in features:
        checksum = zlib.crc32(_bytes(values), checksum)
    return {"key": key, "crc32": f"{checksum:08x}"}


def _hash_weights(module: nn.Module) -> str:
    """Hash place, names, dtypes, shapes and values of all weights that do not train."""
    digest = hashlib.sha256()
    frozen = {n: p.detach() for n, p in module.named_parameters() if not p.requires_grad}
    for name, values in sorted((frozen | dict(module.named_buffers())).items()):
        # On another kind of device the same weights give features that differ by rounding.
        digest.update(f"{name} {values.device.type} {values.dtype} {tuple(values.shape)} ".encode())
        digest.update(_bytes(values.cpu()))
    return digest.hexdigest()


def _bytes(values: Tensor) -> memoryview:
    return values.contiguous().view(-1).view(torch.uint8).numpy().data
