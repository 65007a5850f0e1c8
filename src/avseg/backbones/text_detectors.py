"""Text-prompted detectors of `transformers`: boxes of the objects that texts describe in an image.

Grounding DINO (Liu et al. 2023, arXiv:2303.05499) reads all texts of an image in one caption.
OWLv2 (Minderer et al. 2023, arXiv:2306.09683) compares each box with each text.

K texts of an image, L tokens of a text, Q boxes of an image, M of them with a sufficient score.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    Owlv2Config,
    Owlv2ForObjectDetection,
)

from avseg.backbones.config import StrictConfig


@dataclass(frozen=True)
class TextBoxes:
    """Boxes of the texts of one image.

    Args:
        boxes: (left, top, right, bottom) in fractions of the image's width and height, (M, 4) in
            [0, 1].
        scores: Confidence that the box contains the object of its text, (M,) in [0, 1].
        text_index: Index of the text of each box, (M,) int64, never decreasing; the boxes of one
            text are ordered by score, highest first.
    """

    boxes: Tensor
    scores: Tensor
    text_index: Tensor


class TextDetector(nn.Module, ABC):
    """Detects the objects that texts describe in one image.

    Attributes:
        image_inputs: Names of the tensors of an image.
        text_inputs: Names of the tensors of a text; the first axis of each is K.
    """

    image_inputs: ClassVar[tuple[str, ...]]
    text_inputs: ClassVar[tuple[str, ...]]

    def detect_objects(
        self,
        image: Mapping[str, Tensor],
        texts: Mapping[str, Tensor],
        min_score: float,
        max_boxes: int,
    ) -> TextBoxes:
        """Detect the objects of the texts in one image.

        Args:
            image: The tensors of `image_inputs`, with one row.
            texts: The tensors of `text_inputs`, K at least 1.
            min_score: Score that a box must exceed, in [0, 1).
            max_boxes: Maximum number of boxes of a text.

        Returns:
            The boxes; M may be 0.
        """
        # Float32, because half precision is too inexact for thresholds on scores.
        with torch.autocast(next(iter(image.values())).device.type, enabled=False):
            boxes, scores = self.score_boxes(image, texts)  # (Q, 4), (K, Q)
        best, index = scores.topk(min(max_boxes, scores.shape[1]))  # (K, max_boxes) each
        text_index, ranks = (best > min_score).nonzero(as_tuple=True)
        kept = index[text_index, ranks]
        return TextBoxes(_corners(boxes[kept]), best[text_index, ranks], text_index)

    @abstractmethod
    def score_boxes(
        self, image: Mapping[str, Tensor], texts: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Compute all boxes of one image, and the score of each for each text.

        Args:
            image: The tensors of `image_inputs`, with one row.
            texts: The tensors of `text_inputs`, K at least 1.

        Returns:
            Boxes (centre x, centre y, width, height) in fractions of the image's width and height,
            (Q, 4), and scores in [0, 1], (K, Q).
        """


def _corners(boxes: Tensor) -> Tensor:
    """Convert centres and sizes (M, 4) to corners (M, 4), cropped to the image."""
    centres, sizes = boxes[:, :2], boxes[:, 2:]
    return torch.cat([centres - sizes / 2, centres + sizes / 2], dim=1).clamp(0, 1)


@strict
class GroundingDinoDetectorConfig(StrictConfig):
    """Sizes of Grounding DINO and of its images.

    Args:
        grounding_dino_config: The network, a `GroundingDinoConfig`.
        shortest_side: Length to which the shorter side of an image is resized, in pixels.
        longest_side: Maximum length of the longer side, in pixels.
        max_text_tokens: Maximum length of a text with its start and end token, in tokens.
    """

    model_type = "avseg-grounding-dino"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {"grounding_dino_config": GroundingDinoConfig}

    grounding_dino_config: Any = None  # a configuration, or its options in a dictionary
    shortest_side: int = 800
    longest_side: int = 1333
    max_text_tokens: int = 64


class GroundingDinoDetector(TextDetector):
    """Grounding DINO with one caption for all texts of an image.

    The score of a box for a text is its highest score for a token of the text. Tokens of different
    texts do not attend to each other inside the network, because a full stop separates them.

    Args:
        config: Sizes.
    """

    image_inputs = ("pixel_values_detector",)
    text_inputs = ("prompt_ids", "prompt_mask")

    def __init__(self, config: GroundingDinoDetectorConfig) -> None:
        super().__init__()
        self.network = GroundingDinoForObjectDetection(config.grounding_dino_config)

    def score_boxes(
        self, image: Mapping[str, Tensor], texts: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Compute all boxes of one image, and the score of each for each text.

        Args:
            image: `pixel_values_detector`, (1, 3, h, w), without padding.
            texts: `prompt_ids` (K, L) int64, each text with start token, full stop and end token,
                and `prompt_mask` (K, L), False for padding.

        Returns:
            Boxes (Q, 4) and scores (K, Q).
        """
        ids, mask = texts["prompt_ids"], texts["prompt_mask"].bool()
        lengths = mask.sum(dim=1).tolist()
        inner = [row[1 : length - 1] for row, length in zip(ids, lengths, strict=True)]
        last = ids[0, lengths[0] - 1 : lengths[0]]
        # "[start] dog . cat . [end]", as the processor of `transformers` joins several texts.
        caption = torch.cat([ids[0, :1], *inner, last]).unsqueeze(0)
        # The network would cut a longer caption, and lose its last texts without an error.
        if caption.shape[1] > self.network.config.max_text_len:
            raise ValueError(
                f"the {len(ids)} texts of an image have {caption.shape[1]} tokens, the detector "
                f"takes {self.network.config.max_text_len}; give fewer, such as a lower max_names."
            )
        pixel_values = image["pixel_values_detector"]
        outputs = self.network(
            pixel_values=pixel_values,
            pixel_mask=pixel_values.new_ones((1, *pixel_values.shape[-2:]), dtype=torch.int64),
            input_ids=caption,
            token_type_ids=torch.zeros_like(caption),
            attention_mask=torch.ones_like(caption),
        )
        tokens = outputs.logits[0].sigmoid()  # (Q, longest caption), 0 after the caption
        counts = [len(row) for row in inner]
        spans = tokens[:, 1 : 1 + sum(counts)].split(counts, dim=1)
        return outputs.pred_boxes[0], torch.stack([span.amax(dim=1) for span in spans])


@strict
class Owlv2DetectorConfig(StrictConfig):
    """Sizes of OWLv2.

    Args:
        owlv2_config: The network, an `Owlv2Config`.
    """

    model_type = "avseg-owlv2"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {"owlv2_config": Owlv2Config}

    owlv2_config: Any = None  # a configuration, or its options in a dictionary

    @property
    def max_text_tokens(self) -> int:
        """Maximum length of a text with its start and end token, in tokens."""
        limit: int = self.owlv2_config.text_config.max_position_embeddings
        return limit

    @property
    def image_size(self) -> int:
        """Side of the square images, in pixels."""
        side: int = self.owlv2_config.vision_config.image_size
        return side


class Owlv2Detector(TextDetector):
    """OWLv2; the texts do not influence the boxes.

    Args:
        config: Sizes.
    """

    image_inputs = ("pixel_values_detector", "frame_size")
    text_inputs = ("prompt_ids", "prompt_mask")

    def __init__(self, config: Owlv2DetectorConfig) -> None:
        super().__init__()
        self.network = Owlv2ForObjectDetection(config.owlv2_config)

    def score_boxes(
        self, image: Mapping[str, Tensor], texts: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Compute all boxes of one image, and the score of each for each text.

        Args:
            image: `pixel_values_detector`, (1, 3, S, S), padded on the right or at the bottom, and
                `frame_size`, the height and width of the image before, (1, 2) int64.
            texts: `prompt_ids` (K, L) int64, each text with start and end token, and `prompt_mask`
                (K, L), False for padding.

        Returns:
            Boxes (Q, 4) and scores (K, Q).
        """
        # The stubs give the length of these tuples wrongly, so their items are taken by index.
        grid = self.network.image_embedder(image["pixel_values_detector"])[0]  # (1, g, g, D)
        features = grid.flatten(1, 2)
        embeddings = self.network.owlv2.get_text_features(
            input_ids=texts["prompt_ids"], attention_mask=texts["prompt_mask"].long()
        ).pooler_output
        queries = F.normalize(embeddings, dim=-1).unsqueeze(0)  # (1, K, D)
        logits = self.network.class_predictor(features, queries)[0]  # (1, Q, K)
        boxes = self.network.box_predictor(features, grid)[0]  # of the padded square
        height, width = image["frame_size"][0].tolist()
        longest = max(height, width)
        scale = boxes.new_tensor([longest / width, longest / height] * 2)
        return boxes * scale, logits[0].sigmoid().T
