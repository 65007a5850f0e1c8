"""Cascade model: computes named masks from frames, audio and a vocabulary.

B clips, T frames, N = B x T, C names, P prompts (pairs of a frame and a name), D width of CLAP's
embeddings, L tokens of a text, h x w size of the mask logits.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avseg.backbones.clap import ClapAudioTower
from avseg.backbones.clap_text import ClapTextTower, ClapTextTowerConfig
from avseg.backbones.clip import ClipTextTower
from avseg.backbones.evf_sam import TextPromptedSam
from avseg.backbones.sam import NO_OBJECT_LOGIT
from avseg.models.cascade.configuration import CascadeConfig
from avseg.models.model import AvsegModel
from avseg.models.outputs import NamedOutput, resize_logits


class CascadeModel(AvsegModel):
    """Segments the sounding objects without any training for this task.

    CLAP (Elizalde et al. 2023, arXiv:2309.05767) compares the audio of each frame with the names of
    a vocabulary. Each name that fits becomes a text prompt of EVF-SAM (Zhang et al. 2024,
    arXiv:2406.20076) in this frame and gets one mask. EVF-SAM does not encode frames without a
    fitting name.

    Args:
        config: Sizes and rule.

    Attributes:
        log_scale: Logarithm of CLAP's logit scale.
    """

    config_class = CascadeConfig
    config: CascadeConfig
    base_model_prefix = "cascade"
    main_input_name = "pixel_values_sam"

    def __init__(self, config: CascadeConfig) -> None:
        super().__init__(config)
        self.clap = ClapAudioTower(config.clap_config)
        text = config.text_config
        # MS-CLAP has GPT-2 as its text tower; the small CLAP has a tower with CLIP's architecture.
        is_gpt2 = isinstance(text, ClapTextTowerConfig)
        self.clap_text = ClapTextTower(text) if is_gpt2 else ClipTextTower(text)
        # The initial temperature of CLIP and CLAP, 0.07; loading replaces it by the trained value.
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.segmenter = TextPromptedSam(config.sam_config, config.beit3_config)
        self._names: tuple[Tensor, tuple[object, ...], Tensor] | None = None
        self.post_init()

    def forward(  # noqa: PLR0913 - one argument for each input
        self,
        pixel_values_sam: Tensor,
        pixel_values_beit3: Tensor,
        audio_values: Tensor,
        sound_ids: Tensor,
        prompt_ids: Tensor,
        prompt_mask: Tensor,
        frame_size: Tensor | None = None,
    ) -> NamedOutput:
        """Select the names that fit the audio of each frame and segment the named objects.

        Args:
            pixel_values_sam: Frames for SAM, (B, T, 3, S, S).
            pixel_values_beit3: Frames for BEiT-3, (B, T, 3, s, s).
            audio_values: Audio of each frame, (B, T, samples).
            sound_ids: Token ids of the names for CLAP, (C, L) int64.
            prompt_ids: Token ids of the names for BEiT-3, (C, L) int64.
            prompt_mask: True, or 1, for tokens, False for padding, (C, L).
            frame_size: Height and width of the frames inside SAM's square, without the padding, in
                pixels of the square, (2,) int64; None if the frames have no padding. The padding is
                cropped from the masks.

        Returns:
            The mask of each prompt, and the union of the masks in each frame.
        """
        shape = audio_values.shape[:2]
        # 1. Compare audio with names, and select the prompts.
        similarities = self.compare_audio(audio_values.flatten(0, 1), sound_ids)  # (N, C)
        frames, names = self.select_prompts(similarities)  # (P,), (P,)
        # Encode only frames with a prompt, and each of them once for all its prompts.
        prompted, image_index = frames.unique(return_inverse=True)
        logits, scores = self._segment(
            pixel_values_sam.flatten(0, 1)[prompted],
            pixel_values_beit3.flatten(0, 1)[prompted],
            image_index,
            prompt_ids[names],
            prompt_mask[names],
        )  # (P, h, w), (P,)
        # Only at SAM's full resolution the padding begins at a whole pixel.
        if frame_size is not None:
            side = self.config.sam_config.image_size
            height, width = frame_size.tolist()
            logits = resize_logits(logits, (side, side))[:, :height, :width]
        # 2. Merge the masks of each frame; a frame without a prompt has an empty mask and score 0.
        count = len(similarities)
        return NamedOutput(
            mask_logits=_maximum_by_frame(logits, frames, count, NO_OBJECT_LOGIT).unflatten(
                0, shape
            ),
            iou_predictions=_maximum_by_frame(scores, frames, count, 0.0).unflatten(0, shape),
            similarities=similarities.unflatten(0, shape),
            frame_index=frames,
            name_index=names,
            named_logits=logits,
            named_scores=scores,
        )

    def compare_audio(self, audio_values: Tensor, sound_ids: Tensor) -> Tensor:
        """Compute the cosines of audio with names.

        Args:
            audio_values: Audio of each frame, (N, samples).
            sound_ids: Token ids of the names for CLAP, (C, L) int64.

        Returns:
            Cosines, (N, C).
        """
        # Float32, because half precision is too inexact for thresholds on cosines.
        audio = F.normalize(self.clap(audio_values).float(), dim=-1)
        return audio @ self._embed_names(sound_ids).T

    def select_prompts(self, similarities: Tensor) -> tuple[Tensor, Tensor]:
        """Select the names that become prompts, by the rule of the configuration.

        Args:
            similarities: Cosines of the audio of N frames with C names, (N, C).

        Returns:
            Index of the frame and index of the name of each prompt, (P,) int64 each, ordered by
            frame and then by similarity, highest first.
        """
        probabilities = (self.log_scale.exp() * similarities).softmax(dim=-1)
        # Similarities and probabilities order the names in the same way, so one top-k is enough.
        best, names = similarities.topk(min(self.config.max_names, similarities.shape[-1]))
        fits = (best > self.config.min_similarity) & (
            probabilities.gather(-1, names) > self.config.min_probability
        )
        frames, ranks = fits.nonzero(as_tuple=True)
        return frames, names[frames, ranks]

    def _embed_names(self, sound_ids: Tensor) -> Tensor:
        """Embed names (C, L) as unit vectors (C, D); cached for the next clips of a video."""
        # A training step increments the version counters of the weights, so the cache entry of
        # older weights does not match any more.
        weights = self.clap_text.parameters()
        state = (self.product_dtype, sound_ids.device, *(values._version for values in weights))
        if self._names is not None and not torch.is_grad_enabled():
            ids, cached_state, names = self._names
            if state == cached_state and torch.equal(ids, sound_ids):
                return names
        names = F.normalize(self.clap_text(sound_ids).float(), dim=-1)
        self._names = None if names.requires_grad else (sound_ids, state, names)
        return names

    def _segment(
        self,
        pixel_values_sam: Tensor,
        pixel_values_beit3: Tensor,
        image_index: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Segment the object that each text describes: mask logits (P, h, w) and scores (P,)."""
        if not len(image_index):  # no frame has a fitting name
            # The mask decoder fails with zero prompts, so the result is built without it.
            side = self.config.sam_config.image_size // 4
            return pixel_values_sam.new_zeros(0, side, side), pixel_values_sam.new_zeros(0)
        multimask = self.config.multimask
        prediction = self.segmenter.segment_texts(
            pixel_values_sam, pixel_values_beit3, input_ids, attention_mask, image_index, multimask
        )
        logits, scores = prediction.best(self.config.suppress_absent)
        presence = prediction.object_score_logits  # (P, 1)
        if presence is not None:
            # The same confidence as `BaseProcessor.scores` computes for other families.
            scores = scores * presence.squeeze(-1).sigmoid()
        return logits, scores


def _maximum_by_frame(values: Tensor, frames: Tensor, count: int, empty: float) -> Tensor:
    """Compute the elementwise maximum over the prompts of each frame, (P, ...) to (N, ...)."""
    # A frame without a prompt keeps the value `empty`, which is below the values of all prompts.
    best = values.new_full((count, *values.shape[1:]), empty)
    index = frames.view(-1, *[1] * (values.dim() - 1)).expand_as(values)
    return best.scatter_reduce(0, index, values, "amax")
