"""Vocabularies, the lists of names from which a model chooses, and the processors that have one."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np

from avseg.errors import PromptError
from avseg.models.outputs import NamedOutput
from avseg.models.processor import BaseProcessor, required, threshold_masks
from avseg.packed_mask import PackedMask
from avseg.types import NamedSource

#: Name of the vocabulary's file in the folder of a model.
VOCABULARY_FILE = "vocabulary.txt"

_AVSBENCH = Path(__file__).with_name("avsbench.txt")
_AUDIOSET = Path(__file__).with_name("audioset.txt")


def avsbench_names() -> tuple[str, ...]:
    """Return the names of the 70 categories of AVSBench-semantic, with spaces for hyphens."""
    return tuple(_AVSBENCH.read_text(encoding="utf-8").splitlines())


def audioset_names() -> tuple[str, ...]:
    """Return the names of AudioSet's 527 classes, in the order of their numbers."""
    return tuple(_AUDIOSET.read_text(encoding="utf-8").splitlines())


def avsbench_categories() -> tuple[str, ...]:
    """Return the categories as AVSBench-semantic spells them, in the order of its class numbers."""
    return tuple(name.replace(" ", "-") for name in avsbench_names())


def read_vocabulary(names_or_file: str) -> tuple[str, ...]:
    """Read a vocabulary from a command-line argument.

    Args:
        names_or_file: Names separated by commas, the path of a text file (`.txt`) with one name per
            line, or "avsbench" or "audioset" for the names of that data set.

    Returns:
        The names, without blank ones.

    Raises:
        PromptError: If the file cannot be read, or has no name.
    """
    known = {"avsbench": avsbench_names, "audioset": audioset_names}
    if names_or_file in known:
        return known[names_or_file]()
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


@dataclass(frozen=True)
class VocabularyProcessor(BaseProcessor, ABC):
    """Base of the processors with a vocabulary, which is saved and encoded with the tokenizers.

    Args:
        vocabulary: The names among which the model chooses.
    """

    vocabulary: tuple[str, ...] = field(compare=False, kw_only=True)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Load a processor, its tokenizers and its vocabulary from the folder of its model.

        Args:
            folder: Folder that `save_pretrained` wrote.

        Returns:
            The processor.

        Raises:
            CheckpointError: If a file is missing, a tokenizer is damaged, or the options are not
                those of this class.
            PromptError: If the vocabulary is missing, or a tokenizer cannot encode a name in it.
        """
        return super().from_pretrained(folder).with_vocabulary(load_vocabulary(Path(folder)))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write options, tokenizers and vocabulary.

        Args:
            folder: Folder of the model, created if it is missing.

        Raises:
            PromptError: If a tokenizer is missing, so that the saved processor could not be loaded.
        """
        super().save_pretrained(folder)
        save_vocabulary(self.vocabulary, Path(folder))

    def with_vocabulary(self, names: Sequence[str]) -> Self:
        """Return a copy with another vocabulary.

        Args:
            names: At least one name, each different.

        Returns:
            The processor.

        Raises:
            PromptError: If there is no name, or a name is blank, repeated, too long or unknown to
                a tokenizer.
        """
        check_vocabulary(names)
        changed = replace(self, vocabulary=tuple(names))
        # Encode the names now, so that a wrong name is an error here and not at the first clip.
        changed._encode_vocabulary()
        return changed

    def sources(
        self, outputs: NamedOutput, size: tuple[int, int], threshold: float = 0.5
    ) -> list[NamedSource]:
        """Convert the named masks of a clip to one source for each predicted name.

        Args:
            outputs: Outputs of the model for one clip.
            size: Height and width of the video, in pixels.
            threshold: Probability above which a pixel belongs to the mask, in (0, 1).

        Returns:
            A source with T frames for each name that is predicted in any frame, in the order of the
            vocabulary.

        Raises:
            ValueError: If the threshold is not between 0 and 1.
        """
        return sources_of_clip(outputs, self.vocabulary, size, threshold)

    @abstractmethod
    def _encode_vocabulary(self) -> object:
        """Encode the names with the tokenizers, or raise a PromptError."""


def sources_of_clip(
    outputs: NamedOutput, names: Sequence[str], size: tuple[int, int], threshold: float
) -> list[NamedSource]:
    """Convert the named masks of a clip to one source for each name.

    Args:
        outputs: Outputs of the model for one clip; a frame has each name at most once.
        names: The vocabulary, to which the `name_index` of the outputs refers.
        size: Height and width of the video, in pixels.
        threshold: Probability above which a pixel belongs to the mask, in (0, 1).

    Returns:
        A source with T frames for each name that occurs in any frame, in the order of the names.

    Raises:
        ValueError: If the threshold is not between 0 and 1.
    """
    logits = required(outputs.named_logits, "named_logits")
    scores = required(outputs.named_scores, "named_scores").float().cpu().numpy()
    frame_index = required(outputs.frame_index, "frame_index").cpu().numpy()
    name_index = required(outputs.name_index, "name_index").cpu().numpy()
    # The outputs are those of one clip, so `mask_logits` is (1, T, h, w) and a frame index is below
    # T.
    count = required(outputs.mask_logits, "mask_logits").shape[1]
    sources = []
    # `np.unique` sorts, so sources are in the order of the vocabulary.
    for index in np.unique(name_index):
        prompts = np.flatnonzero(name_index == index)
        # Frames without this name keep an empty mask and the score 0.
        masks = [PackedMask(size)] * count
        # Prompt by prompt, because masks at the size of the video may be large.
        for prompt in prompts:
            (mask,) = threshold_masks(logits[prompt : prompt + 1], size, threshold)
            masks[frame_index[prompt]] = PackedMask.pack(mask)
        all_scores = np.zeros(count, np.float32)
        all_scores[frame_index[prompts]] = scores[prompts]
        sources.append(NamedSource(names[index], masks, all_scores))
    return sources


def check_vocabulary(names: Sequence[str]) -> None:
    """Raise an error if a vocabulary is empty or has a name twice.

    Args:
        names: The names.

    Raises:
        PromptError: If it is empty or has a name twice.
    """
    if not names or len(set(names)) < len(names):
        raise PromptError(
            f"the vocabulary is {', '.join(names) or 'empty'}; give at least one name, and each "
            "once."
        )
