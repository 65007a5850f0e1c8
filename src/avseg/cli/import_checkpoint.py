"""`avseg import-checkpoint`: convert published checkpoint files to a model's folder."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

import avseg
from avseg.checkpoints.model_folder import missing_files, recorded_origins, restrictions


def import_checkpoint(
    file: Annotated[list[Path], Parameter(negative="")],
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
    features: Literal["clip", "clap", "mul"] | None = None,
    config: Path | None = None,
) -> None:
    """Convert published checkpoint files to a folder that --model accepts.

    The format of each file is detected from its keys: AV2T-SAM with the CLAP and CLIP files it
    needs, EVF-SAM with its tokenizer, TAViS with CLIP's tokenizer, or ImageBind with CLIP's
    tokenizer, which recipes start from. No code in a file is run: pickles are read as tensors only.
    A run that saved only its trained weights (trained.safetensors) is merged with the files that it
    started from.

    Args:
        file: Published files (.pt, .pth, .bin, .safetensors), or folders of sharded ones, and those
            of a tokenizer; or the folder of one run.
        output: The model's folder; it appears when it is complete.
        features: Features that prompt AV2T-SAM; by default those that the checkpoint was trained
            with.
        config: A config.json with the sizes, if they are not the published ones.
    """
    checkpoint = avseg.import_checkpoint(file, output, config=config, features=features)
    console = Console()
    origins = recorded_origins(checkpoint.folder)
    if origins:
        table = Table("file", "format", "licence", "SHA-256")
        for origin in origins:
            licence = origin["licence"] or "none stated"
            table.add_row(Text(origin["file"]), origin["format"], licence, origin["sha256"][:12])
        console.print(table)
    if not missing_files(output):
        use = "give it as --model"
    else:
        use = f"recipes start from it: --set start_from.imagebind={output}"
    console.print(Text(f"The model is in {output}; {use}."))
    for licence in restrictions([checkpoint.licence]):
        console.print(Text(f"{licence} allows no commercial use.", "yellow"))
