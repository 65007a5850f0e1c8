"""Which model a name means. The models in the package lie in `packaged/<name>/`.

A model is a folder: its configuration, its weights, its processor's configuration, and a model card
for readers.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from avseg.errors import CheckpointError

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
PROCESSOR_FILE = "processor_config.json"
CARD_FILE = "README.md"

DEFAULT_MODEL = "av2t-sam-small"

_PACKAGED = Path(__file__).parent / "packaged"


@dataclass(frozen=True)
class Checkpoint:
    """A saved model.

    Attributes:
        name: How results call it.
        folder: Where its files are.
        licence: SPDX identifier of the licence of its weights; None where nobody has said.
        world: What it was taught and therefore knows, to be read after "this model knows"; None
            where nobody has said.
    """

    name: str
    folder: Path
    licence: str | None = None
    world: str | None = None

    @property
    def notice(self) -> str | None:
        """What a user should know before looking at results, None if there is nothing to say."""
        if self.world is None:
            return None
        return (
            f"{self.name}: this model knows {self.world} only; on other videos expect wrong masks "
            "or none. Next step: train on your own clips (AVSBench's layout) with `avseg train`, "
            "and give the folder of that run as --model."
        )

    def sha256(self) -> str:
        """Compute the hash of the weights; computed once for each version of the file.

        Returns:
            64 hexadecimal digits.

        Raises:
            CheckpointError: If the weights are not there (any more).
        """
        path = self.folder / WEIGHTS_FILE
        try:
            facts = path.stat()
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read ({error.strerror}).") from error
        return _sha256(path, facts.st_mtime_ns, facts.st_size)


#: The models that a name is enough for.
CATALOG: dict[str, Checkpoint] = {
    checkpoint.name: checkpoint
    for checkpoint in (
        Checkpoint(
            name=DEFAULT_MODEL,
            folder=_PACKAGED / DEFAULT_MODEL,
            licence="Apache-2.0",
            world="SynthAVS's drawn world (moving drawings and synthesised sounds)",
        ),
    )
}


def find_checkpoint(name_or_path: str | Path) -> Checkpoint:
    """Find a model by its name, or by the path of its folder.

    Args:
        name_or_path: A name of `CATALOG`, or a folder as `save_pretrained` writes it. A folder is
            meant where the text is no name.

    Returns:
        The model, which is all there; whether it fits together shows when it is loaded.

    Raises:
        CheckpointError: If it is neither, or files are missing.
    """
    known = CATALOG.get(str(name_or_path))
    if known is not None:
        _check_files(known.folder, "the package is incomplete; install avseg again.")
        return known
    folder = Path(name_or_path)
    if not folder.is_dir():
        what = "is a file" if folder.is_file() else "there is no such folder"
        raise CheckpointError(
            f"{name_or_path}: {what}, and no model has that name (there is {', '.join(CATALOG)}); "
            f"give one of these names, or a folder with {CONFIG_FILE}, {WEIGHTS_FILE} and "
            f"{PROCESSOR_FILE}."
        )
    _check_files(
        folder, "give a folder into which a model and its processor were saved (save_pretrained)."
    )
    return Checkpoint(name=folder.resolve().name, folder=folder)


def _check_files(folder: Path, next_step: str) -> None:
    needed = (CONFIG_FILE, WEIGHTS_FILE, PROCESSOR_FILE)
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{folder}: is no complete model, {', '.join(missing)} is missing; {next_step}"
        )


@lru_cache(maxsize=16)
def _sha256(path: Path, mtime_ns: int, size: int) -> str:  # noqa: ARG001 - the cache's key
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
