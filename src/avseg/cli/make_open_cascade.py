"""`avseg make-open-cascade`: build a cascade of networks of transformers, without training."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import avseg


def make_open_cascade(
    namer: Path,
    detector: Path,
    sam: Path,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
) -> None:
    """Build an open cascade: one network names the sounds, a detector and SAM 2 segment by name.

    Each folder has the files of one repository of the Hugging Face Hub: config.json,
    model.safetensors, preprocessor_config.json, and the tokenizer. The weights are combined without
    training. The models open-cascade and open-cascade-light are built in this way on first use.

    Args:
        namer: Folder of PE-A-Frame or CLAP.
        detector: Folder of Grounding DINO or OWLv2.
        sam: Folder of SAM 2 or SAM 2.1.
        output: The cascade's folder; it appears when it is complete.
    """
    avseg.make_open_cascade(namer, detector, sam, output)
    print(f"The cascade is in {output}; give it as --model.")
