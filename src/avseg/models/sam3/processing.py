"""Processor of SAM 3: converts a clip and texts to tensors, and mask logits to masks.

T frames of H x W pixels, K texts, P = K * T prompts, L tokens of the longest text, S side of the
images.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from avseg.backbones.hub_tokenizer import HubTokenizer
from avseg.errors import PromptError
from avseg.models.picture_inputs import PICTURE_TOKENIZER, Sam3Inputs
from avseg.models.processor import SavedTokenizer
from avseg.models.sam3.configuration import Sam3TextConfig
from avseg.models.text_prompts import TextPromptProcessor
from avseg.types import Clip


@dataclass(frozen=True)
class Sam3TextProcessor(TextPromptProcessor):
    """Converts clips and texts to the inputs of the model, and its outputs to masks.

    Two processors are equal if their options are equal; tokenizer and texts are not compared.

    Args:
        image_size: Side of the images, in pixels.
        max_text_tokens: Maximum length of a text with its start and end token, in tokens.
        tokenizer: Tokenizer of the model; without it texts cannot be encoded.
        texts: The text prompts.
    """

    image_size: int
    max_text_tokens: int
    tokenizer: HubTokenizer | None = field(default=None, compare=False)

    @classmethod
    def from_config(cls, config: Sam3TextConfig, tokenizer: HubTokenizer | None = None) -> Self:
        """Build the processor that fits a model.

        Args:
            config: Configuration of the model.
            tokenizer: Tokenizer of the model, which is not part of a configuration.

        Returns:
            The processor.
        """
        segmenter = config.segmenter_config
        return cls(segmenter.image_size, segmenter.max_text_tokens, tokenizer)

    def __call__(self, clip: Clip) -> dict[str, Tensor]:
        """Convert one clip to the inputs of the model; prompts are ordered by text, then by frame.

        Args:
            clip: Frames; the audio is not used.

        Returns:
            The inputs.

        Raises:
            PromptError: If there is no text prompt.
        """
        texts = self._encode_texts(self._require_texts())
        count = len(clip.frames)
        return {
            **self._inputs.prepare_frames(clip.frames),
            **{name: values.repeat_interleave(count, dim=0) for name, values in texts.items()},
            "image_index": torch.arange(count).repeat(len(self.texts)),
        }

    @property
    def _inputs(self) -> Sam3Inputs:
        return Sam3Inputs(self.image_size, self.max_text_tokens)

    def _encode_texts(self, texts: Sequence[str]) -> dict[str, Tensor]:
        if self.tokenizer is None:
            raise PromptError("the processor has no tokenizer, so it cannot encode texts.")
        return self._inputs.encode_texts(texts, self.tokenizer)

    @classmethod
    def _load_tokenizers(cls, folder: Path) -> dict[str, Any]:
        return {"tokenizer": HubTokenizer.from_folder(folder, PICTURE_TOKENIZER)}

    def _tokenizers_to_save(self) -> tuple[SavedTokenizer, ...]:
        if self.tokenizer is None:
            raise ValueError(
                "the processor has no tokenizer; make it with from_config(config, tokenizer)."
            )
        return (self.tokenizer,)
