"""EVF-SAM: SAM prompted by BEiT-3's reading of a text and the image (arXiv:2406.20076).

AV2T-SAM uses the same model with pseudo text tokens in the text's place.

N prompts, T text tokens, D width of BEiT-3, E prompt width of SAM.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from avseg.backbones.beit3 import Beit3Config, Beit3Model
from avseg.backbones.config import config_of
from avseg.backbones.sam import ImageFeatures, MaskPrediction, PromptedSam
from avseg.backbones.sam1 import PromptedSam1, PromptedSam1Config
from avseg.backbones.sam2 import PromptedSam2, PromptedSam2Config

#: Configuration of either SAM.
SamConfig = PromptedSam1Config | PromptedSam2Config


def as_sam_config(options: SamConfig | Mapping[str, Any] | None) -> SamConfig:
    """Make the configuration of the SAM that the options are of.

    Args:
        options: A configuration, or its options, SAM 2's if their `model_type` does not say; None
            for SAM 2's defaults.

    Returns:
        The configuration.

    Raises:
        ValueError: If `model_type` names neither SAM.
    """
    config: SamConfig = config_of(options, (PromptedSam2Config, PromptedSam1Config), "a SAM")
    return config


def check_suppress_absent(config: SamConfig, suppress_absent: bool) -> None:
    """Refuse to ask SAM 1 whether there is an object.

    Args:
        config: Of either SAM.
        suppress_absent: Whether the object score is to be asked.

    Raises:
        ValueError: If it is, and there is none.
    """
    if suppress_absent and isinstance(config, PromptedSam1Config):
        raise ValueError(
            "suppress_absent needs an object score, which SAM 1 has not; leave it out, or take "
            "SAM 2."
        )


def check_object_score(config: SamConfig, presence_weight: float, suppress_absent: bool) -> None:
    """Refuse to train or to ask SAM 1's judgement whether there is an object.

    Args:
        config: Of either SAM.
        presence_weight: Weight of the loss that trains the object score.
        suppress_absent: Whether the object score is to be asked.

    Raises:
        ValueError: If there is no object score, and one of the two needs it.
    """
    if isinstance(config, PromptedSam1Config) and (presence_weight or suppress_absent):
        raise ValueError(
            f"presence_weight {presence_weight} and suppress_absent {suppress_absent} need an "
            "object score, which SAM 1 has not; leave both out, or take SAM 2."
        )


def build_sam(config: SamConfig) -> PromptedSam:
    """Build the SAM that a configuration is of."""
    return PromptedSam1(config) if isinstance(config, PromptedSam1Config) else PromptedSam2(config)


class TextPromptedSam(nn.Module):
    """A segmenter that takes a text, or embeddings in its place.

    Args:
        sam_config: Sizes of the image encoder and the mask decoder.
        beit3_config: Sizes of the image-text encoder.
    """

    def __init__(self, sam_config: SamConfig, beit3_config: Beit3Config) -> None:
        super().__init__()
        self.sam = build_sam(sam_config)
        self.beit3 = Beit3Model(beit3_config)
        self.text_hidden_fcs = nn.Sequential(
            nn.Linear(beit3_config.dim, beit3_config.dim),
            nn.ReLU(),
            nn.Linear(beit3_config.dim, sam_config.prompt_dim),
        )

    def text_prompts(
        self,
        image_tokens: Tensor,
        text_embeddings: Tensor,
        padding_mask: Tensor | None = None,
    ) -> Tensor:
        """Turn text in the light of its image into a prompt for the mask decoder.

        Args:
            image_tokens: From `beit3.embed_images`, of each prompt's image, (N, V, D).
            text_embeddings: From `beit3.embed_text`, or pseudo text tokens, (N, T, D).
            padding_mask: True where the text is padding, (N, T) bool; None masks nothing.

        Returns:
            Sparse prompt embeddings, one token each, (N, 1, E).
        """
        cls = self.beit3(image_tokens, text_embeddings, padding_mask, cls_only=True)  # (N, 1, D)
        prompts: Tensor = self.text_hidden_fcs(cls)
        return prompts

    def forward(
        self,
        features: ImageFeatures,
        image_tokens: Tensor,
        text_embeddings: Tensor,
        padding_mask: Tensor | None = None,
        multimask: bool = True,
    ) -> MaskPrediction:
        """Segment what each text names in its image.

        Args:
            features: From `sam.encode_images`, lined up with the prompts.
            image_tokens: From `beit3.embed_images`, of each prompt's image, (N, V, D).
            text_embeddings: From `beit3.embed_text`, or pseudo text tokens, (N, T, D).
            padding_mask: True where the text is padding, (N, T) bool; None masks nothing.
            multimask: Three masks for each prompt, or one.

        Returns:
            The masks of each prompt.
        """
        prompts = self.text_prompts(image_tokens, text_embeddings, padding_mask)
        return self.sam.decode_masks(features, prompts, multimask)
