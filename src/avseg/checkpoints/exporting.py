"""Export of a model's folder to the file format of the model's authors, for use in their code."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from avseg.atomic import replace_when_complete
from avseg.checkpoints.catalog import find_checkpoint
from avseg.checkpoints.delta import read_weights
from avseg.checkpoints.importing import UNUSED_FILE
from avseg.checkpoints.keymaps.formats import FILE_PREFIXES, SYSTEMS, System
from avseg.checkpoints.loading import DAMAGE_ERRORS, read_config, shapes_of
from avseg.checkpoints.model_folder import recorded_origins, weights_file
from avseg.checkpoints.reading import TRAINED_WITH
from avseg.checkpoints.saving import explain_weight_write_errors
from avseg.errors import CheckpointError


def export_checkpoint(model: Path, output: Path) -> None:
    """Write the trained system of a model in its authors' format.

    A file of AV2T-SAM does not contain CLIP and CLAP. In the format .safetensors, it records the
    hashes of the CLIP and CLAP files of the model. If the model was imported, its unused tensors
    are written too, so the file has the same keys and tensors as the imported file.

    Args:
        model: The model's folder.
        output: The file, .safetensors or .pth; it appears when it is complete.

    Raises:
        CheckpointError: If the folder is not a complete model, the tensors do not match the
            configuration, or the file of a frozen part is missing or has changed.
        OutputError: If the file cannot be written.
    """
    folder = find_checkpoint(model).folder
    config: Any = read_config(folder)
    try:
        published = _published_tensors(folder, config)
        towers = json.dumps(_towers(folder))
    except DAMAGE_ERRORS as error:
        raise CheckpointError(
            f"{folder}: the model cannot be exported ({error}); import or copy it again."
        ) from error
    # safetensors rejects tensors that are not contiguous, such as a transposed one.
    published = {name: values.contiguous() for name, values in published.items()}
    with replace_when_complete(output) as partial, explain_weight_write_errors(output, published):
        if output.suffix == ".safetensors":
            metadata = {"format": "pt", TRAINED_WITH: towers}
            save_file(published, partial, metadata=metadata)
        else:
            torch.save(published, partial)


def _published_tensors(folder: Path, config: Any) -> dict[str, Tensor]:
    """Return the tensors of the trained system under their published names."""
    system = _system(folder, config.model_type)
    # The towers have published files of their own, so they are left out.
    tower_prefixes = tuple(
        prefix for role in system.towers(config) for prefix in FILE_PREFIXES[role]
    )
    tensors = {
        name: values
        for name, values in read_weights(weights_file(folder), shapes_of(config)).items()
        if not name.startswith(tower_prefixes)
    }
    published = system.key_map(config).to_published(tensors)
    if (folder / UNUSED_FILE).is_file():
        published |= load_file(folder / UNUSED_FILE)
    return published


def _system(folder: Path, model_type: str) -> System:
    """Return the format from which a model was imported, else the first one of its family."""
    names = [name for name, known in SYSTEMS.items() if known.model_type == model_type]
    if not names:
        known_types = {known.model_type for known in SYSTEMS.values()}
        raise CheckpointError(
            f"{folder}: a model of {model_type} has no published file format; give one of "
            f"{', '.join(sorted(known_types))}."
        )
    imported = [origin["format"] for origin in recorded_origins(folder)]
    return SYSTEMS[next((name for name in names if name in imported), names[0])]


def _towers(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each tower's file of an imported model, by the role of the file."""
    return {
        origin["role"]: origin["sha256"]
        for origin in recorded_origins(folder)
        if origin["role"] in FILE_PREFIXES
    }
