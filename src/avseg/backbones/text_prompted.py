"""Interface of a text-prompted segmenter: one mask for each pair of an image and a text.

The cascade and other models reach every implementation through `TextPromptedSegmenter`.

I images, P prompts (pairs of an image and a text), h x w size of the mask logits.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn


@dataclass(frozen=True)
class TextMasks:
    """The mask of each prompt.

    Args:
        mask_logits: Before the sigmoid, (P, h, w). They cover the whole image, without the padding
            of the network's input.
        scores: Confidence that the object of the text is in the image and the mask fits it, (P,) in
            [0, 1].
    """

    mask_logits: Tensor
    scores: Tensor


class TextPromptedSegmenter(nn.Module, ABC):
    """Segments the object that a text describes in an image.

    Attributes:
        image_inputs: Names of the tensors of an image; the first axis of each is I.
        text_inputs: Names of the tensors of a text; the first axis of each is P.
    """

    image_inputs: ClassVar[tuple[str, ...]]
    text_inputs: ClassVar[tuple[str, ...]]

    @abstractmethod
    def segment_prompts(
        self, images: Mapping[str, Tensor], texts: Mapping[str, Tensor], image_index: Tensor
    ) -> TextMasks:
        """Segment the object of each prompt.

        Args:
            images: The tensors of `image_inputs`.
            texts: The tensors of `text_inputs`, a row for each prompt.
            image_index: Index of the image of each prompt, (P,) int64, never decreasing. P may be
                0.

        Returns:
            The masks. The mask of an object that is not in the image is empty: each of its logits
            is `NO_OBJECT_LOGIT` and its score is 0.
        """
