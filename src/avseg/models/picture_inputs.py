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
from transformers.image_transforms import get_size_with_aspect_ratio
from transformers.models.owlv2.image_processing_pil_owlv2 import Owlv2ImageProcessorPil

from avseg.backbones.box_segmenter import BoxSegmenterConfig
from avseg.backbones.evf_sam_segmenter import EvfSamSegmenterConfig
from avseg.backbones.hub_tokenizer import HubTokenizer
from avseg.backbones.sam3 import Sam3SegmenterConfig
from avseg.backbones.text_detectors import GroundingDinoDetectorConfig
from avseg.backbones.tokenizing import TextTokenizer, load_tokenizer, text_too_long
from avseg.models.processor import (
    BEIT3_STATISTICS,
    SAM3_STATISTICS,
    SAM_STATISTICS,
    SavedTokenizer,
    as_pixels,
    fitted_size,
    for_sam,
    normalise,
    resize,
)

#: Folder in a model's folder for the files of the segmenter's tokenizer.
PICTURE_TOKENIZER = "picture_tokenizer"


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
            raise text_too_long(longest, int(lengths.max()), "EVF-SAM", self.max_tokens)
        return {
            "prompt_ids": pad_sequence(ids, batch_first=True, padding_value=tokenizer.PAD_ID),
            "prompt_mask": torch.arange(int(lengths.max())) < lengths[:, None],
        }


@dataclass(frozen=True)
class BoxInputs:
    """Inputs of `BoxSegmenter`: images for SAM 2 and for the detector, and token ids.

    The images equal those of the image processors in `transformers`, which need torchvision:
    the largest difference is 1e-6 (`tests/models/image_processors.npz`).

    Args:
        sam_size: Side of the images for SAM 2, in pixels.
        detector: `model_type` of the detector.
        detector_size: Shortest and longest side of the images for Grounding DINO, in pixels; for
            OWLv2 both are the side of the square.
        max_tokens: Maximum length of a text, in tokens.
    """

    sam_size: int
    detector: str
    detector_size: tuple[int, int]
    max_tokens: int

    def __post_init__(self) -> None:
        # A saved list becomes a tuple again, so that two processors can be compared.
        object.__setattr__(self, "detector_size", tuple(self.detector_size))

    @classmethod
    def from_config(cls, config: BoxSegmenterConfig) -> Self:
        """Build the inputs that fit a configuration.

        Args:
            config: Configuration of the segmenter.

        Returns:
            The inputs.
        """
        detector = config.detector_config
        size = (
            (detector.shortest_side, detector.longest_side)
            if isinstance(detector, GroundingDinoDetectorConfig)
            else (detector.image_size, detector.image_size)
        )
        return cls(config.sam_config.image_size, detector.model_type, size, config.max_text_tokens)

    def load_tokenizer(self, folder: Path) -> HubTokenizer:
        """Load the tokenizer of the detector.

        Args:
            folder: Folder of the model.

        Returns:
            The tokenizer.
        """
        return HubTokenizer.from_folder(folder, PICTURE_TOKENIZER)

    def prepare_frames(self, frames: npt.NDArray[np.uint8]) -> dict[str, Tensor]:
        """Resize and normalise frames for both networks.

        Args:
            frames: RGB, (T, H, W, 3) uint8.

        Returns:
            `pixel_values_sam` (T, 3, S, S), `pixel_values_detector` (T, 3, h, w), and `frame_size`
            (T, 2) int64, the height and width of a frame before.
        """
        size = torch.tensor(frames.shape[1:3])
        return {
            "pixel_values_sam": for_sam(as_pixels(frames), self.sam_size, keep_proportions=False),
            "pixel_values_detector": self._for_detector(frames),
            "frame_size": size.expand(len(frames), 2),
        }

    def encode_texts(self, texts: Sequence[str], tokenizer: HubTokenizer) -> dict[str, Tensor]:
        """Encode texts.

        Args:
            texts: The texts.
            tokenizer: Tokenizer of the detector.

        Returns:
            `prompt_ids` (C, L) int64, and `prompt_mask` (C, L) bool, False for padding.

        Raises:
            PromptError: If a text is too long, or the tokenizer has no token for it.
        """
        if self.detector == GroundingDinoDetectorConfig.model_type:
            texts = [_as_phrase(text) for text in texts]
        ids, mask = tokenizer.encode(texts, self.max_tokens, "the detector")
        return {"prompt_ids": ids, "prompt_mask": mask}

    def _for_detector(self, frames: npt.NDArray[np.uint8]) -> Tensor:
        """Prepare frames as the detector's image processor does, (T, 3, h, w) float32."""
        shortest, longest = self.detector_size
        if self.detector == GroundingDinoDetectorConfig.model_type:
            size = get_size_with_aspect_ratio(frames.shape[1:3], shortest, longest)
            # The statistics are those of ImageNet, as for SAM.
            return normalise(resize(as_pixels(frames), size, "bilinear"), SAM_STATISTICS)
        # OWLv2's own resizing with a Gaussian filter is in `transformers` without torchvision.
        processor: Any = Owlv2ImageProcessorPil(size={"height": shortest, "width": shortest})
        values: Tensor = processor(list(frames), return_tensors="pt")["pixel_values"]
        return values.float()


@dataclass(frozen=True)
class Sam3Inputs:
    """Inputs of `Sam3Segmenter`: square images and token ids.

    The images are those of `Sam3ImageProcessor` in `transformers`, which needs torchvision: resized
    bilinearly with antialiasing, without regard to proportions, and scaled to [-1, 1].

    Args:
        image_size: Side of the images, in pixels.
        max_tokens: Maximum length of a text with its start and end token, in tokens.
    """

    image_size: int
    max_tokens: int

    @classmethod
    def from_config(cls, config: Sam3SegmenterConfig) -> Self:
        """Build the inputs that fit a configuration.

        Args:
            config: Configuration of the segmenter.

        Returns:
            The inputs.
        """
        return cls(config.image_size, config.max_text_tokens)

    def load_tokenizer(self, folder: Path) -> HubTokenizer:
        """Load the tokenizer of SAM 3.

        Args:
            folder: Folder of the model.

        Returns:
            The tokenizer.
        """
        return HubTokenizer.from_folder(folder, PICTURE_TOKENIZER)

    def prepare_frames(self, frames: npt.NDArray[np.uint8]) -> dict[str, Tensor]:
        """Resize and normalise frames.

        Args:
            frames: RGB, (T, H, W, 3) uint8.

        Returns:
            `pixel_values_sam3`, (T, 3, S, S).
        """
        size = (self.image_size, self.image_size)
        pixels = resize(as_pixels(frames), size, "bilinear")
        return {"pixel_values_sam3": normalise(pixels, SAM3_STATISTICS)}

    def encode_texts(self, texts: Sequence[str], tokenizer: HubTokenizer) -> dict[str, Tensor]:
        """Encode texts.

        Args:
            texts: The texts.
            tokenizer: Tokenizer of SAM 3.

        Returns:
            `prompt_ids` (C, L) int64, and `prompt_mask` (C, L) bool, False for padding.

        Raises:
            PromptError: If a text is too long, or the tokenizer has no token for it.
        """
        ids, mask = tokenizer.encode(texts, self.max_tokens, "SAM 3")
        return {"prompt_ids": ids, "prompt_mask": mask}


def _as_phrase(text: str) -> str:
    """Return a text as one phrase of Grounding DINO's caption: lower case, one full stop."""
    # Full stop and question mark separate phrases, so inside of a text they would cut it in two.
    return " ".join(text.lower().replace(".", " ").replace("?", " ").split()) + "."
