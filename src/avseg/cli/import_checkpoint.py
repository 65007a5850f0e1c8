"""`avseg import-checkpoint`: published files into a model's folder."""

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from avseg.errors import CheckpointError


def import_checkpoint(
    file: Annotated[list[Path], Parameter(negative="")],
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
    features: Literal["clip", "clap", "mul"] | None = None,
    config: Path | None = None,
) -> None:
    """Put published checkpoints together into a folder that --model takes.

    What each file is, is read off its keys: AV2T-SAM with the CLAP and CLIP files it needs, or
    EVF-SAM by itself, TAViS with CLIP's tokenizer, or ImageBind with it, from which recipes start.
    Nothing in a file is run: pickles are read as tensors only. The folder of a run that keeps what
    it trained alone (trained.safetensors) is put together with the files that it started from.

    Args:
        file: Published files (.pt, .pth, .bin, .safetensors), or folders of sharded ones, and those
            of a tokenizer; or a run.
        output: The model's folder; it appears when it is complete.
        features: What becomes AV2T-SAM's prompt; by default what the checkpoint was trained with.
        config: A config.json with the sizes, where they are not the published ones.
    """
    from avseg.checkpoints import importing  # loads torch
    from avseg.checkpoints.delta import PARTS_VARIABLE
    from avseg.checkpoints.loading import merge_frozen_weights
    from avseg.checkpoints.model_folder import (
        SOURCE_FILE,
        TRAINED_FILE,
        missing_files,
        restrictions,
    )

    run = next((path for path in file if (path / TRAINED_FILE).is_file()), None)
    if run is not None:
        if len(file) > 1:
            raise CheckpointError(
                f"{run}: is a run, which is made whole by itself; give it alone, and name files of "
                f"its frozen parts in the environment variable {PARTS_VARIABLE}."
            )
        merge_frozen_weights(run, output)
        Console().print(Text(f"The whole model is in {output}; give it as --model."))
        return
    checkpoint = importing.import_checkpoint(file, output, config=config, features=features)
    path = checkpoint.folder / SOURCE_FILE
    table = Table("file", "format", "licence", "SHA-256")
    for source in json.loads(path.read_text(encoding="utf-8"))["sources"]:
        licence = source["licence"] or "none stated"
        table.add_row(Text(source["file"]), source["format"], licence, source["sha256"][:12])
    if not missing_files(output):
        use = "give it as --model"
    else:
        use = f"recipes start from it: --set start_from.imagebind={output}"
    Console().print(table, Text(f"The model is in {output}; {use}."))
    for licence in restrictions([checkpoint.licence]):
        Console().print(Text(f"{licence} allows no commercial use.", "yellow"))
