"""`avseg make-cascade`: build a cascade of MS-CLAP and an EVF-SAM or SAM 3, without training."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

import avseg


def make_cascade(
    segmenter: str,
    clap: Path,
    tokenizer: Path,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
) -> None:
    """Build a cascade: MS-CLAP names the sounding objects, EVF-SAM or SAM 3 segments them by name.

    The weights are combined without training.

    Args:
        segmenter: Name of an EVF-SAM or of sam3, or the folder of a saved one.
        clap: MS-CLAP 2023's file, CLAP_weights_2023.pth.
        tokenizer: GPT-2's tokenizer.json, MS-CLAP's tokenizer.
        output: The cascade's folder; it appears when it is complete.
    """
    cascade = avseg.make_cascade(segmenter, clap, tokenizer, output)
    print(f"The cascade is in {output}; give it as --model.")
    if cascade.notice is not None:
        Console(stderr=True).print(Text(cascade.notice, "yellow"), soft_wrap=True)
