"""A saved model is a folder: configuration, weights, the processor's configuration, a card."""

from dataclasses import dataclass
from pathlib import Path

from avseg.checkpoints.cache import file_sha256

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
PROCESSOR_FILE = "processor_config.json"
CARD_FILE = "README.md"


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
        return file_sha256(self.folder / WEIGHTS_FILE)


def missing_files(folder: Path) -> list[str]:
    """List what a folder lacks to be a saved model.

    Args:
        folder: The folder; it need not exist.

    Returns:
        Names of files; none if the model is complete.
    """
    needed = (CONFIG_FILE, WEIGHTS_FILE, PROCESSOR_FILE)
    return [name for name in needed if not (folder / name).is_file()]
