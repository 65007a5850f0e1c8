"""Parts of a model that start from trained weights: finding the weights, and loading them.

The functions that find weights import no torch, so that a wrong `start_from` is reported at once.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from avseg.checkpoints.catalog import find_checkpoint
from avseg.checkpoints.known_models import RELEASES, TOWER_FILES
from avseg.checkpoints.manual_models import MANUAL_MODELS
from avseg.checkpoints.model_folder import (
    TRAINED_FILE,
    WEIGHTS_FILE,
    recorded_licences,
    weights_file,
)
from avseg.errors import CheckpointError, TrainingError

if TYPE_CHECKING:
    from torch import nn

    from avseg.checkpoints.delta import FrozenPart

_log = logging.getLogger(__name__)

#: Name of the part that is the whole model of an earlier run of the same task.
WHOLE = "model"

#: Prefix of the names of a tower's weights in the run that pre-trained it.
TOWER = "tower."
#: Prefix of the stem of the small CLIP, from which the stems of other models start.
CLIP_STEM = TOWER + "clip.vision_model.embeddings.patch_embedding."
#: Prefix of an EVF-SAM, in a run and in a saved model.
SEGMENTER = "segmenter."

#: Attribute of a module that stores the `Part` loaded into it last.
_LOADED = "loaded_part"


@dataclass(frozen=True)
class Part:
    """Weights that a part of a model starts from.

    Attributes:
        weights: File with the weights.
        prefix: Prefix of the weights' names in that file.
        is_published: Whether the file is a tower as its authors publish it, with their names of the
            weights.
        in_file: Whether frozen weights stay in the memory-mapped file.
        published_name: Name under which avseg knows the published file; None for another file.
    """

    weights: Path
    prefix: str = ""
    is_published: bool = False
    in_file: bool = False
    published_name: str | None = field(default=None, compare=False)


def find_part(origin: str, runs: Path, prefix: str) -> Part:
    """Find the weights that a part of a model starts from; download them if necessary.

    Args:
        origin: A run (its folder, or the name of its folder among the runs), the folder of any
            saved model, the name of a published model or tower, or the published file of a tower.
        runs: Folder of the runs.
        prefix: Prefix of the names of the part's weights in a run or a saved model.

    Returns:
        The weights.

    Raises:
        TrainingError: If the run is missing, or did not finish.
        CheckpointError: If a published file cannot be downloaded.
    """
    path = Path(origin)
    if path.is_file():
        return Part(path, is_published=True)
    if not _is_published_name(origin, runs):
        return Part(find_weights(origin, runs), prefix)
    if origin in TOWER_FILES:
        from avseg.checkpoints.download import download  # slow to import

        return Part(download(TOWER_FILES[origin]), is_published=True, published_name=origin)
    return Part(find_checkpoint(origin).folder / WEIGHTS_FILE, prefix, published_name=origin)


def check_origin(origin: str, runs: Path) -> None:
    """Validate that a part of a model can start from an origin; download nothing.

    Args:
        origin: As for `find_part`.
        runs: Folder of the runs.

    Raises:
        TrainingError: If the run is missing, or did not finish.
        CheckpointError: If it is a published model that must be downloaded by hand.
    """
    if origin in MANUAL_MODELS and _is_published_name(origin, runs):
        find_checkpoint(origin)  # raises the error that explains the download
    elif not Path(origin).is_file() and not _is_published_name(origin, runs):
        find_weights(origin, runs)


def _is_published_name(origin: str, runs: Path) -> bool:
    """Return whether an origin names published weights; a folder of that name takes precedence."""
    is_local = Path(origin).is_dir() or (runs / origin).is_dir()
    return not is_local and origin in {*RELEASES, *MANUAL_MODELS, *TOWER_FILES}


def find_weights(run: str, runs: Path) -> Path:
    """Find the weights file of a run.

    Args:
        run: Folder of the run, or the name of its folder among the runs.
        runs: Folder of the runs.

    Returns:
        The weights file.

    Raises:
        TrainingError: If the run is missing, or did not finish.
    """
    # A path is tried first, so that a run in any folder can be named.
    folder = Path(run) if Path(run).is_dir() else runs / run
    weights = weights_file(folder)
    if not folder.is_dir():
        raise TrainingError(
            f"start_from: there is no run {run!r}, neither at that path nor in {runs}; train it "
            f"first: avseg train {Path(run).name} --output {folder}. Or name published weights: "
            f"{', '.join([*RELEASES, *TOWER_FILES])}."
        )
    if not weights.is_file():
        raise TrainingError(
            f"start_from: {folder} has no {WEIGHTS_FILE}, so that run did not finish; start it "
            f"again, it continues where it stopped: avseg train {folder.name} --output {folder}"
        )
    return weights


def part_licences(part: Part) -> list[str | None]:
    """Return the licences of the weights that a part starts from.

    Args:
        part: The part.

    Returns:
        SPDX identifiers, with None for weights whose owners state no licence. Empty for weights
        that were trained from a random start.
    """
    if not part.is_published:
        return recorded_licences(part.weights.parent)
    from avseg.checkpoints.keymaps.formats import detect_format
    from avseg.checkpoints.reading import read_published

    found = detect_format(read_published(part.weights).tensors)
    return [found.licence] if found else []


def load_parts(modules: Mapping[str, "nn.Module | None"], parts: Mapping[str, Part]) -> None:
    """Load the parts of a model.

    Args:
        modules: Name of a part -> its module, filled in place; None if the model has no such part.
        parts: Name of a part -> the weights that it starts from.

    Raises:
        TrainingError: If a file does not have exactly the part's weights.
    """
    for name, part in parts.items():
        module = modules[name]
        if module is not None:
            load_part(module, part)


def load_part(module: "nn.Module", part: Part) -> None:
    """Load the weights of one part of a model.

    Args:
        module: Module of the part; filled in place.
        part: Weights to load.

    Raises:
        TrainingError: If the file does not have exactly the module's weights.
        CheckpointError: If the run refers to frozen weights in a file that is missing, or has
            changed.
    """
    from avseg.checkpoints.delta import FileWeights, merge_tensors, open_weights
    from avseg.checkpoints.tower_files import read_tower

    # Shapes and keys are compared here, for an error that names the file and the first key.
    wanted = module.state_dict()
    if part.is_published:
        files = [FileWeights(read_tower(part.weights, wanted))]
    else:
        files = open_weights(part.weights, wanted, part.prefix)
    state = merge_tensors(files)
    differences = {
        "missing": sorted(wanted.keys() - state.keys()),
        "unknown": sorted(state.keys() - wanted.keys()),
        "of another shape": [
            f"{name} {tuple(state[name].shape)} instead of {tuple(value.shape)}"
            for name, value in wanted.items()
            if name in state and state[name].shape != value.shape
        ],
    }
    wrong = [f"{len(names)} {kind} ({names[0]})" for kind, names in differences.items() if names]
    if wrong:
        raise TrainingError(
            f"{part.weights}: the weights {part.prefix}* do not fit: {', '.join(wrong)}; was that "
            "part trained with the same model options?"
        )
    if part.in_file and not part.is_published:
        # The parameter itself becomes the mapped tensor; `load_state_dict` would copy it.
        for name, values in module.named_parameters():
            if not values.requires_grad and state[name].dtype == values.dtype:
                values.data = state[name]
        for file in files:
            file.release_after_use(module)
    module.load_state_dict(state)
    # `loaded_parts` reads this when the run saves its trained weights only.
    vars(module)[_LOADED] = part


def loaded_parts(model: "nn.Module") -> "list[tuple[FrozenPart, Path]]":
    """Return the files from which the parts of a model were loaded.

    Args:
        model: A model after `load_parts`.

    Returns:
        Description and path of each file. For a run that saved its trained weights only, these are
        the files with its frozen weights. A file that has been deleted since is left out.
    """
    found: list[tuple[FrozenPart, Path]] = []
    for path, module in model.named_modules():
        part: Part | None = vars(module).get(_LOADED)
        if part is not None:
            try:
                found += _files_of(part, f"{path}." if path else "")
            except (CheckpointError, OSError) as error:
                _log.warning("%s Its weights are saved with the run.", error)
    return found


def _files_of(part: Part, into: str) -> "list[tuple[FrozenPart, Path]]":
    from avseg.checkpoints.delta import FrozenPart, frozen_parts_of

    if part.weights.name == TRAINED_FILE:
        return frozen_parts_of(part.weights, into, part.prefix)
    whole = FrozenPart.of_file(
        part.weights, into, part.prefix, is_published=part.is_published, source=part.published_name
    )
    return [(whole, part.weights)]
