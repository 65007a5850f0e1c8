"""Published weight files into tensors: nothing in a file is run, little of it is in memory."""

import json
import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from avseg.errors import CheckpointError

#: Key of a safetensors header under which an exported checkpoint names its towers' files, as JSON.
TRAINED_WITH = "trained_with"

#: What the published formats wrap a state dict in.
_WRAPPERS = ("model", "state_dict")

_PICKLES = (".pt", ".pth", ".bin")

#: What torch and safetensors raise on files that are not what their name says, or not all there.
_DAMAGE = (OSError, EOFError, ValueError, RuntimeError, SafetensorError, pickle.UnpicklingError)


@dataclass(frozen=True)
class PublishedFile:
    """A checkpoint as it was published.

    Attributes:
        path: The file, or the folder of a sharded checkpoint.
        parts: The files it consists of.
        tensors: Its tensors by their published names, mapped from disk where the format allows.
        trained_with: SHA-256 of the towers' files it was trained on, by their role, if it says so.
    """

    path: Path
    parts: tuple[Path, ...]
    tensors: dict[str, Tensor]
    trained_with: dict[str, str]


def read_published(path: Path) -> PublishedFile:
    """Open a published checkpoint.

    Args:
        path: A .safetensors file, a pickle (.pt, .pth, .bin), or a folder with shards and their
            index, or with one such file.

    Returns:
        Its tensors.

    Raises:
        CheckpointError: If it is not there, damaged, or holds anything but tensors.
    """
    parts = _parts(path)
    tensors: dict[str, Tensor] = {}
    for part in parts:
        tensors |= _tensors(part)
    return PublishedFile(path, parts, tensors, _trained_with(parts[0]))


def _parts(path: Path) -> tuple[Path, ...]:
    if path.is_file():
        return (path,)
    if not path.is_dir():
        raise CheckpointError(f"{path}: there is no such file; give the file that was downloaded.")
    indexes = sorted(path.glob("*.index.json"))
    if indexes:
        return _shards(indexes[0])
    files = sorted(file for file in path.iterdir() if file.suffix in (*_PICKLES, ".safetensors"))
    if len(files) != 1:
        names = ", ".join(file.name for file in files) or "none"
        raise CheckpointError(
            f"{path}: a folder should hold shards with their index, or one weight file; it has "
            f"{names}. Give the file itself."
        )
    return (files[0],)


def _shards(index: Path) -> tuple[Path, ...]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"{index}: is no index of shards ({error}); download the folder again."
        ) from error
    shards = tuple(index.parent / Path(name).name for name in names)
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing:
        raise CheckpointError(
            f"{index.parent}: {len(missing)} of {len(shards)} shards are missing, first "
            f"{missing[0]}; download the folder again."
        )
    return shards


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _unpickle(path)
    except _DAMAGE as error:
        raise CheckpointError(_explain(path, error)) from error
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not all(
        isinstance(value, Tensor) for value in content.values()
    ):
        raise CheckpointError(
            f"{path}: is no checkpoint of names and tensors; give the file that the model's "
            "authors published."
        )
    return {name: values.detach() for name, values in content.items()}


def _trained_with(path: Path) -> dict[str, str]:
    """Read what `exporting.py` notes in the header of a file."""
    if path.suffix != ".safetensors":
        return {}
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
    note: dict[str, str] = json.loads(metadata.get(TRAINED_WITH, "{}"))
    return note


def _unpickle(path: Path) -> Any:
    """Load a pickle that may hold tensors and plain containers, and nothing that runs."""
    with path.open("rb") as file:
        is_zip = file.read(2) == b"PK"  # files in the form of before PyTorch 1.6 cannot be mapped
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of files that are refused with an error of ours
        return torch.load(path, weights_only=True, mmap=is_zip, map_location="cpu")


def _explain(path: Path, error: Exception) -> str:
    text = str(error)
    if "TorchScript" in text:
        return (
            f"{path}: is a TorchScript archive, which holds code; take the weights as safetensors "
            "(for CLIP: model.safetensors of openai/clip-vit-base-patch32), or save its "
            "state_dict() with torch.save in an environment that you trust it in."
        )
    named = re.search(r"(?:GLOBAL|class) `?([\w.]+)", text)
    if isinstance(error, pickle.UnpicklingError) and named:
        return (
            f"{path}: holds {named[1]} besides tensors, and a pickle may hold code that avseg "
            "never runs; take the weights as safetensors, or ask who published the file."
        )
    if isinstance(error, pickle.UnpicklingError):
        text = "it does not begin as tensors saved by PyTorch do"
    reason = text.splitlines()[0] if text else type(error).__name__
    return f"{path}: is damaged or no weight file ({reason}); download it again."
