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
    """Convert published checkpoint files to a model folder, which --model accepts.

    The format of each file is detected from its keys. Give AV2T-SAM with the CLAP and CLIP files
    that it needs, EVF-SAM with its tokenizer, TAViS with CLIP's tokenizer, or ImageBind with CLIP's
    tokenizer, from which recipes start. No code in a file is run: pickles are read as tensors only.
    The folder of a run that saved only its trained weights (trained.safetensors) is merged with the
    files from which the run started.

    Args:
        file: Published files (.pt, .pth, .bin, .safetensors), folders of sharded files, and files
            of a tokenizer; or the folder of one run.
        output: The model's folder; it appears when it is complete.
        features: Features that prompt AV2T-SAM; by default the features with which the checkpoint
            was trained.
        config: A config.json with the sizes of the model, if they are not the published sizes.
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
    # An ImageBind alone is no model that segments: recipes for TAViS start from it.
    if not missing_files(output):
        use = "give it as --model"
    else:
        use = f"recipes start from it: --set start_from.imagebind={output}"
    console.print(Text(f"The model is in {output}; {use}."))
    for licence in restrictions([checkpoint.licence]):
        console.print(Text(f"{licence} allows no commercial use.", "yellow"))
