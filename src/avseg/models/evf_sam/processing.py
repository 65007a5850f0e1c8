"""Processor of EVF-SAM: converts a clip and texts to tensors, and mask logits to masks.

T frames, H x W size of the video, K texts, P = K * T prompts, L tokens of the longest text, S / s
side of the images for SAM / BEiT-3.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from avseg.backbones.tokenizing import TextTokenizer, load_tokenizer
from avseg.errors import PromptError
from avseg.models.evf_sam.configuration import EvfSamConfig
from avseg.models.outputs import resize_logits
from avseg.models.picture_inputs import EvfSamInputs
from avseg.models.processor import SavedTokenizer, fitted_size
from avseg.models.text_prompts import TextPromptProcessor
from avseg.types import Clip


@dataclass(frozen=True)
class EvfSamProcessor(TextPromptProcessor):
    """Converts clips and texts to the inputs of the model, and its outputs to masks.

    Multitask models (hustvl/EVF-SAM) segment one object for a text. For a text that begins with
    "[semantic] " they segment all pixels of the class, which may be a background class or a part of
    an object.

    Two processors are equal if their options are equal; tokenizer and texts are not compared.

    Args:
        sam_size: Side of the images for SAM, in pixels.
        beit3_size: Side of the images for BEiT-3, in pixels.
        keep_proportions: Whether frames for SAM keep their proportions and are padded to a square.
        vocab_size: Number of rows of the model's token embedding table.
        max_text_tokens: Maximum length of a text, in tokens.
        tokenizer: Tokenizer of the model; without it texts cannot be encoded.
        texts: The text prompts.

    Raises:
        ValueError: If the tokenizer has more tokens than the model.
    """

    sam_size: int
    beit3_size: int
    keep_proportions: bool
    vocab_size: int
    max_text_tokens: int
    tokenizer: TextTokenizer | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        # Otherwise an id outside of the embedding table would be an index error inside the model.
        if self.tokenizer is not None and len(self.tokenizer) > self.vocab_size:
            raise ValueError(
                f"the tokenizer has {len(self.tokenizer)} tokens, the model {self.vocab_size}; "
                "give the tokenizer that the model was trained with."
            )

    @classmethod
    def from_config(cls, config: EvfSamConfig, tokenizer: TextTokenizer | None = None) -> Self:
        """Build the processor that fits a model.

        Args:
            config: Configuration of the model.
            tokenizer: Tokenizer of the model, which is not part of a configuration.

        Returns:
            The processor.
        """
        return cls(
            sam_size=config.sam_config.image_size,
            beit3_size=config.beit3_config.image_size,
            keep_proportions=config.keep_proportions,
            vocab_size=config.beit3_config.vocab_size,
            max_text_tokens=config.max_text_tokens,
            tokenizer=tokenizer,
        )

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
        frames = self._inputs.prepare_frames(clip.frames)
        count = len(clip.frames)
        return {
            "pixel_values_sam": frames["pixel_values_sam"],
            "pixel_values_beit3": frames["pixel_values_beit3"],
            "input_ids": texts["prompt_ids"].repeat_interleave(count, dim=0),
            "attention_mask": texts["prompt_mask"].repeat_interleave(count, dim=0),
            "image_index": torch.arange(count).repeat(len(self.texts)),
        }

    @classmethod
    def _load_tokenizers(cls, folder: Path) -> dict[str, Any]:
        return {"tokenizer": load_tokenizer(folder)}

    def _tokenizers_to_save(self) -> tuple[SavedTokenizer, ...]:
        if self.tokenizer is None:
            raise ValueError(
                "the processor has no tokenizer; make it with from_config(config, tokenizer)."
            )
        return (self.tokenizer,)

    @property
    def _inputs(self) -> EvfSamInputs:
        return EvfSamInputs(
            self.sam_size, self.beit3_size, self.keep_proportions, self.max_text_tokens
        )

    def _encode_texts(self, texts: Sequence[str]) -> dict[str, Tensor]:
        if self.tokenizer is None:
            raise PromptError("the processor has no tokenizer, so it cannot encode texts.")
        return self._inputs.encode_texts(texts, self.tokenizer)

    def _without_padding(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Crop the padding of SAM's square from mask logits (T, h, w)."""
        if not self.keep_proportions:
            return logits
        # Only at SAM's full resolution the padding begins at a whole pixel.
        height, width = fitted_size(size, self.sam_size)
        return resize_logits(logits, (self.sam_size, self.sam_size))[:, :height, :width]
