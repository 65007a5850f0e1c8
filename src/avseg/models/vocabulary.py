"""Vocabularies: the lists of names from which a model chooses the name of a source."""

from collections.abc import Sequence
from pathlib import Path

from avseg.errors import PromptError

#: Name of the vocabulary's file in the folder of a model.
VOCABULARY_FILE = "vocabulary.txt"

_AVSBENCH = Path(__file__).with_name("avsbench.txt")


def avsbench_names() -> tuple[str, ...]:
    """Return the names of the 70 categories of AVSBench-semantic, with spaces for hyphens."""
    return tuple(_AVSBENCH.read_text(encoding="utf-8").splitlines())


def avsbench_categories() -> tuple[str, ...]:
    """Return the categories as AVSBench-semantic spells them, in the order of its class numbers."""
    return tuple(name.replace(" ", "-") for name in avsbench_names())


def read_vocabulary(names_or_file: str) -> tuple[str, ...]:
    """Read a vocabulary from a command-line argument.

    Args:
        names_or_file: Names separated by commas, or the path of a text file (`.txt`) with one name
            per line.

    Returns:
        The names, without blank ones.

    Raises:
        PromptError: If the file cannot be read, or has no name.
    """
    names = names_or_file.split(",")
    # The suffix decides, so that the path of a missing file is an error and not a name.
    if names_or_file.endswith(".txt"):
        try:
            names = Path(names_or_file).read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise PromptError(
                f"{names_or_file}: the vocabulary cannot be read ({error}); give a text file with "
                "one name per line, or the names themselves, separated by commas."
            ) from error
    stripped = tuple(name.strip() for name in names if name.strip())
    if not stripped:
        raise PromptError(f"{names_or_file!r} has no name; give at least one, such as 'dog,cat'.")
    return stripped


def load_vocabulary(folder: Path) -> tuple[str, ...]:
    """Load the vocabulary from the folder of a model.

    Args:
        folder: Folder that `save_vocabulary` wrote.

    Returns:
        The names.

    Raises:
        PromptError: If the file is missing, damaged or empty.
    """
    return read_vocabulary(str(folder / VOCABULARY_FILE))


def save_vocabulary(names: Sequence[str], folder: Path) -> None:
    """Save a vocabulary in the folder of a model.

    Args:
        names: The names.
        folder: An existing folder.
    """
    (folder / VOCABULARY_FILE).write_text("\n".join(names) + "\n", encoding="utf-8")
