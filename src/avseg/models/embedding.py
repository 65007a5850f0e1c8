"""Embedding spaces of a model, for inspection and plots.

B clips, T frames, D width of an embedding.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from torch import Tensor

#: Input of an embedding: the audio of a frame, the frame, or both together.
Modality = Literal["sound", "picture", "both"]


@dataclass(frozen=True, eq=False)
class EmbeddingSpace:
    """Embeddings of one space, in which two embeddings are compared by their cosine.

    Attributes:
        title: Name of the space in the terms of the paper.
        points: Embeddings, (B, T, D) each, by the input that they were computed from.
    """

    title: str
    points: Mapping[Modality, Tensor]


# A protocol: a family with an `embed` method is an `Embedder` without a base class.
@runtime_checkable
class Embedder(Protocol):
    """Interface of a model that returns its embeddings; not every family has it."""

    def embed(self, inputs: Mapping[str, Tensor]) -> tuple[EmbeddingSpace, ...]:
        """Embed clips.

        Args:
            inputs: Output of the processor for a batch of clips.

        Returns:
            The spaces in the order in which the model computes them.
        """
        ...
