"""AV2T-SAM models: frames and audio to masks of the sounding objects, by EVF-SAM or by SAM 3.

B clips, T frames, N = B * T, S / s / c side of the images for SAM / BEiT-3 / CLIP, V / A width of
CLIP's / CLAP's embeddings, C_i input width of block i of the image encoder, H x W size of the
ground truth.
"""

from torch import Tensor, nn

from avseg.backbones.evf_sam import TextPromptedSam
from avseg.backbones.sam import ImageFeatures
from avseg.backbones.sam3 import PromptedSam3
from avseg.models.av2t_sam.bridge import BridgeModel
from avseg.models.av2t_sam.configuration import Av2tSam3Config, Av2tSamConfig
from avseg.models.outputs import AvsegOutput, build_output

#: Prefixes of trainable parameters; all others keep pretrained weights, as in the paper's code.
TRAINABLE = (
    "projector.",
    "adapters.",
    "segmenter.text_hidden_fcs.",
    "segmenter.sam.sam1.mask_decoder.",
    "segmenter.sam.sam1.prompt_encoder.no_mask_embed.",
    "segmenter.sam.sam2.mask_decoder.",
    "segmenter.sam.sam2.prompt_encoder.no_mask_embed.",
)

_MASK_DECODER = "segmenter.sam3.mask_decoder."
#: The same for SAM 3: of its mask decoder, the modules that compute the mask of all instances. The
#: others compute the masks of single instances, or a feature level that SAM 3 does not have.
TRAINABLE_SAM3 = (
    "projector.",
    "adapters.",
    _MASK_DECODER + "prompt_cross_attn",
    _MASK_DECODER + "semantic_projection.",
    *(
        f"{_MASK_DECODER}pixel_decoder.{kind}.{level}."
        for kind in ("conv_layers", "norms")
        for level in (0, 1)
    ),
)


class Av2tSamModel(BridgeModel):
    """Segments the sounding objects (Lee, Zhang, Duan 2025, arXiv:2502.16359).

    The product of CLIP and CLAP embeddings becomes pseudo text that prompts EVF-SAM; adapters add
    it to the image encoder as well.

    Args:
        config: Sizes, features of the prompt and adapters.
    """

    config_class = Av2tSamConfig
    config: Av2tSamConfig
    base_model_prefix = "av2t_sam"
    main_input_name = "pixel_values_sam"
    trainable_prefixes = TRAINABLE
    image_backbone = "sam"
    text_backbones = ("beit3",)

    def __init__(self, config: Av2tSamConfig) -> None:
        segmenter = TextPromptedSam(config.sam_config, config.beit3_config)
        super().__init__(config, segmenter, segmenter.sam.block_dims)

    @property
    def frozen_encoders(self) -> tuple[nn.Module, ...]:
        """BEiT-3 and SAM's image encoder."""
        return (self.segmenter.beit3, self.segmenter.sam.image_encoder)

    @property
    def image_tower(self) -> nn.Module:
        """SAM; SAM 2 adds its embedding of "no memory" to the output of its image encoder."""
        sam: nn.Module = self.segmenter.sam
        return sam

    def encode_frames(
        self, pixel_values: Tensor, block_prompts: list[Tensor] | None = None
    ) -> tuple[Tensor, ...]:
        """Encode frames with SAM's image encoder.

        Args:
            pixel_values: Frames for SAM, (N, 3, S, S).
            block_prompts: One (N, C_i) tensor for every block i; None adds nothing.

        Returns:
            Levels of `ImageFeatures`.
        """
        levels: tuple[Tensor, ...]
        levels = self.segmenter.sam.encode_images(pixel_values, block_prompts).levels
        return levels

    def forward(  # noqa: PLR0913 -- one argument for each input a caller may have cached
        self,
        pixel_values_beit3: Tensor,
        pixel_values_sam: Tensor | None = None,
        pixel_values_clip: Tensor | None = None,
        audio_values: Tensor | None = None,
        clip_embeddings: Tensor | None = None,
        clap_embeddings: Tensor | None = None,
        image_features: tuple[Tensor, ...] | None = None,
        targets: Tensor | None = None,
        annotated: Tensor | None = None,
    ) -> AvsegOutput:
        """Segment the sounding objects in every frame.

        Args:
            pixel_values_beit3: Frames for BEiT-3, (B, T, 3, s, s).
            pixel_values_sam: Frames for SAM, (B, T, 3, S, S); not needed with `image_features`.
            pixel_values_clip: Frames for CLIP, (B, T, 3, c, c); not needed with
                `clip_embeddings`, nor if the features are "clap".
            audio_values: Audio of each frame, (B, T, samples); not needed with
                `clap_embeddings`, nor if the features are "clip".
            clip_embeddings: CLIP embeddings computed before, (B, T, V).
            clap_embeddings: CLAP embeddings computed before, (B, T, A).
            image_features: Levels of `ImageFeatures` computed before, each with the leading
                dimensions (B, T); only without adapters.
            targets: Ground-truth masks, (B, T, H, W) of 0 and 1.
            annotated: True for frames with a ground truth, (B, T) bool; None if all have one. In
                AVSBench's S4 only the first frame of a training clip has one.

        Returns:
            The masks, and the loss if there are targets.

        Raises:
            ValueError: If an input that the configuration needs is missing.
        """
        shape = pixel_values_beit3.shape[:2]
        # The same fused features prompt the decoder and, through adapters, the image encoder.
        fused = self.fuse(pixel_values_clip, audio_values, clip_embeddings, clap_embeddings)
        levels = self.image_features(pixel_values_sam, image_features, fused)
        # BEiT-3 encodes image tokens and pseudo text together, as it does with a real text.
        image_tokens = self.segmenter.beit3.embed_images(pixel_values_beit3.flatten(0, 1))
        prediction = self.segmenter(ImageFeatures(levels), image_tokens, self.projector(fused))
        return build_output(prediction, self.config, (shape[0], shape[1]), targets, annotated)


class Av2tSam3Model(BridgeModel):
    """Segments the sounding objects with SAM 3: AV2T-SAM's pseudo text replaces the text of SAM 3.

    The pseudo text enters where SAM 3 has the embeddings of a text. The mask is that of all
    instances together, and the object score is SAM 3's presence of the concept.

    Args:
        config: Sizes, features of the prompt and adapters.
    """

    config_class = Av2tSam3Config
    config: Av2tSam3Config
    base_model_prefix = "av2t_sam3"
    main_input_name = "pixel_values_sam3"
    trainable_prefixes = TRAINABLE_SAM3
    image_backbone = "sam3"

    def __init__(self, config: Av2tSam3Config) -> None:
        segmenter = PromptedSam3(config.sam3_config)
        super().__init__(config, segmenter, segmenter.block_dims)

    @property
    def frozen_encoders(self) -> tuple[nn.Module, ...]:
        """All parts of SAM 3 but the mask decoder."""
        parts = self.segmenter.sam3.named_children()
        return tuple(part for name, part in parts if name != "mask_decoder")

    @property
    def image_tower(self) -> nn.Module:
        """The transformer of SAM 3's image encoder, without the feature pyramid."""
        encoder: nn.Module = self.segmenter.sam3.vision_encoder.backbone
        return encoder

    def encode_frames(
        self, pixel_values: Tensor, block_prompts: list[Tensor] | None = None
    ) -> tuple[Tensor, ...]:
        """Encode frames with SAM 3's image encoder.

        Args:
            pixel_values: Frames for SAM 3, (N, 3, S, S).
            block_prompts: One (N, C_i) tensor for every block i; None adds nothing.

        Returns:
            One level, the output of the last block; see `PromptedSam3.encode_patches`.
        """
        return (self.segmenter.encode_patches(pixel_values, block_prompts),)

    def forward(  # noqa: PLR0913 -- one argument for each input a caller may have cached
        self,
        pixel_values_sam3: Tensor | None = None,
        pixel_values_clip: Tensor | None = None,
        audio_values: Tensor | None = None,
        clip_embeddings: Tensor | None = None,
        clap_embeddings: Tensor | None = None,
        image_features: tuple[Tensor, ...] | None = None,
        targets: Tensor | None = None,
        annotated: Tensor | None = None,
    ) -> AvsegOutput:
        """Segment the sounding objects in every frame.

        Args:
            pixel_values_sam3: Frames for SAM 3, (B, T, 3, S, S); not needed with `image_features`.
            pixel_values_clip: Frames for CLIP, (B, T, 3, c, c); not needed with
                `clip_embeddings`, nor if the features are "clap".
            audio_values: Audio of each frame, (B, T, samples); not needed with
                `clap_embeddings`, nor if the features are "clip".
            clip_embeddings: CLIP embeddings computed before, (B, T, V).
            clap_embeddings: CLAP embeddings computed before, (B, T, A).
            image_features: Output of `encode_frames` computed before, with the leading dimensions
                (B, T); only without adapters.
            targets: Ground-truth masks, (B, T, H, W) of 0 and 1.
            annotated: True for frames with a ground truth, (B, T) bool; None if all have one.

        Returns:
            The masks, and the loss if there are targets.

        Raises:
            ValueError: If an input that the configuration needs is missing.
        """
        fused = self.fuse(pixel_values_clip, audio_values, clip_embeddings, clap_embeddings)
        (patches,) = self.image_features(pixel_values_sam3, image_features, fused)
        prediction = self.segmenter(patches, self.projector(fused))
        given = (pixel_values_sam3, *(image_features or ()))
        shape = next(values.shape for values in given if values is not None)
        return build_output(prediction, self.config, (shape[0], shape[1]), targets, annotated)
