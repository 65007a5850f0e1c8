"""Where a model places sounds and pictures, for those who want to look at it.

B clips, T frames, D width of an embedding.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor

#: What is embedded: a frame's sound, the frame, or one thing made of both.
Modality = Literal["sound", "picture", "both"]


@dataclass(frozen=True, eq=False)
class EmbeddingSpace:
    """Embeddings that may be compared with each other, by their cosine.

    Attributes:
        title: Which space it is, as a reader of the paper would call it.
        points: By what is embedded, (B, T, D) each.
    """

    title: str
    points: Mapping[Modality, Tensor]


@runtime_checkable
class Embedder(Protocol):
    """A model that shows its embeddings: a family that has any worth looking at has this method."""

    def embed(self, inputs: Mapping[str, Tensor]) -> tuple[EmbeddingSpace, ...]:
        """Embed clips.

        Args:
            inputs: What the model's processor makes of clips.

        Returns:
            The spaces in the order of the model's path, what it begins with first.
        """
        ...
