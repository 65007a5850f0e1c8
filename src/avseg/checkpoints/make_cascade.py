"""A cascade out of an EVF-SAM that is here and MS-CLAP's published file; nothing is trained."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from avseg.atomic import replace_when_complete
from avseg.backbones.clap_text import ClapTokenizer
from avseg.backbones.tokenizing import load_tokenizer
from avseg.checkpoints.importing import writing
from avseg.checkpoints.keymaps.clap import CLAP_WITH_TEXT
from avseg.checkpoints.keymaps.formats import detect_format
from avseg.checkpoints.model_folder import (
    CONFIG_FILE,
    SOURCE_FILE,
    WEIGHTS_FILE,
    Checkpoint,
    file_sha256,
)
from avseg.checkpoints.reading import read_published
from avseg.errors import CheckpointError, OutputError
from avseg.models.cascade import CascadeConfig, CascadeModel, CascadeProcessor
from avseg.models.evf_sam import EvfSamConfig

#: What the cascade's model calls its EVF-SAM, as EVF-SAM's own does.
_SEGMENTER = "segmenter."


def make_cascade(
    evf_sam: Checkpoint,
    clap: Path,
    tokenizer: Path,
    output: Path,
    config: CascadeConfig | None = None,
) -> Checkpoint:
    """Put MS-CLAP before an EVF-SAM; tensors keep the dtype they are saved in.

    Args:
        evf_sam: A saved EVF-SAM, from `find_checkpoint`.
        clap: MS-CLAP 2023's file.
        tokenizer: GPT-2's tokenizer.json.
        output: The folder to make; it appears when it is complete.
        config: Sizes of CLAP, and the rule; EVF-SAM's own sizes take the place of those in it. None
            for the published.

    Returns:
        The cascade, with AVSBench's vocabulary.

    Raises:
        CheckpointError: If a file is not what it should be, or damaged.
        OutputError: If the folder is there already, or cannot be written.
        PromptError: If a tokenizer cannot read the vocabulary.
    """
    if output.exists():
        raise OutputError(f"{output}: is there already; choose another folder.")
    sizes = _sizes(evf_sam, config or CascadeConfig())
    processor = CascadeProcessor.from_config(
        sizes, ClapTokenizer.from_file(tokenizer), load_tokenizer(evf_sam.folder)
    )
    processor = processor.with_vocabulary(processor.vocabulary)  # which must be readable
    with torch.device("meta"):
        state = CascadeModel(sizes).state_dict()
    tensors = _heard(clap, state) | _seen(evf_sam, state)
    with writing(output, tensors), replace_when_complete(output) as folder:
        folder.mkdir()
        save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
        (folder / WEIGHTS_FILE).chmod(0o644)  # safetensors makes it readable by its owner only
        sizes.save_pretrained(folder)
        processor.save_pretrained(folder)
        sources = [
            {"role": role, "file": file.name, "sha256": file_sha256(file), "licence": licence}
            for role, file, licence in (
                ("evf-sam", evf_sam.folder / WEIGHTS_FILE, evf_sam.licence),
                ("clap", clap, "MS-PL"),
                ("tokenizer", tokenizer, "MIT"),
            )
        ]
        described = json.dumps({"sources": sources}, indent=2) + "\n"
        (folder / SOURCE_FILE).write_text(described, encoding="utf-8")
    return Checkpoint(output.resolve().name, output)


def _sizes(evf_sam: Checkpoint, config: CascadeConfig) -> CascadeConfig:
    """Take EVF-SAM's sizes and answers into the cascade's configuration."""
    path = evf_sam.folder / CONFIG_FILE
    if json.loads(path.read_text(encoding="utf-8")).get("model_type") != EvfSamConfig.model_type:
        raise CheckpointError(f"{evf_sam.folder}: is no EVF-SAM; give the folder of one.")
    own: Any = EvfSamConfig.from_pretrained(evf_sam.folder)
    changed: Any = config.replace(
        sam_config=own.sam_config,
        beit3_config=own.beit3_config,
        keep_proportions=own.keep_proportions,
        multimask=own.multimask,
        suppress_absent=own.suppress_absent,
    )
    sizes: CascadeConfig = changed
    return sizes


def _heard(clap: Path, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Bring CLAP's file under the cascade's names."""
    published = read_published(clap)
    found = detect_format(published.tensors)
    if found is None or found.role != "clap":
        raise CheckpointError(
            f"{clap}: is {found.title if found else 'of no format known here'}; give MS-CLAP "
            "2023's file, CLAP_weights_2023.pth."
        )
    expected = {name: values for name, values in state.items() if not name.startswith(_SEGMENTER)}
    try:
        converted = CLAP_WITH_TEXT.fit(published.tensors, expected).tensors
    except CheckpointError as error:
        raise CheckpointError(
            f"{clap}: does not fit MS-CLAP 2023: {error}. Is it the whole file?"
        ) from error
    return {name: values.contiguous() for name, values in converted.items()}


def _seen(evf_sam: Checkpoint, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take EVF-SAM's tensors, which have the same names in both models."""
    weights = evf_sam.folder / WEIGHTS_FILE
    tensors = read_published(weights).tensors
    expected = {name for name in state if name.startswith(_SEGMENTER)}
    different = sorted(expected ^ tensors.keys())
    if different:
        raise CheckpointError(
            f"{weights}: {len(different)} keys are missing or unexpected, first {different[0]}; "
            "save the EVF-SAM again with this version."
        )
    return tensors
