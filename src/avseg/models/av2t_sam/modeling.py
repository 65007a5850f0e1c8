"""AV2T-SAM model: frames and audio to masks of the sounding objects.

B clips, T frames, N = B * T, S / s / c side of the images for SAM / BEiT-3 / CLIP, V / A width of
CLIP's / CLAP's embeddings, D fused width, h x w size of the mask logits, H x W size of the ground
truth.
"""

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor, nn

from avseg.backbones.clap import ClapAudioTower
from avseg.backbones.clip import ClipImageTower
from avseg.backbones.evf_sam import TextPromptedSam
from avseg.backbones.sam import ImageFeatures
from avseg.models.av2t_sam.configuration import Av2tSamConfig
from avseg.models.av2t_sam.prompting import Projector
from avseg.models.embedding import EmbeddingSpace, Modality
from avseg.models.model import AvsegModel, BlockAdapters
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


class Av2tSamModel(AvsegModel):
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
    supports_gradient_checkpointing = True

    def __init__(self, config: Av2tSamConfig) -> None:
        super().__init__(config)
        self.segmenter = TextPromptedSam(config.sam_config, config.beit3_config)
        self.clip = ClipImageTower(config.clip_config) if config.uses_clip else None
        self.clap = ClapAudioTower(config.clap_config) if config.uses_clap else None
        self.projector = Projector(config)
        self.adapters = None
        if config.adapters:
            self.adapters = BlockAdapters(
                config.fused_dim, config.adapter_dim, self.segmenter.sam.block_dims
            )
        self.post_init()
        self._freeze()

    def train(self, mode: bool = True) -> Self:
        """Set training mode; the frozen backbones stay in evaluation mode."""
        super().train(mode)
        # In training mode dropout would change the features of the frozen backbones.
        for frozen in (self.segmenter.beit3, self.segmenter.sam.image_encoder):
            frozen.eval()
        for tower in (self.clip, self.clap):
            if tower is not None:
                tower.eval()
        return self

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
        fused = self.projector.fuse(
            self._embed(self.clip, "pixel_values_clip", pixel_values_clip, clip_embeddings),
            self._embed(self.clap, "audio_values", audio_values, clap_embeddings),
        )  # (N, D)
        features = self._image_features(pixel_values_sam, image_features, fused)
        # BEiT-3 encodes image tokens and pseudo text together, as it does with a real text.
        image_tokens = self.segmenter.beit3.embed_images(pixel_values_beit3.flatten(0, 1))
        prediction = self.segmenter(features, image_tokens, self.projector(fused))
        return build_output(prediction, self.config, (shape[0], shape[1]), targets, annotated)

    @torch.no_grad()
    def embed(self, inputs: Mapping[str, Tensor]) -> tuple[EmbeddingSpace, ...]:
        """Embed frames and audio in CLIP's and CLAP's spaces, and both together as pseudo text.

        Args:
            inputs: Output of the processor for a batch of clips.

        Returns:
            The spaces of CLIP and of CLAP, if they are used, and the space of the pseudo text, in
            which an embedding is the concatenation of all pseudo text tokens.
        """
        frames = inputs["pixel_values_clip"]
        visual = self._embed(self.clip, "pixel_values_clip", frames, None)
        audio = self._embed(self.clap, "audio_values", inputs["audio_values"], None)
        # All pseudo tokens of a frame form one vector, (N, num_text_tokens * E).
        prompts = self.projector(self.projector.fuse(visual, audio)).flatten(1)
        modality: Modality = "sound" if visual is None else "picture" if audio is None else "both"
        spaces: tuple[tuple[str, Modality, Tensor | None], ...] = (
            ("frames, before the bridge (CLIP)", "picture", visual),
            ("sounds, before the bridge (CLAP)", "sound", audio),
            ("the prompt, as pseudo text (AV2T-SAM)", modality, prompts),
        )
        return tuple(
            EmbeddingSpace(title, {of: points.unflatten(0, frames.shape[:2])})
            for title, of, points in spaces
            if points is not None
        )

    def _embed(
        self, tower: nn.Module | None, name: str, inputs: Tensor | None, embeddings: Tensor | None
    ) -> Tensor | None:
        """Embed frames or audio, or return given embeddings; None if the tower is not used."""
        if tower is None:
            return None
        if embeddings is not None:
            return embeddings.flatten(0, 1)
        if inputs is None:
            raise ValueError(
                f"{name} is missing, and features={self.config.features!r} needs it; "
                "give it, or its embeddings."
            )
        # Towers take single frames and windows, (N, ...).
        embedded: Tensor = tower(inputs.flatten(0, 1))
        return embedded

    def _image_features(
        self,
        pixel_values: Tensor | None,
        levels: tuple[Tensor, ...] | None,
        fused: Tensor,
    ) -> ImageFeatures:
        """Encode frames with the adapters' vectors, or return features computed before."""
        if levels is not None:
            if self.adapters is not None:
                raise ValueError(
                    "image_features cannot be given to a model with adapters, because its image "
                    "encoder depends on the audio; give pixel_values_sam."
                )
            # Cached features have (B, T) in front; the decoder takes single frames, (N, ...).
            return ImageFeatures(tuple(level.flatten(0, 1) for level in levels))
        if pixel_values is None:
            raise ValueError("pixel_values_sam is missing; give it, or image_features.")
        block_prompts = None if self.adapters is None else self.adapters(fused)
        return self.segmenter.sam.encode_images(pixel_values.flatten(0, 1), block_prompts)
