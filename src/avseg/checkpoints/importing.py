"""Published checkpoints into a folder that this package loads."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from avseg.checkpoints.catalog import Checkpoint


def import_checkpoint(
    files: Sequence[Path],
    output: Path,
    *,
    config: Path | None = None,
    features: Literal["clip", "clap", "mul"] | None = None,
    trained_with: Mapping[str, str] | None = None,
) -> Checkpoint:
    """Put published files together into a model's folder.

    Each file's format is recognised by its keys. An AV2T-SAM file with the files of the CLAP and
    CLIP towers it needs becomes an AV2T-SAM; an EVF-SAM file becomes an EVF-SAM.

    Args:
        files: Published files (.pt, .pth, .bin, .safetensors), or folders of sharded ones.
        output: The folder to make or to replace; it appears when it is complete.
        config: A config.json with the sizes, for a checkpoint that has not the published ones.
        features: What becomes the prompt; None reads it off the checkpoint.
        trained_with: SHA-256 of the file of the "clap" and of the "clip" tower that the adapters
            were trained on; another file is refused. None takes any.

    Returns:
        The imported model.
    """
    raise NotImplementedError(files, output, config, features, trained_with)
