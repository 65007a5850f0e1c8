"""Export of a model's folder to the format of its authors, for use with their code."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig

from avseg.atomic import replace_when_complete
from avseg.checkpoints.catalog import find_checkpoint
from avseg.checkpoints.delta import read_weights
from avseg.checkpoints.importing import UNUSED_FILE
from avseg.checkpoints.keymaps.formats import SYSTEMS, TOWER_PREFIXES
from avseg.checkpoints.loading import shapes_of
from avseg.checkpoints.model_folder import recorded_origins, weights_file
from avseg.checkpoints.reading import TRAINED_WITH
from avseg.checkpoints.saving import explain_write_errors


def export_checkpoint(model: Path, output: Path) -> None:
    """Write the trained system of a model in its authors' format.

    AV2T-SAM's files do not contain CLIP and CLAP; a .safetensors file records the hashes of those
    that the model has. The unused tensors of an imported model are written too, so that the file
    has the same keys and tensors as the one it was imported from. A model that was trained here
    has no such tensors.

    Args:
        model: The model's folder.
        output: The file, .safetensors or .pth; it appears when it is complete.

    Raises:
        CheckpointError: If there is no complete model in the folder, its tensors do not match its
            configuration, or the file of a frozen part is missing or has changed.
        OutputError: If the file cannot be written.
    """
    folder = find_checkpoint(model).folder
    config: Any = AutoConfig.from_pretrained(folder)
    system = next(known for known in SYSTEMS.values() if known.model_type == config.model_type)
    # Towers have published files of their own, which are not written again.
    elsewhere = tuple(TOWER_PREFIXES[role] for role in system.towers(config))
    tensors = {
        name: values
        for name, values in read_weights(weights_file(folder), shapes_of(config)).items()
        if not name.startswith(elsewhere)
    }
    published = system.key_map(config).to_published(tensors)
    if (folder / UNUSED_FILE).is_file():
        published |= load_file(folder / UNUSED_FILE)
    # A split or transposed tensor is a view, which safetensors does not store.
    published = {name: values.contiguous() for name, values in published.items()}
    with explain_write_errors(output, published), replace_when_complete(output) as partial:
        if output.suffix == ".safetensors":
            metadata = {"format": "pt", TRAINED_WITH: json.dumps(_towers(folder))}
            save_file(published, partial, metadata=metadata)
        else:
            torch.save(published, partial)


def _towers(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of the towers' files that a model was imported with, by their role."""
    return {
        origin["role"]: origin["sha256"]
        for origin in recorded_origins(folder)
        if origin["role"] in TOWER_PREFIXES
    }
