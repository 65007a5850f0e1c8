"""The names among which a model that names what sounds chooses."""

from collections.abc import Sequence
from pathlib import Path

from avseg.errors import PromptError

#: Name of the vocabulary's file beside a model.
VOCABULARY_FILE = "vocabulary.txt"

_AVSBENCH = Path(__file__).with_name("avsbench.txt")


def avsbench_names() -> tuple[str, ...]:
    """Give the names of AVSBench-semantic's 70 categories, hyphens as spaces."""
    return tuple(_AVSBENCH.read_text(encoding="utf-8").splitlines())


def avsbench_categories() -> tuple[str, ...]:
    """Give these names as AVSBench-semantic spells them, in the order of its class numbers."""
    return tuple(name.replace(" ", "-") for name in avsbench_names())


def read_vocabulary(names_or_file: str) -> tuple[str, ...]:
    """Read a vocabulary as it is given on the command line.

    Args:
        names_or_file: Names with commas between them, or the path of a text file (`.txt`) with a
            name on each line.

    Returns:
        The names, without blank ones.

    Raises:
        PromptError: If the file cannot be read, or there is no name.
    """
    names = names_or_file.split(",")
    if names_or_file.endswith(".txt"):
        try:
            names = Path(names_or_file).read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise PromptError(
                f"{names_or_file}: the vocabulary cannot be read ({error}); give a text file with "
                "a name on each line, or the names themselves with commas between them."
            ) from error
    stripped = tuple(name.strip() for name in names if name.strip())
    if not stripped:
        raise PromptError(f"{names_or_file!r} holds no name; give at least one, such as 'dog,cat'.")
    return stripped


def load_vocabulary(folder: Path) -> tuple[str, ...]:
    """Read the vocabulary beside a model.

    Args:
        folder: Where `save_vocabulary` wrote.

    Returns:
        The names.

    Raises:
        PromptError: If there is none, or it is damaged or empty.
    """
    return read_vocabulary(str(folder / VOCABULARY_FILE))


def save_vocabulary(names: Sequence[str], folder: Path) -> None:
    """Write a vocabulary beside a model.

    Args:
        names: The names.
        folder: A folder that is there.
    """
    (folder / VOCABULARY_FILE).write_text("\n".join(names) + "\n", encoding="utf-8")
