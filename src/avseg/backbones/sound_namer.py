"""Interface of a sound namer: scores of names for audio windows, at one or several times.

N audio windows, F times in a window, C names, D width of an embedding.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

#: Distance of a probability from 0 and from 1 below which its odds are not finite in float32.
_EPSILON = 1e-6


class SoundNamer(nn.Module, ABC):
    """Scores how well names fit the audio of a window.

    Attributes:
        audio_inputs: Names of the tensors of a window; the first axis of each is N.
        text_inputs: Names of the tensors of a name; the first axis of each is C.
    """

    audio_inputs: ClassVar[tuple[str, ...]] = ("audio_values",)
    text_inputs: ClassVar[tuple[str, ...]]

    @abstractmethod
    def embed_names(self, texts: Mapping[str, Tensor]) -> Tensor:
        """Embed names.

        Args:
            texts: The tensors of `text_inputs`.

        Returns:
            Embeddings, (C, D) float32. They do not depend on the other names.
        """

    @abstractmethod
    def score_names(self, audio: Mapping[str, Tensor], names: Tensor) -> Tensor:
        """Score each name at each time of a window.

        Args:
            audio: The tensors of `audio_inputs`.
            names: Embeddings from `embed_names`, (C, D).

        Returns:
            Scores, (N, F, C) float32; the F times divide the window into equal intervals.
        """

    def shares(self, scores: Tensor) -> Tensor:
        """Compute the share of each name, its odds in the sum of the odds of all names.

        Args:
            scores: Scores in [0, 1] that are probabilities, (N, C).

        Returns:
            Shares, (N, C); the sum over the names is 1.
        """
        return torch.logit(scores, _EPSILON).softmax(dim=-1)
