"""Reading of published weight files as tensors, without running any code in them."""

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

from avseg.checkpoints.model_folder import PARSE_ERRORS
from avseg.errors import CheckpointError

#: Key of the safetensors header in which an exported checkpoint records its towers' files, as JSON.
TRAINED_WITH = "trained_with"

#: Keys of a published file under which its state dict may be nested.
_WRAPPERS = ("model", "state_dict")

_PICKLES = (".pt", ".pth", ".bin")

#: Errors of torch and safetensors on files that are damaged, incomplete or of another format.
_DAMAGE_ERRORS = (*PARSE_ERRORS, SafetensorError, pickle.UnpicklingError)


@dataclass(frozen=True)
class PublishedFile:
    """A checkpoint as it was published.

    Attributes:
        path: The file, or the folder of a sharded checkpoint.
        files: The file itself, or the shards.
        tensors: Its tensors by their published names, memory-mapped if the format allows it.
        trained_with: SHA-256 of the tower files with which it was trained, by the role of the
            tower; empty if not recorded.
    """

    path: Path
    files: tuple[Path, ...]
    tensors: dict[str, Tensor]
    trained_with: dict[str, str]


def read_published(path: Path) -> PublishedFile:
    """Open a published checkpoint.

    Args:
        path: A .safetensors file or a pickle (.pt, .pth, .bin); or a folder with one such file, or
            with the shards of a checkpoint and their index.

    Returns:
        The checkpoint.

    Raises:
        CheckpointError: If it does not exist, is damaged, or contains other objects than tensors.
    """
    files = _weight_files(path)
    tensors: dict[str, Tensor] = {}
    for file in files:
        tensors |= _tensors(file)
    return PublishedFile(path, files, tensors, _trained_with(files[0]))


def _weight_files(path: Path) -> tuple[Path, ...]:
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
            f"{path}: a folder should contain shards with their index, or one weight file; it has "
            f"{names}. Give the file itself."
        )
    return (files[0],)


def _shards(index: Path) -> tuple[Path, ...]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except PARSE_ERRORS as error:
        raise CheckpointError(
            f"{index}: is not an index of shards ({error}); download the folder again."
        ) from error
    # Only the file name is used, so that an index cannot refer to files outside of its folder.
    shards = tuple(index.parent / Path(str(name)).name for name in names)
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
    except _DAMAGE_ERRORS as error:
        raise CheckpointError(_explain(path, error)) from error
    # Unwrap a nested state dict; a file may have both levels.
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise CheckpointError(
            f"{path}: is not a checkpoint of named tensors; give the file that the model's "
            "authors published."
        )
    return {name: values.detach() for name, values in content.items()}


def _trained_with(path: Path) -> dict[str, str]:
    """Read the hashes of the towers' files that `exporting.py` recorded in the header."""
    if path.suffix != ".safetensors":
        return {}
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
    try:
        note = json.loads(metadata.get(TRAINED_WITH, "{}"))
        return {str(role): str(sha256) for role, sha256 in note.items()}
    except PARSE_ERRORS as error:
        raise CheckpointError(
            f"{path}: its metadata {TRAINED_WITH!r} is not a JSON object ({error}); export or "
            "download the file again."
        ) from error


def _unpickle(path: Path) -> Any:
    """Load a pickle of tensors and plain containers; torch rejects any other object."""
    with path.open("rb") as file:
        # The format since PyTorch 1.6 is a zip archive. Only this format can be memory-mapped.
        is_zip = file.read(2) == b"PK"
    with warnings.catch_warnings():
        # torch warns about files that are an error anyway.
        warnings.simplefilter("ignore")
        return torch.load(path, weights_only=True, mmap=is_zip, map_location="cpu")


def _explain(path: Path, error: Exception) -> str:
    text = str(error)
    if "TorchScript" in text:
        return (
            f"{path}: is a TorchScript archive, which contains code; use the weights as "
            "safetensors (CLIP: model.safetensors of openai/clip-vit-base-patch32), or save its "
            "state_dict() with torch.save in an environment that you trust it in."
        )
    # The messages of torch for a pickle with other objects contain the class of the object.
    named = re.search(r"(?:GLOBAL|class) `?([\w.]+)", text)
    if isinstance(error, pickle.UnpicklingError) and named:
        return (
            f"{path}: contains {named[1]} besides tensors, and a pickle may contain code, which "
            "avseg never runs; use the weights as safetensors, or ask the publisher of the file."
        )
    if isinstance(error, pickle.UnpicklingError):
        text = "it does not begin as tensors saved by PyTorch do"
    reason = text.splitlines()[0] if text else type(error).__name__
    return f"{path}: is damaged or no weight file ({reason}); download it again."
