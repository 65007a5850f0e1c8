"""TAViS model: computes masks and names of the sounding objects from frames, audio and names.

B clips, T frames, N = B * T, Q queries, K = Q + 1 masks, C names with the background first, D width
of ImageBind's joint space, W width of its towers, E prompt width, S side of the frames, h x w size
of the mask logits, H x W size of the ground truth, L tokens of a text.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor

from avseg.backbones.imagebind import ImageBind, TowerFeatures
from avseg.backbones.sam import NO_OBJECT_LOGIT, ImageFeatures, MaskPrediction
from avseg.backbones.sam2 import PromptedSam2
from avseg.backbones.sam2_memory import FrameMemory, MemoryBank
from avseg.models.embedding import EmbeddingSpace
from avseg.models.model import AvsegModel
from avseg.models.processor import SAM_STATISTICS
from avseg.models.tavis.bridge import EncodedNames, TextBridge, highlight, normalise
from avseg.models.tavis.configuration import TavisConfig
from avseg.models.tavis.decomposition import QueryDecomposition
from avseg.models.tavis.losses import compute_losses, total_loss
from avseg.models.tavis.naming import TavisOutput, name_masks, score_names
from avseg.models.tavis.prompting import AudioAdapters, HybridPrompts, Prompts, PseudoText

#: Prefixes of the names of frozen parameters; all others are trained, as in the paper's code.
FROZEN = ("imagebind.", "sam.sam2.vision_encoder.", "sam.sam2.prompt_encoder.")

#: Prefix of SAM's "no mask" embedding. It replaces the dense prompt in the ablation without one,
#: and only then it is trained.
_NO_MASK = "sam.sam2.prompt_encoder.no_mask_embed."


@dataclass(frozen=True)
class PredictedMasks:
    """Masks that SAM 2 predicts for N frames.

    Attributes:
        logits: Mask of each query, then of all sounding objects, before the sigmoid,
            (N, K, h, w).
        ious: Predicted IoU of each mask, (N, K).
        memory: Memory bank after these frames; None without memory.
    """

    logits: Tensor
    ious: Tensor
    memory: MemoryBank | None

    def keep_frames(self, kept: Tensor) -> "PredictedMasks":
        """Return a copy in which the masks of some frames are emptied; the memory is not changed.

        Args:
            kept: True for frames whose masks are kept, False for those that are emptied, (N,) bool.

        Returns:
            The masks.
        """
        emptied = ~kept[:, None, None, None]
        return replace(self, logits=self.logits.masked_fill(emptied, NO_OBJECT_LOGIT))

    @property
    def query_logits(self) -> Tensor:
        """Mask of each query inside the mask of all sounding objects, (N, Q, h, w).

        Only matched queries have a mask loss. So the mask of another query was not trained outside
        of the mask of all sounding objects.
        """
        # The minimum of two logits is the intersection of the two masks.
        return torch.minimum(self.logits[:, :-1], self.logits[:, -1:])


class TavisModel(AvsegModel):
    """Segments and names the sounding objects (Luo et al., ICCV 2025, arXiv:2506.11436).

    ImageBind encodes the audio, SAM 2 decodes the masks, and text is the bridge between them.

    Args:
        config: Sizes, switches, losses and thresholds.
    """

    config_class = TavisConfig
    config: TavisConfig
    base_model_prefix = "tavis"
    main_input_name = "pixel_values"
    supports_gradient_checkpointing = True

    def __init__(self, config: TavisConfig) -> None:
        super().__init__(config)
        self.imagebind = ImageBind(config.imagebind_config)
        self.sam = PromptedSam2(config.sam_config)
        self.memory = FrameMemory(config.memory_config, config.sam_config)
        self.decomposition = QueryDecomposition(config) if config.decomposition else None
        self.pseudo_text = PseudoText(config) if config.pseudo_text else None
        self.prompts = HybridPrompts(config)
        self.adapters = AudioAdapters(config, self.sam.block_dims) if config.adapters else None
        self._names: EncodedNames | None = None
        self.post_init()
        self._freeze()

    @property
    def bridge(self) -> TextBridge:
        """The comparison of audio and images with names, by the towers of this model."""
        # Not stored: after a copy of the model the attribute would still have the other's towers.
        return TextBridge(self.imagebind, self.config)

    def train(self, mode: bool = True) -> Self:
        """Set training mode; the frozen image encoder stays in evaluation mode."""
        super().train(mode)
        self.sam.image_encoder.eval()
        return self

    def forward(  # noqa: PLR0913 - one argument for each input that a clip may have
        self,
        pixel_values: Tensor,
        audio_values: Tensor,
        name_ids: Tensor,
        memory: MemoryBank | None = None,
        targets: Tensor | None = None,
        annotated: Tensor | None = None,
        *,
        named: bool = True,
    ) -> TavisOutput:
        """Segment and name the sounding objects in every frame.

        In training mode the masks get no names. For frames without a ground truth only the masks
        are computed then.

        Args:
            pixel_values: Frames in [0, 1], (B, T, 3, S, S).
            audio_values: Spectrogram of the audio of each frame, (B, T, 1, bands, columns).
            name_ids: Token ids of the names for the text tower, the background first, (C, L)
                int64.
            memory: Memory bank from the outputs for the preceding frames; None at the start of a
                video.
            targets: Index of the name of every pixel, 0 for the background, (B, T, H, W) integer.
            annotated: True for frames with a ground truth, (B, T) bool; None if all have one.
            named: Whether to name the masks if there are no targets; without names the model needs
                less than half of the time.

        Returns:
            The masks and their names, and the loss if there are targets.
        """
        shape = pixel_values.shape[:2]
        frames = pixel_values.flatten(0, 1)
        # 1. Encode names, audio and frames with ImageBind, then predict K masks with SAM 2.
        names = self.encode_names(name_ids)
        audio, image_cls = self.encode_inputs(frames, audio_values.flatten(0, 1))
        prompts = self.build_prompts(audio, image_cls)
        masks = self.decode_masks(frames, audio, prompts, (shape[0], shape[1]), memory)
        # 2. Empty the masks of frames whose audio matches no name or is an off-screen sound.
        similarities, filtered = None, masks  # (N, C - 1), without the background
        if not self.training:
            cosines = self.bridge.compare_frames(audio.cls, image_cls, names)
            filtered = masks.keep_frames(self.bridge.passes_thresholds(*cosines))
            similarities = cosines[0]
        output = TavisOutput(
            mask_logits=filtered.logits[:, -1].unflatten(0, shape),
            iou_predictions=masks.ious[:, -1].unflatten(0, shape),
            similarities=None if similarities is None else similarities.unflatten(0, shape),
            memory=masks.memory,
        )
        if targets is None and not named:
            return output
        # 3. Compare every query with the names, by its audio and by its masked image.
        has_target = torch.ones(len(frames), dtype=torch.bool, device=frames.device)
        if annotated is not None:
            has_target = annotated.flatten()
        # Evaluation names the masks of every frame. Training needs only frames with a target.
        compared = has_target if self.training else torch.ones_like(has_target)
        audio_logits = self.bridge.compare_audio(prompts.objects[compared], names)
        image_logits = self.bridge.compare_images(
            frames[compared], masks.logits[compared, :-1], names
        )
        # 4. Compute the loss, then name the masks.
        if targets is not None:
            # Selects the frames with a target among the compared frames.
            selected = has_target[compared]
            # The loss uses all predicted masks, also those that the thresholds have emptied.
            losses, pairs = compute_losses(
                masks.logits[has_target],
                (audio_logits[selected], image_logits[selected]),
                None if prompts.pseudo_text is None else prompts.pseudo_text[has_target, :-1],
                names.states,
                targets.flatten(0, 1)[has_target],
                self.config.losses,
            )
            output.loss = total_loss(losses, pairs, self.config.losses)
        if similarities is not None:
            scores = score_names(
                audio_logits,
                image_logits,
                similarities,
                self.config.name_score,
                self.config.thresholds.candidates,
            )
            self._add_names(output, filtered, scores, shape)
        return output

    def predict_masks(self, **inputs: Any) -> TavisOutput:
        """Segment the sounding objects without naming them.

        Args:
            **inputs: As for `forward`.

        Returns:
            Outputs without names.
        """
        output: TavisOutput = self(**inputs, named=False)
        return output

    @torch.no_grad()
    def embed(self, inputs: Mapping[str, Tensor]) -> tuple[EmbeddingSpace, ...]:
        """Embed audio and frames in ImageBind's joint space, without and with the text bridge.

        The first space has the ImageBind embeddings of each whole frame and of its audio. The
        second space has the embeddings of one query per frame: of its audio token and of its masked
        image. This is the query with the highest probability of any name, among those with a mask.

        Args:
            inputs: Output of the processor for a batch of clips.

        Returns:
            The two spaces.
        """
        shape = inputs["pixel_values"].shape[:2]
        frames = inputs["pixel_values"].flatten(0, 1)
        names = self.encode_names(inputs["name_ids"])
        audio, image_cls = self.encode_inputs(frames, inputs["audio_values"].flatten(0, 1))
        prompts = self.build_prompts(audio, image_cls)
        # The masked image of a query needs its mask, so the masks are decoded too.
        masks = self.decode_masks(frames, audio, prompts, (shape[0], shape[1]), None)
        queries = masks.query_logits
        audio_logits = self.bridge.compare_audio(prompts.objects, names)
        image_logits = self.bridge.compare_images(frames, masks.logits[:, :-1], names)
        probs = audio_logits.softmax(-1) + image_logits.softmax(-1)  # (N, Q, C), at most 2
        has_mask = (queries > 0).flatten(2).any(-1)
        # The sum of two probabilities is at most 2, so adding 2 ranks every query with a mask above
        # all queries without one.
        best = (probs[..., 1:].amax(-1) + 2 * has_mask).argmax(-1)  # (N,)
        # One pair of a frame and a query for each frame.
        index = torch.arange(len(best), device=best.device)
        highlighted = highlight(frames, queries[index, best].unsqueeze(1), self.config.blur_kernel)
        spaces = {
            "without text bridge (ImageBind)": (audio.cls, image_cls),
            "with text bridge (TAViS)": (
                prompts.objects[index, best],
                self.bridge.encode_images(highlighted[:, 0]),
            ),
        }
        return tuple(
            EmbeddingSpace(
                title,
                {
                    "sound": self.imagebind.project_audio(audio_token).unflatten(0, shape),
                    "picture": self.imagebind.project_image(image_token).unflatten(0, shape),
                },
            )
            for title, (audio_token, image_token) in spaces.items()
        )

    def encode_names(self, name_ids: Tensor) -> EncodedNames:
        """Encode names with the text tower.

        The encodings of the last names are cached, because the tower is frozen and all clips of a
        data set have the same names.

        Args:
            name_ids: Token ids of the texts, (C, L) int64.

        Returns:
            States and embeddings of the names.
        """
        last, device = self._names, name_ids.device
        if last is None or last.states.device != device or not torch.equal(last.ids, name_ids):
            last = self._names = self.bridge.encode_names(name_ids)
        return last

    @torch.no_grad()
    def encode_inputs(self, frames: Tensor, spectrograms: Tensor) -> tuple[TowerFeatures, Tensor]:
        """Encode frames and their audio with ImageBind's frozen towers.

        Args:
            frames: RGB in [0, 1], (N, 3, S, S).
            spectrograms: Audio of each frame, (N, 1, bands, columns).

        Returns:
            Tokens of the audio, and the class token of each frame, (N, W).
        """
        audio = self.imagebind.encode_audio(spectrograms)
        return audio, self.bridge.encode_images(frames)

    def build_prompts(self, audio: TowerFeatures, image_cls: Tensor) -> Prompts:
        """Build the sparse and dense prompts from audio tokens and image tokens.

        Args:
            audio: Tokens of the audio of each frame.
            image_cls: Class token of each frame, (N, W).

        Returns:
            The prompts.
        """
        # In the ablation without IBQD every query is the class token of the whole audio.
        if self.decomposition is None:
            queries = objects = audio.cls.unsqueeze(1).repeat(1, self.config.num_queries, 1)
        else:
            queries, objects = self.decomposition(audio.tokens, audio.cls)
        pseudo_text = None
        if self.pseudo_text is not None:
            tokens = torch.cat([objects, audio.cls.unsqueeze(1)], dim=1)  # (N, K, W)
            # One pass of the text tower for the queries and the whole audio.
            pseudo_text = self.pseudo_text(tokens, self.imagebind)
            if self.config.detach_pseudo_text:
                pseudo_text = pseudo_text.detach()
        return Prompts(
            objects=objects,
            pseudo_text=pseudo_text,
            sparse=self.prompts.sparse(queries, audio.cls, pseudo_text),
            dense=self.prompts.dense(image_cls),
        )

    def decode_masks(
        self,
        frames: Tensor,
        audio: TowerFeatures,
        prompts: Prompts,
        shape: tuple[int, int],
        memory: MemoryBank | None,
    ) -> PredictedMasks:
        """Decode K masks of each frame with SAM 2.

        Args:
            frames: RGB in [0, 1], (N, 3, S, S).
            audio: Tokens of the audio of each frame, for the adapters.
            prompts: Prompts of the frames.
            shape: B and T.
            memory: Memory bank after the preceding frames.

        Returns:
            The masks. With memory, the frames of a clip are decoded one after the other.
        """
        block_prompts = None if self.adapters is None else self.adapters(audio.tokens)
        features = self.sam.encode_frames(normalise(frames, SAM_STATISTICS), block_prompts)
        # A training clip with one frame has no past frames, so it needs no memory.
        uses_memory = shape[1] > 1 if self.training else self.config.memory_at_test
        if uses_memory:
            return self._decode_in_order(features, prompts, shape, memory)
        index = torch.arange(len(frames), device=frames.device)
        without = self.sam.without_memory(features)
        # K prompts per frame share its image features.
        repeated = without.repeat(index.repeat_interleave(self.config.num_masks))
        prediction = self._decode(repeated, prompts.sparse, prompts.dense)
        logits, ious = prediction.best()
        split = (len(frames), self.config.num_masks)
        return PredictedMasks(logits.unflatten(0, split), ious.unflatten(0, split), None)

    def _decode_in_order(
        self,
        features: ImageFeatures,
        prompts: Prompts,
        shape: tuple[int, int],
        memory: MemoryBank | None,
    ) -> PredictedMasks:
        """Decode the frames of all clips in temporal order; each frame uses the memory bank."""
        index = torch.arange(shape[0], device=prompts.sparse.device)
        # Each of the K masks has a memory of its own, so a clip takes K entries of the batch.
        index = index.repeat_interleave(self.config.num_masks)  # (B * K,)
        all_logits, all_ious = [], []
        for t in range(shape[1]):
            # The N frames are ordered by clip, so frame t of every clip is at t, t + T, t + 2 T,
            # ...
            frame = ImageFeatures(tuple(level[t :: shape[1]] for level in features.levels))
            embeddings = frame.embeddings[index]  # (B * K, E, h, h)
            conditioned = self.sam.without_memory(frame).repeat(index)
            if memory is not None:
                # The memory replaces the embedding of "no memory", as in SAM 2.
                conditioned = replace(
                    conditioned, conditioned=self.memory.condition(embeddings, memory)
                )
            dense = None if prompts.dense is None else prompts.dense[t :: shape[1]]
            prediction = self._decode(conditioned, prompts.sparse[t :: shape[1]], dense)
            logits, ious = prediction.best()  # (B * K, h, w), (B * K,)
            memory = self.memory.append_frame(memory, embeddings, prediction)
            all_logits.append(logits.unflatten(0, (shape[0], -1)))
            all_ious.append(ious.unflatten(0, (shape[0], -1)))
        # Restore the order by clip.
        logits, ious = torch.stack(all_logits, dim=1), torch.stack(all_ious, dim=1)  # (B, T, K, ..)
        return PredictedMasks(logits.flatten(0, 1), ious.flatten(0, 1), memory)

    def _decode(
        self, features: ImageFeatures, sparse: Tensor, dense: Tensor | None
    ) -> MaskPrediction:
        """Decode K masks of each frame: one sparse prompt each, the dense prompt in common."""
        repeated = None if dense is None else dense.repeat_interleave(sparse.shape[1], 0)
        return self.sam.decode_masks(
            features,
            sparse.flatten(0, 1).unsqueeze(1),  # (N * K, 1, E)
            dense_prompt_embeddings=repeated,
        )

    def _add_names(
        self,
        output: TavisOutput,
        masks: PredictedMasks,
        scores: Tensor,
        shape: torch.Size,
    ) -> None:
        """Add the named masks of (B, T) frames to the outputs, by the scores of names (N, Q, C)."""
        queries = masks.query_logits
        min_score = self.config.thresholds.min_score
        masks_by_name = name_masks(queries, scores, min_score)
        output.frame_index = masks_by_name.frame_index
        output.name_index = masks_by_name.name_index
        output.named_logits = masks_by_name.named_logits
        output.named_scores = masks_by_name.named_scores
        output.query_logits = queries.unflatten(0, shape)
        output.class_probs = scores.unflatten(0, shape)
        output.sem_fusion = self.config.sem_fusion
        output.min_score = min_score

    def _freeze(self) -> None:
        """Freeze the towers, the image encoder and the prompt encoder; train all others."""
        for name, parameter in self.named_parameters():
            uses_no_mask = not self.config.dense_prompt and name.startswith(_NO_MASK)
            parameter.requires_grad_(not name.startswith(FROZEN) or uses_no_mask)
        self.train(self.training)
