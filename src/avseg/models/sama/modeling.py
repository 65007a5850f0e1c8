"""SAMA-AVS model: computes masks of the sounding objects without any text.

B clips, T frames, N = B * T, S side of the images, A width of the audio embedding.
"""

from typing import Self

from torch import Tensor

from avseg.backbones.clap import ClapAudioTower
from avseg.backbones.evf_sam import build_sam
from avseg.models.frame_audio import FrameAudioModel, GroundTruth
from avseg.models.model import BlockAdapters
from avseg.models.outputs import AvsegOutput, build_output
from avseg.models.sama.configuration import SamaConfig

#: Prefixes of trainable parameters; all others keep pretrained weights, as in the paper's code.
TRAINABLE = (
    "adapters.",
    "sam.sam1.mask_decoder.",
    "sam.sam1.prompt_encoder.no_mask_embed.",
    "sam.sam2.mask_decoder.",
    "sam.sam2.prompt_encoder.no_mask_embed.",
)


class SamaModel(FrameAudioModel):
    """Segments the sounding objects (Liu et al., WACV 2024, arXiv:2305.11019).

    Adapters add the audio to every block of the frozen image encoder; the mask decoder gets no
    prompt.

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
        """Set training mode; the frozen backbones stay in evaluation mode."""
        super().train(mode)
        # In training mode dropout would change the features of the frozen backbones.
        self.sam.image_encoder.eval()
        self.clap.eval()
        return self

    def segment(
        self, pixel_values: Tensor, audio_embeddings: Tensor, truth: GroundTruth
    ) -> AvsegOutput:
        """Decode one mask for each frame from image features that depend on its audio."""
        shape = pixel_values.shape[:2]
        audio = audio_embeddings.flatten(0, 1)  # (N, A)
        features = self.sam.encode_images(pixel_values.flatten(0, 1), self.adapters(audio))
        # The decoder gets no prompt: a tensor with zero tokens.
        no_prompts = features.embeddings.new_empty(len(audio), 0, self.config.sam_config.prompt_dim)
        prediction = self.sam.decode_masks(features, no_prompts, self.config.multimask)
        return build_output(prediction, self.config, (shape[0], shape[1]), *truth)
