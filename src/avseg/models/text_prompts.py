"""Bases of the processors of models that are prompted by texts.

T frames of H x W pixels, K texts, P = K * T prompts, h x w size of the mask logits.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
from torch import Tensor

from avseg.errors import PromptError
from avseg.models.outputs import AvsegOutput
from avseg.models.processor import BaseProcessor, required, threshold_masks


@dataclass(frozen=True)
class TextPrompts:
    """Stores the text prompts of a processor, and validates new ones.

    Args:
        texts: The text prompts.
    """

    texts: tuple[str, ...] = field(default=(), compare=False, kw_only=True)

    @abstractmethod
    def _encode_texts(self, texts: Sequence[str]) -> object:
        """Encode texts, or raise a PromptError if the model cannot encode one."""

    def with_texts(self, texts: Sequence[str]) -> Self:
        """Return a copy with other text prompts.

        Args:
            texts: At least one text prompt, each different.

        Returns:
            The processor.

        Raises:
            PromptError: If there is no text, or a text is blank, repeated, too long or unknown to
                the tokenizer.
        """
        if not texts:
            raise PromptError("there is no text; give at least one text prompt.")
        if len(set(texts)) < len(texts):
            raise PromptError(f"the texts are {', '.join(texts)}; give each once.")
        for text in texts:
            if not text.strip():
                raise PromptError(f"text {text!r} is empty; describe the object to segment.")
        # Encode the texts now, so that a wrong text is an error before a video is read.
        self._encode_texts(texts)
        return replace(self, texts=tuple(texts))

    def _require_texts(self) -> tuple[str, ...]:
        """Return the texts, or raise a PromptError if there is none."""
        if not self.texts:
            raise PromptError("there is no text; give text prompts with with_texts(...).")
        return self.texts


@dataclass(frozen=True)
class TextPromptProcessor(TextPrompts, BaseProcessor):
    """Converts mask logits to the masks of each text, for a model that uses no audio."""

    # The model uses no audio, but reading a clip needs a sample rate.
    sample_rate: ClassVar[int] = 16000
    window_s: ClassVar[None] = None

    def post_process(
        self, outputs: AvsegOutput, sizes: Sequence[tuple[int, int]], threshold: float = 0.5
    ) -> list[npt.NDArray[np.bool_]]:
        """Convert mask logits to masks.

        Args:
            outputs: Outputs of the model for the prompts of one clip, ordered by text.
            sizes: Height and width of the video, once for each text, in pixels.
            threshold: Probability above which a pixel belongs to the mask, in (0, 1).

        Returns:
            Masks of each text, (T, H, W) bool.

        Raises:
            ValueError: If the threshold is not between 0 and 1, there is no size, or the number of
                prompts is not a multiple of the number of sizes.
        """
        logits = required(outputs.mask_logits, "mask_logits")  # (P, h, w)
        if not sizes or len(logits) % len(sizes):
            raise ValueError(
                f"{len(logits)} prompts are not {len(sizes)} texts for the same number of frames; "
                "give the size once for each text."
            )
        return [
            # The prompts are ordered by text, so chunk i has the T frames of text i.
            threshold_masks(self._without_padding(text_logits, size), size, threshold)
            for text_logits, size in zip(logits.chunk(len(sizes)), sizes, strict=True)
        ]

    def _without_padding(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Crop the padding of the network's input from mask logits (T, h, w), if it has any."""
        del size
        return logits
