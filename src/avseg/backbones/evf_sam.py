"""EVF-SAM: SAM prompted by BEiT-3's reading of a text and the image (arXiv:2406.20076).

AV2T-SAM uses the same model with pseudo text tokens in the text's place.

N prompts, T text tokens, D width of BEiT-3, E prompt width of SAM.
"""

from torch import Tensor, nn

from avseg.backbones.beit3 import Beit3Config, Beit3Model
from avseg.backbones.sam2 import ImageFeatures, MaskPrediction, PromptedSam2, PromptedSam2Config


class TextPromptedSam(nn.Module):
    """A segmenter that takes a text, or embeddings in its place.

    Args:
        sam2_config: Sizes of the image encoder and the mask decoder.
        beit3_config: Sizes of the image-text encoder.
    """

    def __init__(self, sam2_config: PromptedSam2Config, beit3_config: Beit3Config) -> None:
        super().__init__()
        self.sam = PromptedSam2(sam2_config)
        self.beit3 = Beit3Model(beit3_config)
        self.text_hidden_fcs = nn.Sequential(
            nn.Linear(beit3_config.dim, beit3_config.dim),
            nn.ReLU(),
            nn.Linear(beit3_config.dim, sam2_config.prompt_dim),
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
    ) -> MaskPrediction:
        """Segment what each text names in its image.

        Args:
            features: From `sam.encode_images`, of each prompt's image.
            image_tokens: From `beit3.embed_images`, of each prompt's image, (N, V, D).
            text_embeddings: From `beit3.embed_text`, or pseudo text tokens, (N, T, D).
            padding_mask: True where the text is padding, (N, T) bool; None masks nothing.

        Returns:
            Three masks for each prompt.
        """
        prompts = self.text_prompts(image_tokens, text_embeddings, padding_mask)
        return self.sam.decode_masks(features, prompts)
