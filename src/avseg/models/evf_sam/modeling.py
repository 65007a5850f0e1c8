"""EVF-SAM model: computes one mask for each text.

N images, P prompts, L tokens of the longest text, S / s side of the images for SAM / BEiT-3, h x w
size of the mask logits.
"""

from torch import Tensor

from avseg.backbones.evf_sam import TextPromptedSam
from avseg.models.evf_sam.configuration import EvfSamConfig
from avseg.models.model import AvsegModel
from avseg.models.outputs import AvsegOutput


class EvfSamModel(AvsegModel):
    """Segments the objects that texts describe (Zhang et al. 2024, arXiv:2406.20076).

    Args:
        config: Sizes.
    """

    config_class = EvfSamConfig
    config: EvfSamConfig
    base_model_prefix = "evf_sam"
    main_input_name = "pixel_values_sam"

    def __init__(self, config: EvfSamConfig) -> None:
        super().__init__(config)
        self.segmenter = TextPromptedSam(config.sam_config, config.beit3_config)
        self.post_init()

    def forward(
        self,
        pixel_values_sam: Tensor,
        pixel_values_beit3: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor,
        image_index: Tensor,
    ) -> AvsegOutput:
        """Segment the object that each text describes in its image.

        Args:
            pixel_values_sam: Images for SAM, (N, 3, S, S).
            pixel_values_beit3: The same images for BEiT-3, (N, 3, s, s).
            input_ids: Token ids of the text of each prompt, (P, L) int64.
            attention_mask: True, or 1, for tokens, False for padding, (P, L).
            image_index: Index of the image of each prompt, (P,) int64.

        Returns:
            `mask_logits` (P, h, w), `iou_predictions` (P,) in [0, 1], and `object_score_logits`
            (P,), None with SAM 1.
        """
        multimask = self.config.multimask
        prediction = self.segmenter.segment_texts(
            pixel_values_sam, pixel_values_beit3, input_ids, attention_mask, image_index, multimask
        )
        logits, ious = prediction.best(self.config.suppress_absent)  # (P, h, w), (P,)
        presence = prediction.object_score_logits  # (P, 1)
        return AvsegOutput(
            mask_logits=logits,
            iou_predictions=ious,
            object_score_logits=None if presence is None else presence.squeeze(-1),
        )
