"""Reading of published files of towers and of SAM 2, with the key map of their format."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from avseg.checkpoints.keymaps.formats import (
    FORMATS,
    SAM2_KEY_MAPS,
    TOWER_KEY_MAPS,
    TOWER_PREFIXES,
    Format,
    detect_format,
)
from avseg.checkpoints.keymaps.key_map import Converted, KeyMap
from avseg.checkpoints.reading import PublishedFile, read_published
from avseg.errors import CheckpointError

#: Largest accepted difference between a file's mel filters and those computed here, both float32.
_MEL_TOLERANCE = 1e-6


@dataclass(frozen=True)
class RecognisedFile:
    """A published file and its format.

    Attributes:
        file: The file.
        format: Its format.
    """

    file: PublishedFile
    format: Format


def read_tower(path: Path, tower: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Read the published file of a tower (CLAP, CLIP or ImageBind) or of SAM 2.

    Args:
        path: The file.
        tower: State dict of the tower; only names and shapes are used.

    Returns:
        The tensors under the names of `tower`.

    Raises:
        CheckpointError: If the file is damaged, of another format, or has other keys, shapes or mel
            filters than the tower.
    """
    file = read_published(path)
    found = detect_format(file.tensors)
    if found is not None and found.name == "sam2":
        # The file contains the image model and the memory. The names of `tower` show which is
        # needed.
        prefixes = [prefix for prefix in SAM2_KEY_MAPS if any(n.startswith(prefix) for n in tower)]
        if prefixes:
            key_map = SAM2_KEY_MAPS[prefixes[0]]
            return fit_file(RecognisedFile(file, found), key_map, tower).tensors
    if found is None or found.role not in TOWER_PREFIXES:
        raise CheckpointError(
            f"{path}: is {found.title if found else 'of an unknown format'}; give the file of "
            f"{' or '.join(map(role_title, TOWER_PREFIXES))}."
        )
    # The key maps have the names of a whole model, so the prefix of the tower is added for the
    # conversion and removed from the result.
    prefix = TOWER_PREFIXES[found.role]
    expected = {prefix + name: values for name, values in tower.items()}
    tensors = fit_tower(RecognisedFile(file, found), expected).tensors
    return {name.removeprefix(prefix): values for name, values in tensors.items()}


def fit_tower(recognised: RecognisedFile, expected: Mapping[str, Tensor]) -> Converted:
    """Convert the file of a tower, and validate that it fits.

    Args:
        recognised: The file.
        expected: Tensors of the tower by their names in the model; only shapes are used, except for
            the mel filters.

    Returns:
        The converted tensors.

    Raises:
        CheckpointError: If the file has other keys, shapes or mel filters than the tower.
    """
    converted = fit_file(recognised, TOWER_KEY_MAPS[recognised.format.name], expected)
    _check_mel_bank(recognised, converted.tensors, expected)
    return converted


def fit_file(
    recognised: RecognisedFile, key_map: KeyMap, expected: Mapping[str, Tensor]
) -> Converted:
    """Convert a file for a model, and validate that it fits; an error contains its path.

    Args:
        recognised: The file.
        key_map: Key map of its format.
        expected: Tensors of the model; only names and shapes are used.

    Returns:
        The converted tensors.

    Raises:
        CheckpointError: If keys are missing, unexpected or of another shape.
    """
    try:
        return key_map.fit(recognised.file.tensors, expected)
    except CheckpointError as error:
        raise CheckpointError(
            f"{recognised.file.path}: does not fit the model's {recognised.format.title}: {error}. "
            "Is it the right file, and complete? For sizes that are not the published ones, give a "
            "configuration file."
        ) from error


def role_title(role: str) -> str:
    """Return the title of the first format with a role."""
    return next(known.title for known in FORMATS.values() if known.role == role)


def _check_mel_bank(
    recognised: RecognisedFile, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> None:
    """Raise an error if the file's mel filters are not those of the configuration.

    The model uses the filters of the file, so that it reproduces published results exactly.
    """
    name = TOWER_PREFIXES["clap"] + "mel_bank"
    # A model on the device "meta" has no weights, but its mel filters, a constant, have values.
    if name not in expected:
        return
    difference = (tensors[name].float() - expected[name]).abs().max().item()
    if difference > _MEL_TOLERANCE:
        raise CheckpointError(
            f"{recognised.file.path}: its mel filters differ by {difference:.1e} from those of the "
            f"configuration, at most {_MEL_TOLERANCE:.0e} is rounding; give MS-CLAP 2023's file, "
            "or a configuration with its sample rate and frequencies."
        )
