"""SAMA-AVS, the whole model: frames and sound in, masks of what sounds out; no text between.

B clips, T frames, N = B * T, S side of the pictures, A width of the audio embedding, h x w size of
the mask logits, H x W size of the true masks.
"""

from typing import Self

from torch import Tensor

from avseg.backbones.clap import ClapAudioTower
from avseg.backbones.evf_sam import build_sam
from avseg.models.adapters import BlockAdapters
from avseg.models.frame_audio import FrameAudioModel
from avseg.models.outputs import AvsegOutput, build_output
from avseg.models.sama.configuration import SamaConfig

#: Parameter-name prefixes that train; everything else stays as pretrained, as in the paper's code.
TRAINABLE = (
    "adapters.",
    "sam.sam1.mask_decoder.",
    "sam.sam1.prompt_encoder.no_mask_embed.",
    "sam.sam2.mask_decoder.",
    "sam.sam2.prompt_encoder.no_mask_embed.",
)


class SamaModel(FrameAudioModel):
    """Segments the objects that sound (Liu et al., WACV 2024, arXiv:2305.11019).

    The sound goes into every block of the frozen image encoder and nowhere else: the mask decoder
    gets no prompt.

    Args:
        config: Sizes.
    """

    config_class = SamaConfig
    config: SamaConfig
    base_model_prefix = "sama"
    trainable_prefixes = TRAINABLE
    supports_gradient_checkpointing = True

    def __init__(self, config: SamaConfig) -> None:
        super().__init__(config)
        self.sam = build_sam(config.sam_config)
        self.clap = ClapAudioTower(config.clap_config)
        self.adapters = BlockAdapters(
            config.clap_config.projection_dim, config.adapter_dim, self.sam.block_dims
        )
        self.post_init()
        self._freeze()

    def train(self, mode: bool = True) -> Self:
        """Switch training mode, which the frozen parts never enter."""
        super().train(mode)
        self.sam.image_encoder.eval()
        self.clap.eval()
        return self

    def segment(
        self,
        pixel_values: Tensor,
        audio_embeddings: Tensor,
        targets: Tensor | None,
        annotated: Tensor | None,
    ) -> AvsegOutput:
        """Decode one mask for each frame from features that the audio has conditioned.

        Args:
            pixel_values: Frames, (B, T, 3, S, S).
            audio_embeddings: CLAP embedding of the audio of each frame, (B, T, A).
            targets: As for `forward`.
            annotated: As for `forward`.

        Returns:
            The masks, and the loss if there are targets.
        """
        shape = pixel_values.shape[:2]
        audio = audio_embeddings.flatten(0, 1)  # (N, A)
        features = self.sam.encode_images(pixel_values.flatten(0, 1), self.adapters(audio))
        no_prompts = features.embeddings.new_empty(len(audio), 0, self.config.sam_config.prompt_dim)
        prediction = self.sam.decode_masks(features, no_prompts, self.config.multimask)
        return build_output(prediction, self.config, (shape[0], shape[1]), targets, annotated)
