"""Record of the starts of a training run: software, device, start weights, and time.

A run that was stopped and resumed has several starts. transformers is imported inside the functions
that need it.
"""

import json
import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avseg.atomic import replace_when_complete
from avseg.checkpoints.model_folder import (
    ENVIRONMENT_FILE,
    PARSE_ERRORS,
    file_sha256,
    restrictions,
)
from avseg.errors import TrainingError
from avseg.training.parts import part_licences
from avseg.training.validation import Plan

if TYPE_CHECKING:
    from transformers import TrainingArguments

_log = logging.getLogger(__name__)

#: File with the recipe of a run, changes from the command line included.
RECIPE_FILE = "recipe.json"


def record_start(
    plan: Plan,
    output: Path,
    data: Path | None,
    checkpoint: Path | None,
    arguments: "TrainingArguments",
) -> None:
    """Write the recipe, and append this start to the record of the run's starts.

    Args:
        plan: The validated recipe.
        output: Folder of the run, created if it is missing.
        data: Folder of the data sets, if any.
        checkpoint: Checkpoint from which this start continues; None at step 0.
        arguments: Options of the trainer.

    Raises:
        TrainingError: If the record is damaged, or a frozen part has changed since the first start.
    """
    from avseg.environment import describe_environment

    output.mkdir(parents=True, exist_ok=True)
    write_json(output / RECIPE_FILE, asdict(plan.recipe))
    starts = _read_starts(output / ENVIRONMENT_FILE)
    parts = {
        name: {
            "path": str(part.weights),
            "sha256": file_sha256(part.weights),
            "licences": part_licences(part),
        }
        for name, part in plan.parts.items()
    }
    if parts:
        _warn_of_licences(output, parts)
    # A start without a checkpoint begins at step 0, and may begin with other weights than an
    # earlier one; checkpoints are of the last such start.
    beginnings = [each for each in starts if each["resumed_from"] is None]
    if beginnings and checkpoint is not None:
        _check_same_parts(output, beginnings[-1]["parts"], parts)
    start = {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "resumed_from": checkpoint and checkpoint.name,
        "parts": parts,
        "data": None if data is None else str(data),
        "bf16": arguments.bf16,  # may differ from the recipe's, see `training_arguments`
    }
    environment = describe_environment(arguments.device)
    write_json(output / ENVIRONMENT_FILE, [*starts, start | environment])


@dataclass(frozen=True)
class TimeSpent:
    """Time that all starts of a run took together.

    Attributes:
        hours: Time on the clock.
        cpu_hours: Processor time of the training process, without the workers that load data.
    """

    hours: float
    cpu_hours: float


def record_time(output: Path, seconds: float, cpu_seconds: float) -> None:
    """Write the time of the last start into the record of the run's starts.

    Args:
        output: Folder of the run.
        seconds: Time since that start.
        cpu_seconds: Processor time since that start.
    """
    *earlier, last = _read_starts(output / ENVIRONMENT_FILE)
    last |= {"seconds": round(seconds, 1), "cpu_seconds": round(cpu_seconds, 1)}
    write_json(output / ENVIRONMENT_FILE, [*earlier, last])


def read_time(output: Path) -> TimeSpent:
    """Read the time that a run has taken; of a killed start, the time up to its last checkpoint.

    Args:
        output: Folder of the run.

    Returns:
        The time; 0 if it was not recorded.

    Raises:
        TrainingError: If the record is damaged.
    """
    starts = _read_starts(output / ENVIRONMENT_FILE)
    seconds, cpu_seconds = (
        sum(float(start.get(name, 0)) for start in starts) for name in ("seconds", "cpu_seconds")
    )
    return TimeSpent(seconds / 3600, cpu_seconds / 3600)


def _read_starts(path: Path) -> list[dict[str, Any]]:
    """Read the record of a run's starts; empty if there is none."""
    starts = read_json(path)
    if starts is None:
        return []
    try:
        for start in starts:
            {part["sha256"] for part in start["parts"].values()}, start["resumed_from"]
    except PARSE_ERRORS as error:
        raise TrainingError(
            f"{path}: is no record of a run ({error!r}); restore it, or choose another folder."
        ) from error
    return list(starts)


def _warn_of_licences(output: Path, parts: dict[str, dict[str, Any]]) -> None:
    """Log a warning if weights to start from may not be used commercially."""
    limits = restrictions(licence for part in parts.values() for licence in part["licences"])
    if limits:
        _log.warning(
            "%s: the run starts from weights under %s, which allows no commercial use; the run's "
            "folder records the licence.",
            output,
            " and ".join(limits),
        )


def _check_same_parts(
    output: Path, before: dict[str, dict[str, Any]], now: dict[str, dict[str, Any]]
) -> None:
    """Raise an error if frozen weights have changed since the run began.

    Checkpoints do not contain frozen weights, so the resumed run would train another model.
    """
    for name, part in now.items():
        if name in before and before[name]["sha256"] != part["sha256"]:
            raise TrainingError(
                f"{output}: this run began with another {name} than {part['path']} is now "
                f"(SHA-256 {before[name]['sha256'][:12]}..., now {part['sha256'][:12]}...); "
                "restore the earlier file, or choose another folder for a new run."
            )


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Args:
        path: The file.

    Returns:
        Its content; None if it is missing or incomplete.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def write_json(path: Path, content: object) -> None:
    """Write a JSON file; it is complete or not there.

    Args:
        path: The file.
        content: Its content.
    """
    with replace_when_complete(path) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
