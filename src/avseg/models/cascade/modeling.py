"""Cascade model: computes named masks from frames, audio and a vocabulary.

B clips, T frames, N = B x T, F times in the audio window of a frame, C names, P prompts (pairs of a
frame and a name), D width of the names' embeddings, h x w size of the mask logits.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from transformers import PreTrainedModel

from avseg.backbones.sam import NO_OBJECT_LOGIT
from avseg.backbones.text_prompted import TextMasks
from avseg.models.cascade.configuration import CascadeConfig
from avseg.models.cascade.parts import build_namer, build_segmenter
from avseg.models.model import AvsegModel
from avseg.models.outputs import NamedOutput

#: Names in one forward pass of the text tower, so that its memory does not grow with the
#: vocabulary.
_NAMES_PER_FORWARD = 256


class CascadeModel(AvsegModel):
    """Segments the sounding objects without any training for this task.

    A sound namer scores the names of a vocabulary for the audio of each frame. Each name that fits
    becomes a text prompt of a text-prompted segmenter in this frame and gets one mask. Frames
    without a fitting name are not encoded.

    Args:
        config: Parts and rule.
    """

    config_class = CascadeConfig
    config: CascadeConfig
    base_model_prefix = "cascade"
    main_input_name = "audio_values"

    def __init__(self, config: CascadeConfig) -> None:
        super().__init__(config)
        self.namer = build_namer(config.namer_config)
        self.segmenter = build_segmenter(config.segmenter_config)
        self._names: tuple[dict[str, Tensor], tuple[object, ...], Tensor] | None = None
        self.post_init()
        # A saved model has parameters that two modules share once. `transformers` looks for such
        # modules in direct children only; the networks of the parts are deeper. Shared buffers are
        # saved twice.
        parameters = dict(self.named_parameters(remove_duplicate=False))
        for path, module in self.named_modules():
            if path and isinstance(module, PreTrainedModel):
                for name, shared_with in module.all_tied_weights_keys.items():
                    if f"{path}.{name}" in parameters:
                        self.all_tied_weights_keys[f"{path}.{name}"] = f"{path}.{shared_with}"

    def forward(self, **inputs: Tensor) -> NamedOutput:
        """Select the names that fit the audio of each frame and segment the named objects.

        Args:
            **inputs: The tensors that the two parts declare: `audio_inputs` and `image_inputs`
                (B, T, ...) for each frame, and `text_inputs` (C, ...) for each name. An input that
                no part declares is an error.

        Returns:
            The mask of each prompt, and the union of the masks in each frame.
        """
        audio, images, sound_texts, picture_texts = self._sort_inputs(inputs)
        shape = next(iter(audio.values())).shape[:2]
        # 1. Score the names for the audio, and select the prompts.
        scores = self.score_audio(_flat(audio), sound_texts)  # (N, C)
        frames, names = self.select_prompts(scores)  # (P,), (P,)
        # Encode only frames with a prompt, and each of them once for all its prompts.
        prompted, image_index = frames.unique(return_inverse=True)
        masks = self.segmenter.segment_prompts(
            {name: values[prompted] for name, values in _flat(images).items()},
            {name: values[names] for name, values in picture_texts.items()},
            image_index,
        )  # (P, h, w), (P,)
        # A name whose object is not in the picture is no source of the frame.
        shown = masks.scores > self.config.min_object_score
        frames, names = frames[shown], names[shown]
        masks = TextMasks(masks.mask_logits[shown], masks.scores[shown])
        # 2. Merge the masks of each frame; a frame without a prompt has an empty mask and score 0.
        count = len(scores)
        return NamedOutput(
            mask_logits=_maximum_by_frame(
                masks.mask_logits, frames, count, NO_OBJECT_LOGIT
            ).unflatten(0, shape),
            iou_predictions=_maximum_by_frame(masks.scores, frames, count, 0.0).unflatten(0, shape),
            similarities=scores.unflatten(0, shape),
            frame_index=frames,
            name_index=names,
            named_logits=masks.mask_logits,
            named_scores=masks.scores,
        )

    def score_audio(self, audio: Mapping[str, Tensor], texts: Mapping[str, Tensor]) -> Tensor:
        """Score names for audio windows, averaged over the times around the middle of a window.

        Args:
            audio: The namer's `audio_inputs`, (N, ...) each.
            texts: The namer's `text_inputs`, (C, ...) each.

        Returns:
            Scores, (N, C) float32.
        """
        scores = self.namer.score_names(audio, self._embed_names(texts))  # (N, F, C)
        times = scores.shape[1]
        middles = (torch.arange(times, device=scores.device) + 0.5) / times - 0.5
        # The times nearest to the middle always count, also if the interval is shorter than theirs.
        reach = max(self.config.smoothing_s / 2, self.config.window_s / times / 2)
        near = middles.abs() * self.config.window_s <= reach + 1e-6
        return scores[:, near].mean(dim=1)

    def select_prompts(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Select the names that become prompts, by the rule of the configuration.

        Args:
            scores: Scores of C names for the audio of N frames, (N, C).

        Returns:
            Index of the frame and index of the name of each prompt, (P,) int64 each, ordered by
            frame and then by score, highest first.
        """
        # The share of a name grows with its score, so one top-k is enough for both thresholds.
        best, names = scores.topk(min(self.config.max_names, scores.shape[-1]))
        fits = best > self.config.min_score
        fits &= self.namer.shares(scores).gather(-1, names) > self.config.min_share
        frames, ranks = fits.nonzero(as_tuple=True)
        return frames, names[frames, ranks]

    def _sort_inputs(self, inputs: dict[str, Tensor]) -> list[dict[str, Tensor]]:
        """Return the audio, images, texts for the namer, and texts for the segmenter."""
        declared = [
            self.namer.audio_inputs,
            self.segmenter.image_inputs,
            self.namer.text_inputs,
            self.segmenter.text_inputs,
        ]
        unknown = sorted(inputs.keys() - set().union(*declared))
        if unknown:
            raise TypeError(
                f"the model has no input {', '.join(unknown)}; give the tensors of its processor."
            )
        return [{name: inputs[name] for name in names if name in inputs} for names in declared]

    def _embed_names(self, texts: Mapping[str, Tensor]) -> Tensor:
        """Embed names as (C, D); cached for the next clips of a video."""
        # A training step increments the version counters of the weights, so the cache entry of
        # older weights does not match any more.
        weights = [values._version for values in self.namer.parameters()]
        state = (self.product_dtype, self.device, *weights)
        if self._names is not None and not torch.is_grad_enabled():
            cached, cached_state, names = self._names
            # The shapes first, because `equal` of tensors of another device is an error.
            if state == cached_state and all(
                torch.equal(cached[name], values) for name, values in texts.items()
            ):
                return names
        count = len(next(iter(texts.values())))
        pieces = [
            self.namer.embed_names(
                {name: values[i : i + _NAMES_PER_FORWARD] for name, values in texts.items()}
            )
            for i in range(0, count, _NAMES_PER_FORWARD)
        ]
        names = torch.cat(pieces)
        self._names = None if names.requires_grad else (dict(texts), state, names)
        return names


def _flat(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Merge the axes of the clips and the frames of each tensor, (B, T, ...) to (N, ...)."""
    return {name: values.flatten(0, 1) for name, values in tensors.items()}


def _maximum_by_frame(values: Tensor, frames: Tensor, count: int, empty: float) -> Tensor:
    """Compute the elementwise maximum over the prompts of each frame, (P, ...) to (N, ...)."""
    # A frame without a prompt keeps the value `empty`, which is below the values of all prompts.
    best = values.new_full((count, *values.shape[1:]), empty)
    index = frames.view(-1, *[1] * (values.dim() - 1)).expand_as(values)
    return best.scatter_reduce(0, index, values, "amax")
