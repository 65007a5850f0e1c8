"""Networks that `transformers` publishes: loading from the files of a repository, with checks.

Each network is loaded by its own class of `transformers`, which also knows the key names of older
files. A missing or unexpected key is an error: with a renamed key the part would stay random.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import Tensor

from avseg.checkpoints.model_folder import CONFIG_FILE, PARSE_ERRORS, WEIGHTS_FILE
from avseg.checkpoints.resources import check_disk, check_memory
from avseg.checkpoints.saving import without_progress_bar
from avseg.errors import CheckpointError


@dataclass(frozen=True)
class PublishedNetwork:
    """A published network that a model can be made of.

    Attributes:
        title: Its name in messages.
        network: Its class.
        path: Name of its module in the model.
        model_types: `model_type` in its configuration file.
        preprocessing_file: Name of the file with the options of its preprocessing.
    """

    title: str
    network: type[Any]
    path: str
    model_types: tuple[str, ...]
    preprocessing_file: str = "preprocessor_config.json"


#: Errors of the libraries on damaged files and on unknown options.
_DAMAGE_ERRORS = (*PARSE_ERRORS, SafetensorError, StrictDataclassError)


@dataclass(frozen=True)
class LoadedNetwork:
    """A loaded network: its description, configuration, tensors and preprocessing options."""

    known: PublishedNetwork
    config: Any
    tensors: Mapping[str, Tensor]
    preprocessing: Mapping[str, Any]


def check_space(folders: Iterable[Path], output: Path) -> None:
    """Raise an error if networks do not fit into the memory, or their tensors onto the disk.

    Args:
        folders: Folders with the published files; a missing file counts as empty.
        output: The folder that will get all tensors.

    Raises:
        CheckpointError: If less memory is available than the files have bytes.
        OutputError: If less space is free.
    """
    files = [folder / WEIGHTS_FILE for folder in folders]
    need_bytes = sum(file.stat().st_size for file in files if file.is_file())
    check_memory(need_bytes, f"{output}: the networks of the model need", [])
    check_disk(output.parent, need_bytes, f"{output}: the model needs", ["choose another folder"])


def load_network(folder: Path, possible: Sequence[PublishedNetwork]) -> LoadedNetwork:
    """Load a network with its own class, and refuse weights that do not fit exactly.

    Args:
        folder: Folder with the published files.
        possible: The networks that are accepted; the configuration file selects one.

    Returns:
        The network's configuration, tensors and preprocessing options.

    Raises:
        CheckpointError: If a file is missing, damaged or of another network, or keys are missing or
            unexpected.
    """
    known = recognise_network(folder, possible)
    _check_presence(folder, (WEIGHTS_FILE, known.preprocessing_file), known.title)
    try:
        text = (folder / known.preprocessing_file).read_text(encoding="utf-8")
        # A processor of several parts has the options of the image processor as an entry.
        preprocessing = json.loads(text)
        preprocessing = dict(preprocessing.get("image_processor", preprocessing))
    except PARSE_ERRORS as error:
        raise CheckpointError(f"{folder}: is damaged ({error}); copy it again.") from error
    try:
        with without_progress_bar(), _without_messages():
            model, info = known.network.from_pretrained(
                folder,
                local_files_only=True,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported below with the other keys
            )
    except _DAMAGE_ERRORS as error:
        raise CheckpointError(
            f"{folder}: the weights of {known.title} cannot be loaded ({error}); download the "
            "files again."
        ) from error
    # Integers are tables of indices. The class computes those that a file omits, so that they are
    # never random.
    state = model.state_dict()
    tables = {name for name, values in state.items() if not values.is_floating_point()}
    info["missing_keys"] = set(info["missing_keys"]) - tables
    wrong = {kind: sorted(map(str, keys)) for kind, keys in info.items() if keys}
    if wrong:
        counted = "; ".join(
            f"{len(keys)} {kind.replace('_', ' ')}, first {keys[0]}" for kind, keys in wrong.items()
        )
        raise CheckpointError(
            f"{folder}: the weights do not fit {known.title}: {counted}. Part of it would be "
            "random; download the revision that `avseg models` lists."
        )
    return LoadedNetwork(known, model.config, state, preprocessing)


def recognise_network(folder: Path, possible: Sequence[PublishedNetwork]) -> PublishedNetwork:
    """Read which network a folder has.

    Args:
        folder: Folder with the published files.
        possible: The networks that are accepted.

    Returns:
        One of them.

    Raises:
        CheckpointError: If the configuration file is missing, damaged or of another network.
    """
    titles = " or ".join(known.title for known in possible)
    _check_presence(folder, (CONFIG_FILE,), titles)
    try:
        options = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        return next(each for each in possible if options.get("model_type") in each.model_types)
    except StopIteration:
        raise CheckpointError(
            f"{folder / CONFIG_FILE}: model_type is {options.get('model_type')!r}; give the folder "
            f"of {titles}."
        ) from None
    except PARSE_ERRORS as error:
        raise CheckpointError(f"{folder}: is damaged ({error}); copy it again.") from error


def _check_presence(folder: Path, names: Sequence[str], titles: str) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{folder}: {', '.join(missing)} is missing; give a folder with the published files of "
            f"{titles}."
        )


def statistics_options(statistics: tuple[tuple[float, ...], tuple[float, ...]]) -> dict[str, Any]:
    """Return mean and standard deviation in the units of a preprocessing file, 0..1.

    Args:
        statistics: Mean and standard deviation of red, green and blue, in 0..255.

    Returns:
        The entries of the file.
    """
    mean, std = ([round(value / 255, 6) for value in values] for values in statistics)
    return {"image_mean": mean, "image_std": std}


def check_preprocessing(folder: Path, loaded: LoadedNetwork, wanted: Mapping[str, Any]) -> None:
    """Raise an error if the published preprocessing is another than the one that avseg computes.

    Args:
        folder: Folder of the network.
        loaded: The network.
        wanted: The options that avseg computes; an option that the file omits is not compared.

    Raises:
        CheckpointError: If an option has another value.
    """
    for name, value in wanted.items():
        given = loaded.preprocessing.get(name, value)
        if isinstance(given, list):
            given = [round(number, 6) for number in given]
        if given != value:
            raise CheckpointError(
                f"{folder / loaded.known.preprocessing_file}: {name} is {given}, avseg computes "
                f"{value}; give the revision that `avseg models` lists."
            )


@contextmanager
def _without_messages() -> Iterator[None]:
    """Disable the report of `transformers` on keys, which is an error here."""
    log = logging.getLogger("transformers")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)
