"""Text-prompted segmenter of two networks: a detector gives boxes, SAM 2 gives their masks.

I images, P prompts, S side of SAM's images, h side of the mask logits.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor

from avseg.backbones.config import StrictConfig, config_of
from avseg.backbones.sam import NO_OBJECT_LOGIT
from avseg.backbones.sam2 import PromptedSam2, PromptedSam2Config
from avseg.backbones.text_detectors import (
    GroundingDinoDetector,
    GroundingDinoDetectorConfig,
    Owlv2Detector,
    Owlv2DetectorConfig,
    TextDetector,
)
from avseg.backbones.text_prompted import TextMasks, TextPromptedSegmenter


@strict
class BoxSegmenterConfig(StrictConfig):
    """Sizes of the two networks, and the rule that rejects boxes.

    Args:
        detector_config: A `GroundingDinoDetectorConfig` or an `Owlv2DetectorConfig`. In a
            dictionary, `model_type` selects the class; the default is Grounding DINO.
        sam_config: SAM 2, a `PromptedSam2Config`.
        min_box_score: Score that a box must exceed, in [0, 1). An object without such a box is not
            in the picture: its mask is empty.
        max_boxes: Maximum number of boxes of a text in an image.
    """

    model_type = "avseg-box-segmenter"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {
        "detector_config": GroundingDinoDetectorConfig,
        "sam_config": PromptedSam2Config,
    }

    detector_config: Any = None  # a configuration, or its options in a dictionary
    sam_config: Any = None
    min_box_score: float = 0.3
    max_boxes: int = 5

    # `transformers` cannot choose between the two detectors.
    def __post_init__(self, **kwargs: Any) -> None:
        self.detector_config = config_of(
            self.detector_config, (GroundingDinoDetectorConfig, Owlv2DetectorConfig), "a detector"
        )
        super().__post_init__(**kwargs)

    @property
    def max_text_tokens(self) -> int:
        """Maximum length of a text with its start and end token, in tokens."""
        limit: int = self.detector_config.max_text_tokens
        return limit

    def validate_boxes(self) -> None:
        """Raise an error if no box can exceed the threshold, or no box is allowed."""
        if not 0 <= self.min_box_score < 1:
            raise ValueError(f"min_box_score must be in [0, 1), got {self.min_box_score}.")
        if self.max_boxes < 1:
            raise ValueError(f"max_boxes must be at least 1, got {self.max_boxes}.")


class BoxSegmenter(TextPromptedSegmenter):
    """Detects the object of each text, and segments each of its boxes with SAM 2.

    The mask of a prompt is the union of the masks of its boxes. An image without a box is not
    encoded by SAM 2.

    Args:
        config: Sizes and rule.
    """

    text_inputs = ("prompt_ids", "prompt_mask")
    image_inputs = ("pixel_values_sam", "pixel_values_detector", "frame_size")

    def __init__(self, config: BoxSegmenterConfig) -> None:
        super().__init__()
        self.config = config
        self.detector = _build_detector(config.detector_config)
        self.sam = PromptedSam2(config.sam_config)

    def segment_prompts(
        self, images: Mapping[str, Tensor], texts: Mapping[str, Tensor], image_index: Tensor
    ) -> TextMasks:
        """Segment the object of each prompt, one image after the other.

        Args:
            images: `pixel_values_sam` (I, 3, S, S), the frame stretched to the square, and the
                tensors of the detector.
            texts: The tensors of the detector's texts, a row for each prompt.
            image_index: Index of the image of each prompt, (P,) int64, never decreasing.

        Returns:
            The masks. The score of a prompt is the largest product of a box's score and the
            predicted IoU of its mask.
        """
        pixel_values = images["pixel_values_sam"]
        side = self.config.sam_config.image_size // self.config.sam_config.patch_stride
        logits = pixel_values.new_full((len(image_index), side, side), NO_OBJECT_LOGIT)
        scores = pixel_values.new_zeros(len(image_index))
        # One image at a time: the features of both networks are large, and most prompts share an
        # image with few others.
        for image in image_index.unique().tolist():
            prompts = (image_index == image).nonzero()[:, 0]
            found = self.detector.detect_objects(
                {name: images[name][image : image + 1] for name in self.detector.image_inputs},
                {name: texts[name][prompts] for name in self.detector.text_inputs},
                self.config.min_box_score,
                self.config.max_boxes,
            )
            if not len(found.boxes):
                continue
            masks, ious = self._segment_boxes(pixel_values[image : image + 1], found.boxes)
            of_prompt = prompts[found.text_index]  # (M,)
            rows = of_prompt.view(-1, 1, 1).expand_as(masks)
            logits = logits.scatter_reduce(0, rows, masks, "amax")
            scores = scores.scatter_reduce(0, of_prompt, found.scores * ious, "amax")
        return TextMasks(logits, scores)

    def _segment_boxes(self, pixel_values: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Segment the boxes of one image: mask logits (M, h, h) and predicted IoU (M,)."""
        every = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
        prediction = self.sam.decode_masks(
            self.sam.encode_images(pixel_values).repeat(every),
            self.sam.embed_boxes(boxes),
            # A box is not ambiguous, so SAM 2 has one mask for it.
            multimask=False,
        )
        logits, ious = prediction.best()
        return logits.float(), ious.float().clamp(0, 1)


def _build_detector(config: Any) -> TextDetector:
    if isinstance(config, GroundingDinoDetectorConfig):
        return GroundingDinoDetector(config)
    return Owlv2Detector(config)
