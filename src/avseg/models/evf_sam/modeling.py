"""EVF-SAM, the whole model: pictures and texts in, a mask for each text out.

N pictures, P prompts, L tokens of the longest text, S / s side of the pictures for SAM / BEiT-3,
h x w size of the mask logits.
"""

from torch import Tensor

from avseg.backbones.evf_sam import TextPromptedSam
from avseg.models.evf_sam.configuration import EvfSamConfig
from avseg.models.model import AvsegModel
from avseg.models.outputs import AvsegOutput


class EvfSamModel(AvsegModel):
    """Segments what texts name (Zhang et al. 2024, arXiv:2406.20076).

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
        """Segment what each text names in its picture; a picture is encoded once for all its texts.

        Args:
            pixel_values_sam: Pictures for SAM, (N, 3, S, S).
            pixel_values_beit3: The same pictures for BEiT-3, (N, 3, s, s).
            input_ids: Token ids of each prompt's text, (P, L) int64.
            attention_mask: True, or 1, for tokens, False for padding, (P, L).
            image_index: For each prompt the picture that it is about, (P,) int64.

        Returns:
            `mask_logits` (P, h, w), `iou_predictions` (P,) in [0, 1], and `object_score_logits`
            (P,), whether what is named is there, None with SAM 1.
        """
        beit3 = self.segmenter.beit3
        prediction = self.segmenter(
            self.segmenter.sam.encode_images(pixel_values_sam).repeat(image_index),
            beit3.embed_images(pixel_values_beit3)[image_index],
            beit3.embed_text(input_ids),
            padding_mask=~attention_mask.bool(),
            multimask=self.config.multimask,
        )
        logits, ious = prediction.best(self.config.suppress_absent)  # (P, h, w), (P,)
        presence = prediction.object_score_logits  # (P, 1)
        return AvsegOutput(
            mask_logits=logits,
            iou_predictions=ious,
            object_score_logits=None if presence is None else presence.squeeze(-1),
        )
