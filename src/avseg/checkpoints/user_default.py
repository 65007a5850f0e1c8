"""The user's default model, from the environment or from the file of `avseg models --use`."""

import os
import sys
from pathlib import Path

from avseg.atomic import replace_when_complete
from avseg.checkpoints.catalog import find_checkpoint, list_models
from avseg.checkpoints.known_models import DEFAULT_MODEL
from avseg.checkpoints.manual_models import MANUAL_MODELS

#: Environment variable with the name or folder of the default model.
MODEL_VARIABLE = "AVSEG_MODEL"


def default_model() -> str:
    """Return the model of `avseg segment` without `--model`.

    Returns:
        Name or folder: the value of AVSEG_MODEL if it is set, else the choice of `avseg models
        --use`, else the small model in the package.
    """
    file = default_model_file()
    stored = file.read_text(encoding="utf-8").strip() if file.is_file() else ""
    return os.environ.get(MODEL_VARIABLE) or stored or DEFAULT_MODEL


def set_default_model(name_or_folder: str) -> str:
    """Store the user's default model; it is not downloaded.

    Args:
        name_or_folder: Name from `list_models`, or the folder of a saved model.

    Returns:
        The stored value: the name, or the absolute path of the folder.

    Raises:
        CheckpointError: If there is no such model, or it has to be downloaded by hand.
        OutputError: If the file cannot be written.
    """
    value = name_or_folder
    names = {listing.name for listing in list_models()} - MANUAL_MODELS.keys()
    if value not in names:
        value = str(find_checkpoint(value).folder.resolve())
    file = default_model_file()
    with replace_when_complete(file) as partial:
        partial.write_text(f"{value}\n", encoding="utf-8")
    return value


def default_model_file() -> Path:
    """Return the path of the file with the user's default model; it need not exist.

    Returns:
        `avseg/default-model` in the folder of the operating system for a user's settings.
    """
    if sys.platform == "darwin":
        settings = Path.home() / "Library" / "Application Support"
    elif sys.platform == "win32":
        settings = Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    else:
        settings = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return settings / "avseg" / "default-model"
