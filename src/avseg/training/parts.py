"""Parts of a model from the runs that trained them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from avseg.errors import TrainingError

#: What a run leaves of the model it trained.
WEIGHTS_FILE = "model.safetensors"

#: The part that is all of what an earlier run of the same task trained.
WHOLE = "model"

#: What the names of a tower's weights begin with in the run that pre-trained it.
TOWER = "tower."
#: The same of an EVF-SAM, also in a saved one.
SEGMENTER = "segmenter."


@dataclass(frozen=True)
class Part:
    """Weights that a part of a model starts from.

    Attributes:
        weights: The file that holds them.
        prefix: What their names begin with in that file.
    """

    weights: Path
    prefix: str = ""


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
    weights = folder / WEIGHTS_FILE
    if not folder.is_dir():
        raise TrainingError(
            f"start_from: there is no run {run!r}, neither at that path nor in {runs}; train it "
            f"first: avseg train {Path(run).name} --output {folder}"
        )
    if not weights.is_file():
        raise TrainingError(
            f"start_from: {folder} has no {WEIGHTS_FILE}, so that run did not come to its end; run "
            f"it again, it goes on where it stopped: avseg train {folder.name} --output {folder}"
        )
    return weights


def load_parts(modules: Mapping[str, nn.Module | None], parts: Mapping[str, Part]) -> None:
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


def load_part(module: nn.Module, part: Part) -> None:
    """Load a part of the model from the run that trained it.

    Args:
        module: The part; filled in place.
        part: Its weights.

    Raises:
        TrainingError: If the file does not hold exactly the part.
    """
    state = {
        name.removeprefix(part.prefix): value
        for name, value in load_file(part.weights).items()
        if name.startswith(part.prefix)
    }
    wanted = module.state_dict()
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
    module.load_state_dict(state)
