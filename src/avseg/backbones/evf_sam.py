"""EVF-SAM: SAM prompted by BEiT-3's joint encoding of a text and an image (arXiv:2406.20076).

AV2T-SAM uses the same model, but with pseudo text tokens instead of a text.

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

#: Configuration of SAM 1 or SAM 2.
SamConfig = PromptedSam1Config | PromptedSam2Config


def as_sam_config(options: SamConfig | Mapping[str, Any] | None) -> SamConfig:
    """Build the configuration of SAM 1 or SAM 2 from options.

    Args:
        options: A configuration, or a dictionary of its options. Without a `model_type` they are
            options of SAM 2. None for the defaults of SAM 2.

    Returns:
        The configuration.

    Raises:
        ValueError: If `model_type` is neither that of SAM 1 nor that of SAM 2.
    """
    config: SamConfig = config_of(options, (PromptedSam2Config, PromptedSam1Config), "a SAM")
    return config


def check_suppress_absent(config: SamConfig, suppress_absent: bool) -> None:
    """Validate that the model has an object score if it suppresses the masks of absent objects.

    Args:
        config: Configuration of SAM 1 or SAM 2.
        suppress_absent: Whether masks of absent objects are suppressed.

    Raises:
        ValueError: If they are suppressed and the model is SAM 1, which has no object score.
    """
    if suppress_absent and isinstance(config, PromptedSam1Config):
        raise ValueError(
            "suppress_absent needs an object score, which SAM 1 lacks; leave it out, or use SAM 2."
        )


def check_object_score(config: SamConfig, presence_weight: float, suppress_absent: bool) -> None:
    """Validate that the model has an object score if an option trains or uses it.

    Args:
        config: Configuration of SAM 1 or SAM 2.
        presence_weight: Weight of the loss that trains the object score.
        suppress_absent: Whether masks of absent objects are suppressed.

    Raises:
        ValueError: If one of the two options needs an object score and the model is SAM 1.
    """
    if isinstance(config, PromptedSam1Config) and (presence_weight or suppress_absent):
        raise ValueError(
            f"presence_weight {presence_weight} and suppress_absent {suppress_absent} need an "
            "object score, which SAM 1 lacks; leave both out, or use SAM 2."
        )


def build_sam(config: SamConfig) -> PromptedSam:
    """Build SAM 1 or SAM 2 from its configuration."""
    return PromptedSam1(config) if isinstance(config, PromptedSam1Config) else PromptedSam2(config)


class TextPromptedSam(nn.Module):
    """Segmentation model prompted by a text, or by other embeddings instead of a text.

    Args:
        sam_config: Sizes of the image encoder and the mask decoder.
        beit3_config: Sizes of the image-text encoder.
    """

    def __init__(self, sam_config: SamConfig, beit3_config: Beit3Config) -> None:
        super().__init__()
        self.sam = build_sam(sam_config)
        self.beit3 = Beit3Model(beit3_config)
        # Projection of BEiT-3's class token to a prompt of SAM; the name is the published one.
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
        """Encode a text together with its image to a prompt for the mask decoder.

        Args:
            image_tokens: Tokens of each prompt's image, from `beit3.embed_images`, (N, V, D).
            text_embeddings: Embeddings from `beit3.embed_text`, or pseudo text tokens, (N, T, D).
            padding_mask: True where the text is padding, (N, T) bool; None masks nothing.

        Returns:
            Sparse prompt embeddings, one token for each text, (N, 1, E).
        """
        # Only the class token becomes the prompt, so the last layer computes nothing else.
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
        """Predict the masks of the object that each text names.

        Args:
            features: Image features from `sam.encode_images`, one entry for each prompt.
            image_tokens: Tokens of each prompt's image, from `beit3.embed_images`, (N, V, D).
            text_embeddings: Embeddings from `beit3.embed_text`, or pseudo text tokens, (N, T, D).
            padding_mask: True where the text is padding, (N, T) bool; None masks nothing.
            multimask: Whether three masks are predicted for each prompt, or one.

        Returns:
            The predicted masks of each prompt.
        """
        prompts = self.text_prompts(image_tokens, text_embeddings, padding_mask)
        return self.sam.decode_masks(features, prompts, multimask)

    def segment_texts(
        self,
        pixel_values_sam: Tensor,
        pixel_values_beit3: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor,
        image_index: Tensor,
        multimask: bool,
    ) -> MaskPrediction:
        """Predict the masks of texts; an image with several texts is encoded once.

        Args:
            pixel_values_sam: Images for SAM, (I, 3, S, S).
            pixel_values_beit3: The same images for BEiT-3, (I, 3, s, s).
            input_ids: Token ids of the text of each prompt, (N, T) int64.
            attention_mask: True, or 1, for tokens, False for padding, (N, T).
            image_index: Index of the image of each prompt, (N,) int64.
            multimask: Whether three masks are predicted for each prompt, or one.

        Returns:
            The predicted masks of each prompt.
        """
        # SAM's features get an index of the images. The tokens of BEiT-3 are copied for each
        # prompt, because its layers mix image and text. Its padding mask is the inverse of a
        # tokenizer's attention mask.
        prediction: MaskPrediction = self(
            self.sam.encode_images(pixel_values_sam).repeat(image_index),
            self.beit3.embed_images(pixel_values_beit3)[image_index],
            self.beit3.embed_text(input_ids),
            padding_mask=~attention_mask.bool(),
            multimask=multimask,
        )
        return prediction
