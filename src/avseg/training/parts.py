"""Parts of a model from the runs that trained them."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from avseg.checkpoints.catalog import find_checkpoint
from avseg.checkpoints.known_models import BACKBONES, RELEASES, TOWER_FILES
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

#: The part that is all of what an earlier run of the same task trained.
WHOLE = "model"

#: What the names of a tower's weights begin with in the run that pre-trained it.
TOWER = "tower."
#: The same of the small CLIP's stem, from which others' start.
CLIP_STEM = TOWER + "clip.vision_model.embeddings.patch_embedding."
#: The same of an EVF-SAM, also in a saved one.
SEGMENTER = "segmenter."

#: Attribute of a module that says which part was loaded into it last.
_LOADED = "loaded_part"


@dataclass(frozen=True)
class Part:
    """Weights that a part of a model starts from.

    Attributes:
        weights: The file that holds them.
        prefix: What their names begin with in that file.
        is_published: Whether it is a tower's file as its authors publish it, under their names.
        in_file: Whether frozen weights stay in the file, mapped into memory.
        source: By which name it is published; None for another file.
    """

    weights: Path
    prefix: str = ""
    is_published: bool = False
    in_file: bool = False
    source: str | None = field(default=None, compare=False)


def find_part(source: str, runs: Path, prefix: str) -> Part:
    """Find what a part of a model starts from.

    Args:
        source: A run (its folder, or the name of its folder among the runs), any saved model's
            folder, a published model or tower by its name, or a tower's published file.
        runs: Folder of the runs.
        prefix: What the names of the part's weights begin with in a run or a saved model.

    Returns:
        The weights.

    Raises:
        TrainingError: If the run is not there, or did not come to its end.
        CheckpointError: If a published file cannot be had.
    """
    path = Path(source)
    if path.is_file():
        return Part(path, is_published=True)
    if not _is_published_name(source, runs):
        return Part(find_weights(source, runs), prefix)
    if source in TOWER_FILES:
        from avseg.checkpoints.download import download  # slow to import

        return Part(download(TOWER_FILES[source]), is_published=True, source=source)
    return Part(find_checkpoint(source).folder / WEIGHTS_FILE, prefix, source=source)


def check_source(source: str, runs: Path) -> None:
    """Raise an error if there is nothing that a part of a model can start from; download nothing.

    Args:
        source: As for `find_part`.
        runs: Folder of the runs.

    Raises:
        TrainingError: If the run is missing, or did not finish.
        CheckpointError: If it is a published backbone that has to be downloaded by hand.
    """
    if source in BACKBONES and _is_published_name(source, runs):
        find_checkpoint(source)  # raises the error that explains the download
    elif not Path(source).is_file() and not _is_published_name(source, runs):
        find_weights(source, runs)


def _is_published_name(source: str, runs: Path) -> bool:
    """Return whether a source names published weights; a run of the same name comes first."""
    is_local = Path(source).is_dir() or (runs / source).is_dir()
    return not is_local and source in {*RELEASES, *BACKBONES, *TOWER_FILES}


def find_weights(run: str, runs: Path) -> Path:
    """Find what a run trained.

    Args:
        run: Its folder, or the name of its folder among the runs.
        runs: Folder of the runs.

    Returns:
        The weights file.

    Raises:
        TrainingError: If the run is not there, or did not come to its end.
    """
    folder = Path(run) if Path(run).is_dir() else runs / run
    weights = weights_file(folder)
    if not folder.is_dir():
        raise TrainingError(
            f"start_from: there is no run {run!r}, neither at that path nor in {runs}; train it "
            f"first: avseg train {Path(run).name} --output {folder}. Or name what is published: "
            f"{', '.join([*RELEASES, *TOWER_FILES])}."
        )
    if not weights.is_file():
        raise TrainingError(
            f"start_from: {folder} has no {WEIGHTS_FILE}, so that run did not come to its end; run "
            f"it again, it goes on where it stopped: avseg train {folder.name} --output {folder}"
        )
    return weights


def part_licences(part: Part) -> list[str | None]:
    """Say under which licences the weights are that a part starts from.

    Args:
        part: The part.

    Returns:
        SPDX identifiers; None among them for weights whose owners state none. Empty for what was
        trained from random numbers.
    """
    if not part.is_published:
        return recorded_licences(part.weights.parent)
    from avseg.checkpoints.keymaps.formats import detect_format
    from avseg.checkpoints.reading import read_published

    found = detect_format(read_published(part.weights).tensors)
    return [found.licence] if found else []


def load_parts(modules: Mapping[str, "nn.Module | None"], parts: Mapping[str, Part]) -> None:
    """Load parts of a model from the runs that trained them.

    Args:
        modules: Part to its module, filled in place; None if the model leaves that part out.
        parts: Part to the weights that it starts from.

    Raises:
        TrainingError: If a file does not hold exactly the part.
    """
    for name, part in parts.items():
        module = modules[name]
        if module is not None:
            load_part(module, part)


def load_part(module: "nn.Module", part: Part) -> None:
    """Load a part of the model from the run that trained it.

    Args:
        module: The part; filled in place.
        part: Its weights.

    Raises:
        TrainingError: If the file does not hold exactly the part.
        CheckpointError: If a frozen part of a run is missing, or has changed.
    """
    from avseg.checkpoints.delta import FileWeights, merge_tensors, open_weights
    from avseg.checkpoints.tower_files import read_tower

    wanted = module.state_dict()
    if part.is_published:
        pieces = [FileWeights(read_tower(part.weights, wanted))]
    else:
        pieces = open_weights(part.weights, wanted, part.prefix)
    state = merge_tensors(pieces)
    differences = {
        "missing": sorted(wanted.keys() - state.keys()),
        "unknown": sorted(state.keys() - wanted.keys()),
        "of another shape": [
            f"{name} {tuple(state[name].shape)} in place of {tuple(value.shape)}"
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
        for name, values in module.named_parameters():
            if not values.requires_grad and state[name].dtype == values.dtype:
                values.data = state[name]
        for piece in pieces:
            piece.release_after_use(module)
    module.load_state_dict(state)
    vars(module)[_LOADED] = part


def loaded_parts(model: "nn.Module") -> "list[tuple[FrozenPart, Path]]":
    """List the files from which a model's parts were loaded, and where they are.

    Args:
        model: A model into which `load_parts` has loaded some.

    Returns:
        Of a run that keeps what it trained alone, the files of its frozen parts. A file that has
        gone since is left out.
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
        part.weights, into, part.prefix, is_published=part.is_published, source=part.source
    )
    return [(whole, part.weights)]
