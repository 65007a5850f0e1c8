"""`avseg make-cascade`: CLAP before an EVF-SAM, without training."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from avseg.checkpoints import find_checkpoint


def make_cascade(
    evf_sam: str,
    clap: Path,
    tokenizer: Path,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
) -> None:
    """Put CLAP before an EVF-SAM: what sounds is named, and marked by its name. No training.

    Args:
        evf_sam: Name of an EVF-SAM, or the folder of a saved one.
        clap: MS-CLAP 2023's file, CLAP_weights_2023.pth.
        tokenizer: GPT-2's tokenizer.json, which MS-CLAP reads names with.
        output: The cascade's folder; it appears when it is complete.
    """
    from avseg.checkpoints import make_cascade as cascade  # loads torch

    cascade.make_cascade(find_checkpoint(evf_sam), clap, tokenizer, output)
    print(f"The cascade is in {output}; give it as --model.")
