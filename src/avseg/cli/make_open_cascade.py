"""`avseg make-open-cascade`: build a cascade of networks of transformers, without training."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

import avseg


def make_open_cascade(
    namer: Path,
    detector: Path,
    sam: Path | None = None,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
) -> None:
    """Build an open cascade: one network names the sounds, others segment the named objects.

    Each folder has the files of one repository of the Hugging Face Hub: config.json,
    model.safetensors, the file of the preprocessing, and the tokenizer. The weights are combined
    without training. The models open-cascade, open-cascade-light and open-cascade-sam3 are built in
    this way on first use.

    Args:
        namer: Folder of PE-A-Frame or CLAP.
        detector: Folder of Grounding DINO or OWLv2, or of SAM 3, which segments by itself.
        sam: Folder of SAM 2 or SAM 2.1; none with SAM 3.
        output: The cascade's folder; it appears when it is complete.
    """
    cascade = avseg.make_open_cascade(namer, detector, sam, output)
    print(f"The cascade is in {output}; give it as --model.")
    if cascade.notice is not None:
        Console(stderr=True).print(Text(cascade.notice, "yellow"), soft_wrap=True)
