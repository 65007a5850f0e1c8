"""SAMA-AVS, the whole model: frames and sound in, masks of what sounds out; no text between.

B clips, T frames, N = B * T, S side of the pictures, A width of the audio embedding, h x w size of
the mask logits, H x W size of the true masks.
"""

from typing import Self

from torch import Tensor

from avseg.backbones.clap import ClapAudioTower
from avseg.backbones.evf_sam import build_sam
from avseg.models.adapters import BlockAdapters
from avseg.models.frames_and_sounds import embed_sounds
from avseg.models.model import AvsegModel
from avseg.models.outputs import AvsegOutput, as_output
from avseg.models.sama.configuration import SamaConfig

#: Parameter-name prefixes that train; everything else stays as pretrained, as in the paper's code.
TRAINABLE = (
    "adapters.",
    "sam.sam1.mask_decoder.",
    "sam.sam1.prompt_encoder.no_mask_embed.",
    "sam.sam2.mask_decoder.",
    "sam.sam2.prompt_encoder.no_mask_embed.",
)


class SamaModel(AvsegModel):
    """Segments the objects that sound (Liu et al., WACV 2024, arXiv:2305.11019).

    The sound goes into every block of the frozen image encoder and nowhere else: the mask decoder
    gets no prompt.

    Args:
        config: Sizes.
    """

    config_class = SamaConfig
    config: SamaConfig
    base_model_prefix = "sama"
    main_input_name = "pixel_values"
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

    def forward(
        self,
        pixel_values: Tensor,
        audio_values: Tensor | None = None,
        clap_embeddings: Tensor | None = None,
        targets: Tensor | None = None,
        annotated: Tensor | None = None,
    ) -> AvsegOutput:
        """Segment what sounds in every frame.

        Args:
            pixel_values: Frames, (B, T, 3, S, S).
            audio_values: Sound of each frame, (B, T, samples); not needed with `clap_embeddings`.
            clap_embeddings: CLAP embeddings computed before, (B, T, A).
            targets: True masks, (B, T, H, W) of 0 and 1.
            annotated: True for frames whose target counts, (B, T) bool; None counts all.

        Returns:
            The masks, and the loss if there are targets.

        Raises:
            ValueError: If there is neither sound nor its embeddings.
        """
        shape = pixel_values.shape[:2]
        heard = embed_sounds(self.clap, audio_values, clap_embeddings).flatten(0, 1)  # (N, A)
        features = self.sam.encode_images(pixel_values.flatten(0, 1), self.adapters(heard))
        no_prompts = features.embeddings.new_empty(len(heard), 0, self.config.sam_config.prompt_dim)
        prediction = self.sam.decode_masks(features, no_prompts, self.config.multimask)
        return as_output(prediction, self.config, (shape[0], shape[1]), targets, annotated)

    def _freeze(self) -> None:
        """Let the paper's parts train and nothing else."""
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name.startswith(TRAINABLE))
        self.train(self.training)
