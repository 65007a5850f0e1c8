"""Inputs of the text-prompted segmenters: the tensors of frames and of texts.

T frames of H x W pixels, C texts, L tokens of the longest text, S / s side of the images for SAM /
BEiT-3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from avseg.backbones.evf_sam_segmenter import EvfSamSegmenterConfig
from avseg.backbones.tokenizing import TextTokenizer, load_tokenizer
from avseg.models.processor import (
    BEIT3_STATISTICS,
    SavedTokenizer,
    as_pixels,
    fitted_size,
    for_sam,
    normalise,
    resize,
)
from avseg.models.sound_inputs import padding_mask, too_long


class PictureInputs(Protocol):
    """Interface of the inputs of a text-prompted segmenter; its fields are saved as JSON."""

    @classmethod
    def from_config(cls, config: Any) -> Self:
        """Build the inputs that fit the configuration of a segmenter."""
        ...

    def load_tokenizer(self, folder: Path) -> SavedTokenizer:
        """Load the tokenizer from the folder of a model."""
        ...

    def prepare_frames(self, frames: npt.NDArray[np.uint8]) -> dict[str, Tensor]:
        """Convert frames (T, H, W, 3) to the tensors of the segmenter, each with T rows."""
        ...

    def encode_texts(self, texts: Sequence[str], tokenizer: Any) -> dict[str, Tensor]:
        """Encode C texts as the tensors of the segmenter, each with C rows."""
        ...


@dataclass(frozen=True)
class EvfSamInputs:
    """Inputs of `EvfSamSegmenter`: images for SAM and for BEiT-3, and token ids.

    Args:
        sam_size: Side of the images for SAM, in pixels.
        beit3_size: Side of the images for BEiT-3, in pixels.
        keep_proportions: Whether frames for SAM keep their proportions and are padded to a square.
        max_tokens: Maximum length of a text, in tokens.
    """

    sam_size: int
    beit3_size: int
    keep_proportions: bool
    max_tokens: int

    @classmethod
    def from_config(cls, config: EvfSamSegmenterConfig) -> Self:
        """Build the inputs that fit a configuration.

        Args:
            config: Configuration of the segmenter.

        Returns:
            The inputs.
        """
        return cls(
            sam_size=config.sam_config.image_size,
            beit3_size=config.beit3_config.image_size,
            keep_proportions=config.keep_proportions,
            max_tokens=config.max_text_tokens,
        )

    def load_tokenizer(self, folder: Path) -> TextTokenizer:
        """Load the tokenizer of BEiT-3.

        Args:
            folder: Folder of the model.

        Returns:
            The tokenizer.
        """
        return load_tokenizer(folder)

    def prepare_frames(self, frames: npt.NDArray[np.uint8]) -> dict[str, Tensor]:
        """Resize and normalise frames for both networks.

        Args:
            frames: RGB, (T, H, W, 3) uint8.

        Returns:
            `pixel_values_sam` (T, 3, S, S) and `pixel_values_beit3` (T, 3, s, s); with
            `keep_proportions` also `frame_size` (T, 2) int64, the height and width of a frame
            inside the square.
        """
        pixels = as_pixels(frames)
        beit3 = (self.beit3_size, self.beit3_size)
        inputs = {
            "pixel_values_sam": for_sam(pixels, self.sam_size, self.keep_proportions),
            "pixel_values_beit3": normalise(resize(pixels, beit3, "bicubic"), BEIT3_STATISTICS),
        }
        if self.keep_proportions:
            size = fitted_size((frames.shape[1], frames.shape[2]), self.sam_size)
            inputs["frame_size"] = torch.tensor(size).expand(len(frames), 2)
        return inputs

    def encode_texts(self, texts: Sequence[str], tokenizer: TextTokenizer) -> dict[str, Tensor]:
        """Encode texts.

        Args:
            texts: The texts.
            tokenizer: Tokenizer of BEiT-3.

        Returns:
            `prompt_ids` (C, L) int64, and `prompt_mask` (C, L) bool, False for padding.

        Raises:
            PromptError: If a text is too long, or has a word that the tokenizer does not know.
        """
        ids = [torch.tensor(tokenizer.encode(text)) for text in texts]
        lengths = torch.tensor([len(numbers) for numbers in ids])
        if lengths.max() > self.max_tokens:
            longest = texts[int(lengths.argmax())]
            raise too_long(longest, int(lengths.max()), "EVF-SAM", self.max_tokens)
        return {
            "prompt_ids": pad_sequence(ids, batch_first=True, padding_value=tokenizer.PAD_ID),
            "prompt_mask": padding_mask(lengths),
        }
