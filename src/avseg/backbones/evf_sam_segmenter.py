"""EVF-SAM as a text-prompted segmenter (Zhang et al. 2024, arXiv:2406.20076).

I images, P prompts, S / s side of the images for SAM / BEiT-3, L tokens of a text.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict
from torch import Tensor
from torch.nn import functional as F

from avseg.backbones.beit3 import Beit3Config
from avseg.backbones.config import StrictConfig
from avseg.backbones.evf_sam import TextPromptedSam, as_sam_config, check_suppress_absent
from avseg.backbones.sam2 import PromptedSam2Config
from avseg.backbones.text_prompted import TextMasks, TextPromptedSegmenter


@strict
class EvfSamSegmenterConfig(StrictConfig):
    """Sizes and mask options; the defaults are EVF-SAM2 multitask.

    Args:
        sam_config: Image encoder and mask decoder, a `PromptedSam2Config` or a
            `PromptedSam1Config`. In a dictionary, `model_type` selects the class; the default is
            SAM 2.
        beit3_config: Image-text encoder, a `Beit3Config`.
        keep_proportions: Whether a frame for SAM keeps its proportions and is padded on the right
            or at the bottom, as in the training of EVF-SAM on SAM 1; otherwise it is stretched to
            the square.
        multimask: Whether the output is the best of three masks instead of EVF-SAM's single mask.
        suppress_absent: Whether a mask is emptied if SAM 2's object score predicts that the object
            is absent; published EVF-SAM models never empty a mask. SAM 1 has no object score.
    """

    model_type = "avseg-evf-sam-segmenter"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {
        "sam_config": PromptedSam2Config,
        "beit3_config": Beit3Config,
    }

    sam_config: Any = None  # a configuration, or its options in a dictionary
    beit3_config: Any = None
    keep_proportions: bool = False
    multimask: bool = True
    suppress_absent: bool = False

    # `transformers` builds the other backbone, but cannot choose between SAM 1 and SAM 2.
    def __post_init__(self, **kwargs: Any) -> None:
        self.sam_config = as_sam_config(self.sam_config)
        super().__post_init__(**kwargs)

    @property
    def max_text_tokens(self) -> int:
        """Maximum length of a text, in tokens."""
        limit: int = self.beit3_config.max_text_tokens
        return limit

    def validate_object_score(self) -> None:
        """Raise an error if an option needs an object score, which SAM 1 does not have."""
        check_suppress_absent(self.sam_config, self.suppress_absent)


class EvfSamSegmenter(TextPromptedSam, TextPromptedSegmenter):
    """EVF-SAM with its own tensor names, behind the interface of all text-prompted segmenters.

    Args:
        config: Sizes and mask options.
    """

    image_inputs = ("pixel_values_sam", "pixel_values_beit3", "frame_size")
    text_inputs = ("prompt_ids", "prompt_mask")

    def __init__(self, config: EvfSamSegmenterConfig) -> None:
        super().__init__(config.sam_config, config.beit3_config)
        self.config = config

    def segment_prompts(
        self, images: Mapping[str, Tensor], texts: Mapping[str, Tensor], image_index: Tensor
    ) -> TextMasks:
        """Segment the object of each prompt; an image with several prompts is encoded once.

        Args:
            images: `pixel_values_sam` (I, 3, S, S) and `pixel_values_beit3` (I, 3, s, s); with
                `keep_proportions` also `frame_size` (I, 2) int64, the height and width of each
                image inside the square. All images have the same.
            texts: `prompt_ids` (P, L) int64, and `prompt_mask` (P, L), True for tokens and False
                for padding.
            image_index: Index of the image of each prompt, (P,) int64.

        Returns:
            The masks. Their scores are the predicted IoU, times the presence probability if the
            model has an object score.
        """
        pixel_values = images["pixel_values_sam"]
        side = self.config.sam_config.image_size
        if not len(image_index):
            # The mask decoder fails with zero prompts, so the result is built without it.
            return TextMasks(
                pixel_values.new_zeros(0, side // 4, side // 4), pixel_values.new_zeros(0)
            )
        prediction = self.segment_texts(
            pixel_values,
            images["pixel_values_beit3"],
            texts["prompt_ids"],
            texts["prompt_mask"],
            image_index,
            self.config.multimask,
        )
        logits, scores = prediction.best(self.config.suppress_absent)
        presence = prediction.object_score_logits  # (P, 1)
        if presence is not None:
            scores = scores * presence.squeeze(-1).sigmoid()
        # Only at SAM's full resolution the padding begins at a whole pixel.
        if "frame_size" in images:
            height, width = images["frame_size"][0].tolist()
            whole = F.interpolate(logits.unsqueeze(1), (side, side), mode="bilinear").squeeze(1)
            logits = whole[:, :height, :width]
        return TextMasks(logits, scores)
