"""Conversion of other checkpoints to model folders: published files, and runs of this package."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from avseg.checkpoints.delta import PARTS_VARIABLE
from avseg.checkpoints.importing import Features, convert_published
from avseg.checkpoints.loading import merge_frozen_weights
from avseg.checkpoints.model_folder import TRAINED_FILE, Checkpoint
from avseg.errors import CheckpointError


def import_checkpoint(
    files: Sequence[str | Path],
    output: str | Path,
    *,
    config: str | Path | None = None,
    features: Features | None = None,
    trained_with: Mapping[str, str] | None = None,
) -> Checkpoint:
    """Convert published checkpoint files to a model's folder.

    The format of each file is detected from its keys. These combinations are possible:

    - A file of AV2T-SAM with the files of its CLAP and CLIP towers.
    - A file of EVF-SAM with the files of its tokenizer.
    - A file of AuralSAM2, alone if it contains SAM 2, else with the file of SAM 2. The one for
      Ref-AVS also needs DistilRoBERTa's tokenizer, and its weights if it does not contain them.
    - A file of TAViS, which contains ImageBind, with the file of CLIP's tokenizer. The model gets
      the options of the released code.
    - The file of ImageBind with the file of CLIP's tokenizer. The result segments nothing by
      itself; training runs start from it.
    - The folder of a run that saved only its trained weights. The result has all weights.

    Tensors keep their published dtype, and stay on disk until they are converted. No code in a file
    is run: pickles are read as tensors only.

    Args:
        files: Published files (.pt, .pth, .bin, .safetensors) or folders of sharded files, and the
            files of a tokenizer: for SentencePiece the model, and `added_tokens.json` if it exists.
            Or the folder of one run.
        output: The folder to write, or an imported folder to replace; it appears when it is
            complete.
        config: A config.json with the sizes, if they are not the published ones.
        features: Features of the prompt of AV2T-SAM. None selects the features of the training: a
            projection whose bias is all zero was never trained.
        trained_with: SHA-256 of the files of the "clap" and the "clip" tower in the training of the
            adapters; other files are rejected. None selects the hashes that the checkpoint records,
            and accepts any file if it records none.

    Returns:
        The imported model.

    Raises:
        CheckpointError: If a file is damaged, of an unknown format, or has other tensors than its
            format; if files are missing or superfluous; if a tower is not that of the training.
        OutputError: If the folder cannot be written, or has other content.
    """
    paths, output = [Path(file) for file in files], Path(output)
    run = next((path for path in paths if (path / TRAINED_FILE).is_file()), None)
    if run is None:
        sizes = None if config is None else Path(config)
        return convert_published(paths, output, sizes, features, trained_with)
    if len(paths) > 1:
        raise CheckpointError(
            f"{run}: is a run, which is converted alone; give no other file, and name the files of "
            f"its frozen parts in the environment variable {PARTS_VARIABLE}."
        )
    return merge_frozen_weights(run, output)
