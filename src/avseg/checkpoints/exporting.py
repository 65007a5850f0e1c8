"""A model's folder into the format that its authors publish, for use with their code."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig

from avseg.atomic import replace_when_complete
from avseg.checkpoints.catalog import find_checkpoint
from avseg.checkpoints.delta import read_weights
from avseg.checkpoints.importing import UNUSED_FILE, writing
from avseg.checkpoints.keymaps.systems import SYSTEMS, TOWERS
from avseg.checkpoints.loading import shapes_of
from avseg.checkpoints.model_folder import SOURCE_FILE, weights_file
from avseg.checkpoints.reading import TRAINED_WITH


def export_checkpoint(model: Path, output: Path) -> None:
    """Write the trained system of a model as its authors publish it.

    AV2T-SAM's files do not contain CLIP and CLAP; a .safetensors file notes which ones the model
    has. What an imported model does not use is written too, so that the file has the keys and
    tensors that it was imported from. A model that was trained here has no such tensors to write.

    Args:
        model: The model's folder.
        output: The file, .safetensors or .pth; it appears when it is complete.

    Raises:
        CheckpointError: If there is no complete model in the folder, it has other tensors than its
            configuration says, or a frozen part of it is missing or has changed.
        OutputError: If the file cannot be written.
    """
    folder = find_checkpoint(model).folder
    config: Any = AutoConfig.from_pretrained(folder)
    system = next(known for known in SYSTEMS.values() if known.model_type == config.model_type)
    elsewhere = tuple(TOWERS[role] for role in system.towers(config))
    tensors = {
        name: values
        for name, values in read_weights(weights_file(folder), shapes_of(config)).items()
        if not name.startswith(elsewhere)
    }
    published = system.table(config).to_published(tensors)
    if (folder / UNUSED_FILE).is_file():
        published |= load_file(folder / UNUSED_FILE)
    published = {name: values.contiguous() for name, values in published.items()}
    with writing(output, published), replace_when_complete(output) as partial:
        if output.suffix == ".safetensors":
            metadata = {"format": "pt", TRAINED_WITH: json.dumps(_towers(folder))}
            save_file(published, partial, metadata=metadata)
        else:
            torch.save(published, partial)


def _towers(folder: Path) -> dict[str, str]:
    """Look up the files of the towers that a model was imported with, by their role."""
    path = folder / SOURCE_FILE
    if not path.is_file():
        return {}
    sources = json.loads(path.read_text(encoding="utf-8"))["sources"]
    return {source["role"]: source["sha256"] for source in sources if source["role"] in TOWERS}
