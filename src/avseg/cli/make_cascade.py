"""`avseg make-cascade`: build a cascade of MS-CLAP and an EVF-SAM, without training."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import avseg


def make_cascade(
    evf_sam: str,
    clap: Path,
    tokenizer: Path,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
) -> None:
    """Build a cascade model: MS-CLAP names the sounding objects, EVF-SAM segments them by name.

    The weights are combined without training.

    Args:
        evf_sam: Name of an EVF-SAM, or the folder of a saved one.
        clap: MS-CLAP 2023's file, CLAP_weights_2023.pth.
        tokenizer: GPT-2's tokenizer.json, MS-CLAP's tokenizer.
        output: The cascade's folder; it appears when it is complete.
    """
    avseg.make_cascade(evf_sam, clap, tokenizer, output)
    print(f"The cascade is in {output}; give it as --model.")
