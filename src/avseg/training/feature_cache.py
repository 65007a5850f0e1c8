"""A cache of the features of frozen towers, so that each is computed once.

The features that a frozen tower computes from a frame or its audio are the same in every epoch and
every run. They are stored on disk, in a file whose name is a hash of everything on which they
depend:

- the bytes of the frame or the audio,
- the tower's configuration, its preprocessing and all its weights, with their dtype,
- the versions of the libraries, the type of the device, and `FEATURES_VERSION`.

If one of these changes, the file name changes too, and the old file is never read again. A file
gets its final name when it is complete; a damaged file counts as missing. Any number of processes
may read and write at the same time, since they write the same bytes to the same name.

T is the number of frames.
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

#: Increase this if the code computes other features than before from the same bytes, settings and
#: weights.
FEATURES_VERSION = 1

#: Libraries that decode and prepare the input and compute the features.
_LIBRARIES = ("av", "numpy", "pillow", "torch", "transformers")

#: Features of T frames from one tower: one tensor or several, (T, ...) each.
Features = tuple[Tensor, ...]


@dataclass(frozen=True, eq=False)
class FrozenTower:
    """A frozen tower, and everything on which its features depend besides its input.

    Attributes:
        name: Name of the features, and of their folder in the cache.
        modality: Input of the tower: the frames of a clip, or the audio window of each frame.
        module: Module with the tower's weights. Trainable parameters in it are not hashed, so no
            feature may depend on them.
        settings: Configuration, preprocessing and storage format, ready for JSON.
        compute: Function from frames (T, H, W, 3) uint8, or audio windows (T, S) float32, to
            features.
    """

    name: str
    modality: Literal["frames", "audio"]
    module: nn.Module
    settings: Mapping[str, Any]
    compute: Callable[[NDArray[Any]], Features]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of everything on which the features depend besides the input, 64 hex digits.

        It is computed once, so the weights must be loaded before.
        """
        dependencies = {
            "features": FEATURES_VERSION,
            "libraries": {name: version(name) for name in _LIBRARIES},
            "settings": dict(self.settings),
            "weights": _hash_weights(self.module),
        }
        return hashlib.sha256(json.dumps(dependencies, sort_keys=True).encode()).hexdigest()

    def key(self, content: str) -> str:
        """Return the key under which a `FeatureStore` has the features of an input.

        Args:
            content: Hash of the input, from `hash_files`.

        Returns:
            The tower's name and a hash.
        """
        # One hash for the input and the tower: a change of either gives another file name.
        digest = hashlib.sha256(f"{self.fingerprint} {content}".encode()).hexdigest()
        return f"{self.name}/{digest}"


def hash_files(paths: Iterable[Path], seconds: Iterable[int]) -> str:
    """Hash the input of a tower by the bytes of its files, without decoding them.

    Args:
        paths: The files, in order.
        seconds: Seconds of the clip that are used.

    Returns:
        64 hexadecimal digits.

    Raises:
        DatasetError: If a file cannot be read.
    """
    hashes = []
    for path in paths:
        try:
            hashes.append(hashlib.sha256(path.read_bytes()).hexdigest())
        except OSError as error:
            raise DatasetError(
                f"{path}: cannot be read ({error.strerror}); unpack or copy the data set again."
            ) from error
    return hashlib.sha256(f"{' '.join(hashes)} {list(seconds)}".encode()).hexdigest()


class FeatureStore(Protocol):
    """A store of features by their keys."""

    def contains(self, key: str) -> bool:
        """Return whether the store has intact features under a key."""
        ...

    def write(self, key: str, features: Features) -> None:
        """Store the features of a clip under a key."""
        ...

    def read(self, key: str, frames: slice) -> Features:
        """Read the features of some frames under a key that the store contains."""
        ...


class FeaturesInMemory:
    """A feature store in the memory of the process."""

    def __init__(self) -> None:
        self._features: dict[str, Features] = {}

    def contains(self, key: str) -> bool:
        """Return whether the store has features under a key."""
        return key in self._features

    def write(self, key: str, features: Features) -> None:
        """Store a copy on the CPU."""
        self._features[key] = tuple(values.detach().cpu() for values in features)

    def read(self, key: str, frames: slice) -> Features:
        """Return the features of some frames under a key that the store contains."""
        return tuple(values[frames] for values in self._features[key])


class FeatureCache:
    """A feature store in a folder: one file for each key, memory-mapped when it is read.

    Args:
        folder: Folder of the cache; need not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: str) -> Path:
        """Return the path of the file of a key; it need not exist."""
        # Two digits as a folder, as git does: a folder with 100 000 files is slow to list.
        tower, _, digest = key.partition("/")
        return self.folder / tower / digest[:2] / f"{digest}.safetensors"

    def contains(self, key: str) -> bool:
        """Return whether the cache has an intact file for a key.

        Args:
            key: From `FrozenTower.key`.

        Returns:
            False also for a file that is truncated, changed, or renamed from another key.
        """
        try:
            with safe_open(self.path(key), "pt") as file:
                # Everything is read once before a run, so that damage shows before the training.
                features = tuple(file.get_tensor(name) for name in _names(file))
                return bool(file.metadata() == _metadata(key, features))
        except (OSError, SafetensorError, ValueError):
            return False

    def write(self, key: str, features: Features) -> None:
        """Write features; their file appears when it is complete.

        Args:
            key: From `FrozenTower.key`.
            features: Features of T frames, (T, ...) each.

        Raises:
            OutputError: If the folder cannot be written to, or the disk is full.
        """
        # safetensors stores contiguous tensors only.
        kept = tuple(values.detach().cpu().contiguous() for values in features)
        named = {str(number): values for number, values in enumerate(kept)}
        try:
            with replace_when_complete(self.path(key)) as partial:
                save_file(named, partial, _metadata(key, kept))
        except (OSError, SafetensorError, OutputError) as error:
            raise OutputError(
                f"{self.folder}: cannot write features ({error}); choose another folder with "
                "--feature-cache, or keep them in memory with --feature-cache none."
            ) from error

    def read(self, key: str, frames: slice) -> Features:
        """Read the features of some frames; the other frames of the file are not read.

        Args:
            key: Key that the store contains.
            frames: The frames.

        Returns:
            Features of these frames, (T, ...) each.

        Raises:
            OutputError: If the file was removed meanwhile.
        """
        try:
            with safe_open(self.path(key), "pt") as file:
                return tuple(file.get_slice(name)[frames] for name in _names(file))
        except (OSError, SafetensorError) as error:
            raise OutputError(
                f"{self.path(key)}: existed when the run started, cannot be read now ({error}); "
                "start the run again: it computes the missing features and resumes from its last "
                "checkpoint."
            ) from error


def _names(file: Any) -> list[str]:
    """Return the names of a file's tensors in the order in which they were written."""
    return sorted(file.keys(), key=int)  # as text, "10" would come before "2"


def _metadata(key: str, features: Features) -> dict[str, str]:
    """Return the metadata that is written with features; it reveals a damaged file."""
    # CRC-32 finds accidental damage, and is much faster than a cryptographic hash.
    checksum = 0
    for values in features:
        checksum = zlib.crc32(_bytes(values), checksum)
    return {"key": key, "crc32": f"{checksum:08x}"}


def _hash_weights(module: nn.Module) -> str:
    """Hash device type, names, dtypes, shapes and values of all weights that are not trainable."""
    digest = hashlib.sha256()
    frozen = {n: p.detach() for n, p in module.named_parameters() if not p.requires_grad}
    for name, values in sorted((frozen | dict(module.named_buffers())).items()):
        # The device type counts too: on another one, the features differ by rounding.
        digest.update(f"{name} {values.device.type} {values.dtype} {tuple(values.shape)} ".encode())
        digest.update(_bytes(values.cpu()))
    return digest.hexdigest()


def _bytes(values: Tensor) -> memoryview:
    """Return the bytes of a tensor on the CPU, of any dtype (NumPy has no bfloat16)."""
    return values.contiguous().view(-1).view(torch.uint8).numpy().data
