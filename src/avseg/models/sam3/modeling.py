"""SAM 3 model: computes one mask for each text.

N images, P prompts, S side of the images, L tokens of the longest text, h side of the mask logits.
"""

from torch import Tensor

from avseg.backbones.sam3 import Sam3Segmenter
from avseg.models.model import AvsegModel
from avseg.models.outputs import AvsegOutput
from avseg.models.sam3.configuration import Sam3TextConfig


class Sam3TextModel(AvsegModel):
    """Segments all instances of the concepts that texts name.

    Args:
        config: Sizes and rule.
    """

    config_class = Sam3TextConfig
    config: Sam3TextConfig
    base_model_prefix = "sam3_text"
    main_input_name = "pixel_values_sam3"

    def __init__(self, config: Sam3TextConfig) -> None:
        super().__init__(config)
        self.segmenter = Sam3Segmenter(config.segmenter_config)
        self.post_init()

    def forward(
        self,
        pixel_values_sam3: Tensor,
        prompt_ids: Tensor,
        prompt_mask: Tensor,
        image_index: Tensor,
    ) -> AvsegOutput:
        """Segment the concept that each text names in its image.

        Args:
            pixel_values_sam3: Images, (N, 3, S, S).
            prompt_ids: Token ids of the text of each prompt, (P, L) int64.
            prompt_mask: True for tokens, False for padding, (P, L).
            image_index: Index of the image of each prompt, (P,) int64.

        Returns:
            `mask_logits` (P, h, h), and `iou_predictions` (P,) in [0, 1], the scores of SAM 3.
        """
        masks = self.segmenter.segment_prompts(
            {"pixel_values_sam3": pixel_values_sam3},
            {"prompt_ids": prompt_ids, "prompt_mask": prompt_mask},
            image_index,
        )
        return AvsegOutput(mask_logits=masks.mask_logits, iou_predictions=masks.scores)
