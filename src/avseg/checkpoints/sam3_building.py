"""Building of a SAM 3 prompted by texts from the published files of SAM 3."""

import json
from pathlib import Path

from transformers import Sam3Model

from avseg.atomic import replace_when_complete
from avseg.backbones.hub_tokenizer import HubTokenizer
from avseg.backbones.sam3 import Sam3SegmenterConfig
from avseg.checkpoints.model_folder import SOURCE_FILE, WEIGHTS_FILE, Checkpoint, file_sha256
from avseg.checkpoints.published_networks import (
    LoadedNetwork,
    PublishedNetwork,
    check_preprocessing,
    check_space,
    load_network,
    statistics_options,
)
from avseg.checkpoints.saving import explain_weight_write_errors, save_weights
from avseg.errors import CheckpointError, OutputError
from avseg.models.picture_inputs import PICTURE_TOKENIZER
from avseg.models.processor import SAM3_STATISTICS
from avseg.models.sam3 import Sam3TextConfig, Sam3TextProcessor

#: Licence of the published weights.
LICENCE = "SAM License"

#: The published file has the video tracker too, so its configuration is that of the video model.
SAM3 = PublishedNetwork(
    "SAM 3", Sam3Model, "segmenter.sam3", ("sam3", "sam3_video"), "processor_config.json"
)


def make_sam3(published: str | Path, output: str | Path) -> Checkpoint:
    """Build a SAM 3 prompted by texts from a folder with published files; nothing is trained.

    Args:
        published: Folder with the files of the repository: config.json, model.safetensors,
            processor_config.json, and those of the tokenizer.
        output: The folder to create; it appears when it is complete.

    Returns:
        The model.

    Raises:
        CheckpointError: If a file is missing, damaged or of another kind, keys are missing or
            unexpected, or the network does not fit into the memory.
        OutputError: If the folder exists already, cannot be written, or its disk is too small.
    """
    source, output = Path(published), Path(output)
    if output.exists():
        raise OutputError(f"{output}: exists already; choose another folder.")
    # The tokenizer first: it is small, and a missing file is found before gigabytes are read.
    tokenizer = HubTokenizer.from_files(source, PICTURE_TOKENIZER)
    check_space([source], output)
    loaded = load_network(source, (SAM3,))
    config = Sam3TextConfig(segmenter_config=build_sam3_config(source, loaded, tokenizer))
    tensors = {f"{SAM3.path}.{name}": values for name, values in loaded.tensors.items()}
    with replace_when_complete(output) as folder, explain_weight_write_errors(output, tensors):
        folder.mkdir()
        save_weights(tensors, folder / WEIGHTS_FILE)
        config.save_pretrained(folder)
        Sam3TextProcessor.from_config(config, tokenizer).save_pretrained(folder)
        origin = {
            "role": "system",
            "format": "sam3",
            "file": WEIGHTS_FILE,
            "sha256": file_sha256(source / WEIGHTS_FILE),
            "licence": LICENCE,
        }
        described = json.dumps({"sources": [origin]}, indent=2) + "\n"
        (folder / SOURCE_FILE).write_text(described, encoding="utf-8")
    return Checkpoint(output.resolve().name, output, licence=LICENCE)


def build_sam3_config(
    source: Path, loaded: LoadedNetwork, tokenizer: HubTokenizer
) -> Sam3SegmenterConfig:
    """Build the configuration of SAM 3 as a segmenter, and check what is published beside it.

    Args:
        source: Folder with the published files.
        loaded: The network.
        tokenizer: Its tokenizer.

    Returns:
        The configuration.

    Raises:
        CheckpointError: If the preprocessing is another than that of avseg, or the tokenizer has
            more tokens than the network.
    """
    config = Sam3SegmenterConfig(sam3_config=loaded.config)
    side = config.image_size
    wanted = {"size": {"height": side, "width": side}, **statistics_options(SAM3_STATISTICS)}
    check_preprocessing(source, loaded, wanted)
    rows = loaded.config.text_config.vocab_size
    # Otherwise an id outside of the embedding table would be an index error inside the model.
    if len(tokenizer.tokenizer) > rows:
        raise CheckpointError(
            f"{source}: the tokenizer has {len(tokenizer.tokenizer)} tokens, SAM 3 has {rows}; "
            "download the files again."
        )
    return config
