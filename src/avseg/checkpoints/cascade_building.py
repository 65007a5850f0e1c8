"""Building of a cascade from an EVF-SAM or a SAM 3, and the published file of MS-CLAP."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from avseg.atomic import replace_when_complete
from avseg.backbones.clap_text import ClapTokenizer
from avseg.backbones.evf_sam_segmenter import EvfSamSegmenterConfig
from avseg.checkpoints.catalog import find_checkpoint
from avseg.checkpoints.keymaps.clap import CLAP_WITH_TEXT
from avseg.checkpoints.keymaps.formats import detect_format
from avseg.checkpoints.model_folder import (
    CONFIG_FILE,
    PARSE_ERRORS,
    SOURCE_FILE,
    WEIGHTS_FILE,
    Checkpoint,
    file_sha256,
)
from avseg.checkpoints.reading import read_published
from avseg.checkpoints.saving import explain_weight_write_errors, save_weights
from avseg.errors import CheckpointError, OutputError
from avseg.models.cascade import CascadeConfig, CascadeModel, CascadeProcessor
from avseg.models.cascade.parts import SEGMENTERS
from avseg.models.evf_sam import EvfSamConfig
from avseg.models.sam3 import Sam3TextConfig

#: Prefix of the segmenter's tensors, the same in the cascade and in a model of its own, and of
#: CLAP's.
_SEGMENTER, _NAMER = "segmenter.", "namer."


def make_cascade(
    segmenter: str | Path,
    clap: str | Path,
    tokenizer: str | Path,
    output: str | Path,
    *,
    config: CascadeConfig | None = None,
) -> Checkpoint:
    """Build a cascade: MS-CLAP names the sounding objects, EVF-SAM or SAM 3 segments them by name.

    Nothing is trained. The tensors keep the dtype of their files.

    Args:
        segmenter: Name of an EVF-SAM or SAM 3 model, or the folder of a saved one.
        clap: The published file of MS-CLAP 2023, CLAP_weights_2023.pth.
        tokenizer: GPT-2's tokenizer.json.
        output: The folder to create; it appears when it is complete.
        config: Sizes of CLAP, and the rule that selects names. Its sizes of the segmenter are
            replaced by those of `segmenter`. None for the published sizes and the default rule.

    Returns:
        The cascade, with AVSBench's vocabulary.

    Raises:
        CheckpointError: If a file is missing, damaged or of another kind.
        OutputError: If the folder exists already, or cannot be written.
        PromptError: If a tokenizer cannot encode the vocabulary.
    """
    clap, tokenizer, output = Path(clap), Path(tokenizer), Path(output)
    if output.exists():
        raise OutputError(f"{output}: exists already; choose another folder.")
    found = find_checkpoint(segmenter)
    sizes = _cascade_config(found, config or CascadeConfig())
    inputs = SEGMENTERS[sizes.segmenter_config.model_type].inputs.from_config(
        sizes.segmenter_config
    )
    processor = CascadeProcessor.from_config(
        sizes, ClapTokenizer.from_file(tokenizer), inputs.load_tokenizer(found.folder)
    )
    # This encodes the vocabulary, so a tokenizer that cannot encode it is an error before writing.
    processor = processor.with_vocabulary(processor.vocabulary)
    # On the device "meta" the model has names and shapes, but no memory for its weights.
    with torch.device("meta"):
        state = CascadeModel(sizes).state_dict()
    tensors = _clap_tensors(clap, state) | _segmenter_tensors(found, state)
    with replace_when_complete(output) as folder, explain_weight_write_errors(output, tensors):
        folder.mkdir()
        save_weights(tensors, folder / WEIGHTS_FILE)
        sizes.save_pretrained(folder)
        processor.save_pretrained(folder)
        origins = [
            {"role": role, "file": file.name, "sha256": file_sha256(file), "licence": licence}
            for role, file, licence in (
                ("segmenter", found.folder / WEIGHTS_FILE, found.licence),
                ("clap", clap, "MS-PL"),
                ("tokenizer", tokenizer, "MIT"),
            )
        ]
        described = json.dumps({"sources": origins}, indent=2) + "\n"
        (folder / SOURCE_FILE).write_text(described, encoding="utf-8")
    return find_checkpoint(output)


def _cascade_config(segmenter: Checkpoint, config: CascadeConfig) -> CascadeConfig:
    """Copy the segmenter's sizes and mask options into the cascade's configuration."""
    path = segmenter.folder / CONFIG_FILE
    try:
        model_type = json.loads(path.read_text(encoding="utf-8")).get("model_type")
    except PARSE_ERRORS as error:
        raise CheckpointError(
            f"{path}: is not a model configuration ({error}); copy the model again."
        ) from error
    if model_type == Sam3TextConfig.model_type:
        sam3: Any = Sam3TextConfig.from_pretrained(segmenter.folder)
        return config.replace(segmenter_config=sam3.segmenter_config)
    if model_type != EvfSamConfig.model_type:
        raise CheckpointError(
            f"{segmenter.folder}: is neither an EVF-SAM nor a SAM 3; give the folder of one."
        )
    own: Any = EvfSamConfig.from_pretrained(segmenter.folder)
    # The masks depend on these options, so they must be those of EVF-SAM's training.
    evf_sam = EvfSamSegmenterConfig(
        sam_config=own.sam_config,
        beit3_config=own.beit3_config,
        keep_proportions=own.keep_proportions,
        multimask=own.multimask,
        suppress_absent=own.suppress_absent,
    )
    return config.replace(segmenter_config=evf_sam)


def _clap_tensors(clap: Path, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Read CLAP's file and rename its tensors to those of the cascade."""
    published = read_published(clap)
    found = detect_format(published.tensors)
    if found is None or found.role != "clap":
        raise CheckpointError(
            f"{clap}: is {found.title if found else 'of an unknown format'}; give MS-CLAP "
            "2023's file, CLAP_weights_2023.pth."
        )
    expected = {
        name.removeprefix(_NAMER): values
        for name, values in state.items()
        if name.startswith(_NAMER)
    }
    try:
        tensors = CLAP_WITH_TEXT.fit(published.tensors, expected).tensors
        return {_NAMER + name: values for name, values in tensors.items()}
    except CheckpointError as error:
        raise CheckpointError(
            f"{clap}: does not fit MS-CLAP 2023: {error}. Is it the whole file?"
        ) from error


def _segmenter_tensors(segmenter: Checkpoint, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Read the segmenter's tensors, whose names are the same in its own model and in a cascade."""
    weights = segmenter.folder / WEIGHTS_FILE
    tensors = read_published(weights).tensors
    expected = {name for name in state if name.startswith(_SEGMENTER)}
    different = sorted(expected ^ tensors.keys())
    if different:
        raise CheckpointError(
            f"{weights}: {len(different)} keys are missing or unexpected, first {different[0]}; "
            "save the model again with this version."
        )
    return tensors
