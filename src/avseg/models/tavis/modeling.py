"""TAViS, the whole model: frames, their sound and names in, masks of what sounds out, by name.

B clips, T frames, N = B * T, Q queries, K = Q + 1 masks, C names with the background first, D width
of ImageBind's space, W of its towers, E prompt width, S side of the frames, h x w size of the mask
logits, H x W size of the truth, L tokens of a text.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from avseg.backbones.imagebind import ImageBind, TowerFeatures
from avseg.backbones.sam import NOTHING_LOGIT, ImageFeatures, MaskPrediction
from avseg.backbones.sam2 import PromptedSam2
from avseg.backbones.sam2_memory import FrameMemory, MemoryBank
from avseg.models.embedding import EmbeddingSpace
from avseg.models.model import AvsegModel
from avseg.models.outputs import resize_logits
from avseg.models.processor import CLIP_STATISTICS, SAM_STATISTICS
from avseg.models.tavis.configuration import TavisConfig
from avseg.models.tavis.decomposition import QueryDecomposition
from avseg.models.tavis.losses import (
    alignment_loss,
    binary_loss,
    pseudo_text_loss,
    separate_loss,
    total_loss,
)
from avseg.models.tavis.matching import match
from avseg.models.tavis.naming import TavisOutput, name_sources
from avseg.models.tavis.prompting import HybridPrompts, PseudoText, SoundAdapters

#: Parameter-name prefixes that stay as pretrained; everything else trains, as in the paper's code.
FROZEN = ("imagebind.", "sam.sam2.vision_encoder.", "sam.sam2.prompt_encoder.")

#: What of SAM's prompt encoder is used, and trains, in the place of a dense prompt.
_NO_MASK = "sam.sam2.prompt_encoder.no_mask_embed."


@dataclass(frozen=True)
class Names:
    """What the text tower makes of C names.

    Attributes:
        ids: Their texts in tokens, (C, L) int64.
        states: State at the end of each text, (C, W).
        embeddings: Unit vectors times the text's scale, (C, D).
    """

    ids: Tensor
    states: Tensor
    embeddings: Tensor


@dataclass(frozen=True)
class Prompts:
    """What sound and picture of N frames prompt with.

    Attributes:
        objects: Token of each query's part of the sound, (N, Q, W).
        pseudo_text: Of each query, then of the whole sound, (N, K, W); None without.
        sparse: Prompt token of each mask, (N, K, E).
        dense: Added at every position, (N, E); None for SAM's "no mask".
    """

    objects: Tensor
    pseudo_text: Tensor | None
    sparse: Tensor
    dense: Tensor | None


@dataclass(frozen=True)
class Masks:
    """What SAM 2 marks in N frames.

    Attributes:
        logits: Of each query, then of all that sounds, before the sigmoid, (N, K, h, w).
        ious: The decoder's estimate of each mask's IoU, (N, K).
        memory: What is remembered; None if nothing is.
    """

    logits: Tensor
    ious: Tensor
    memory: MemoryBank | None

    def where(self, sounds: Tensor) -> "Masks":
        """Leave nothing marked in some frames; what is remembered stays.

        Args:
            sounds: Frames whose masks stay as they are, (N,) bool.

        Returns:
            The masks.
        """
        silent = ~sounds[:, None, None, None]
        return replace(self, logits=self.logits.masked_fill(silent, NOTHING_LOGIT))

    @property
    def of_queries(self) -> Tensor:
        """Of each query within the mask of all that sounds, (N, Q, h, w).

        A query without an object learns no mask; what it marks outside is nothing.
        """
        return torch.minimum(self.logits[:, :-1], self.logits[:, -1:])


class TavisModel(AvsegModel):
    """Segments and names the objects that sound (Luo et al., ICCV 2025, arXiv:2506.11436).

    ImageBind hears, SAM 2 marks, and text is the bridge between them.

    Args:
        config: Sizes, switches and losses.
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
        self.adapters = SoundAdapters(config, self.sam.block_dims) if config.adapters else None
        self._names: Names | None = None
        self.post_init()
        self._freeze()

    def train(self, mode: bool = True) -> Self:
        """Switch training mode, which the frozen parts never enter."""
        super().train(mode)
        self.sam.image_encoder.eval()
        return self

    def forward(  # noqa: PLR0913 - all that a clip may come with
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
        """Segment and name what sounds in every frame.

        In training nothing is named, and nothing computed of frames that do not count but their
        masks.

        Args:
            pixel_values: Frames in [0, 1], (B, T, 3, S, S).
            audio_values: Spectrogram of each frame's sound, (B, T, 1, bands, columns).
            name_ids: Texts of the names in the text tower's tokens, the background's first,
                (C, L) int64.
            memory: From the outputs of the call with the frames before these; None for the first
                frames of videos.
            targets: Number of the name of every pixel, 0 for the background, (B, T, H, W) integer.
            annotated: True for frames whose target counts, (B, T) bool; None counts all.
            named: Whether sources are named if there are no targets; to leave it out saves over
                half of the time.

        Returns:
            The masks and their names, and the loss if there are targets.
        """
        shape = pixel_values.shape[:2]
        frames = pixel_values.flatten(0, 1)
        names = self.read_names(name_ids)
        sound, picture_cls = self.perceive(frames, audio_values.flatten(0, 1))
        prompts = self.prompt(sound, picture_cls)
        masks = self.mark(frames, sound, prompts, (shape[0], shape[1]), memory)
        similarities, shown = None, masks
        if not self.training:
            heard, seen = self.compare_wholes(sound.cls, picture_cls, names)
            shown = masks.where(self.agree(heard, seen))
            similarities = heard.unflatten(0, shape)
        output = TavisOutput(
            mask_logits=shown.logits[:, -1].unflatten(0, shape),
            iou_predictions=masks.ious[:, -1].unflatten(0, shape),
            similarities=similarities,
            memory=masks.memory,
        )
        if targets is None and not named:
            return output
        counts = torch.ones(len(frames), dtype=torch.bool, device=frames.device)
        if annotated is not None:
            counts = annotated.flatten()
        asked = counts if self.training else torch.ones_like(counts)
        by_sound = self.compare_sounds(prompts.objects[asked], names)
        by_picture = self.compare_pictures(frames[asked], masks.logits[asked, :-1], names)
        if targets is not None:
            within = counts[asked]
            parts, pairs = self.losses(
                masks.logits[counts],
                (by_sound[within], by_picture[within]),
                None if prompts.pseudo_text is None else prompts.pseudo_text[counts, :-1],
                names,
                targets.flatten(0, 1)[counts],
            )
            output.loss = total_loss(parts, pairs, self.config)
        if not self.training:
            self._name(output, shown, (by_sound, by_picture), shape)
        return output

    def find_masks(self, **inputs: Any) -> TavisOutput:
        """Segment what sounds and name nothing.

        Args:
            **inputs: As for `forward`.

        Returns:
            Outputs without names.
        """
        output: TavisOutput = self(**inputs, named=False)
        return output

    @torch.no_grad()
    def embed(self, inputs: Mapping[str, Tensor]) -> tuple[EmbeddingSpace, ...]:
        """Place sounds and pictures in ImageBind's space, without and with the text bridge.

        Without: ImageBind's embeddings of a frame and of its sound. With: those of the part of the
        sound, and of the marked part of the frame, that belong to the query, among those that mark
        anything, with the highest probability of a name.

        Args:
            inputs: What the processor makes of clips.

        Returns:
            The two spaces.
        """
        shape = inputs["pixel_values"].shape[:2]
        frames = inputs["pixel_values"].flatten(0, 1)
        names = self.read_names(inputs["name_ids"])
        sound, picture_cls = self.perceive(frames, inputs["audio_values"].flatten(0, 1))
        prompts = self.prompt(sound, picture_cls)
        masks = self.mark(frames, sound, prompts, (shape[0], shape[1]), None)
        queries = masks.of_queries
        by_sound = self.compare_sounds(prompts.objects, names)
        by_picture = self.compare_pictures(frames, masks.logits[:, :-1], names)
        probs = by_sound.softmax(-1) + by_picture.softmax(-1)
        marks = (queries > 0).flatten(2).any(-1)  # one that marks nothing shows nothing
        best = (probs[..., 1:].amax(-1) + 2 * marks).argmax(-1)  # (N,)
        rows = torch.arange(len(best), device=best.device)
        shown = highlight(frames, queries[rows, best].unsqueeze(1), self.config.blur_kernel)
        marked_cls = self.imagebind.encode_images(self._for_imagebind(shown[:, 0])).cls
        parts = {
            "without text bridge (ImageBind)": (sound.cls, picture_cls),
            "with text bridge (TAViS)": (prompts.objects[rows, best], marked_cls),
        }
        return tuple(
            EmbeddingSpace(
                title,
                {
                    "sound": self.imagebind.project_audio(heard).unflatten(0, shape),
                    "picture": self.imagebind.project_image(seen).unflatten(0, shape),
                },
            )
            for title, (heard, seen) in parts.items()
        )

    def read_names(self, name_ids: Tensor) -> Names:
        """Let the text tower read names; the last ones are kept, as the tower never changes.

        Args:
            name_ids: Their texts in tokens, (C, L) int64.

        Returns:
            What it makes of them.
        """
        last, device = self._names, name_ids.device
        if last is None or last.states.device != device or not torch.equal(last.ids, name_ids):
            with torch.no_grad(), _exactly(device):
                states = self.imagebind.encode_text_states(name_ids)
                last = Names(name_ids, states, self.imagebind.project_text(states))
            self._names = last
        return last

    @torch.no_grad()
    def perceive(self, frames: Tensor, spectrograms: Tensor) -> tuple[TowerFeatures, Tensor]:
        """Let ImageBind hear and see.

        Args:
            frames: In [0, 1], (N, 3, S, S).
            spectrograms: Of each frame's sound, (N, 1, bands, columns).

        Returns:
            Tokens of the sounds, and the class token of each frame, (N, W).
        """
        sound = self.imagebind.encode_audio(spectrograms)
        return sound, self.imagebind.encode_images(self._for_imagebind(frames)).cls

    def prompt(self, sound: TowerFeatures, picture_cls: Tensor) -> Prompts:
        """Make prompts of what is heard and seen.

        Args:
            sound: Tokens of each frame's sound.
            picture_cls: Class token of each frame, (N, W).

        Returns:
            The prompts.
        """
        if self.decomposition is None:
            queries = objects = sound.cls.unsqueeze(1).repeat(1, self.config.num_queries, 1)
        else:
            queries, objects = self.decomposition(sound.tokens, sound.cls)
        pseudo_text = None
        if self.pseudo_text is not None:
            said = torch.cat([objects, sound.cls.unsqueeze(1)], dim=1)  # (N, K, W)
            pseudo_text = self.pseudo_text(said, self.imagebind)
            if self.config.detach_pseudo_text:
                pseudo_text = pseudo_text.detach()
        return Prompts(
            objects=objects,
            pseudo_text=pseudo_text,
            sparse=self.prompts.sparse(queries, sound.cls, pseudo_text),
            dense=self.prompts.dense(picture_cls),
        )

    def mark(
        self,
        frames: Tensor,
        sound: TowerFeatures,
        prompts: Prompts,
        shape: tuple[int, int],
        memory: MemoryBank | None,
    ) -> Masks:
        """Let SAM 2 mark what the prompts mean.

        Args:
            frames: In [0, 1], (N, 3, S, S).
            sound: Tokens of each frame's sound, for the adapters.
            prompts: Of the frames.
            shape: B and T.
            memory: What is remembered of the frames before these.

        Returns:
            K masks of each frame. Where frames remember, clip for clip in the order of time.
        """
        block_prompts = None if self.adapters is None else self.adapters(sound.tokens)
        features = self.sam.encode_frames(_normalise(frames, SAM_STATISTICS), block_prompts)
        remembers = shape[1] > 1 if self.training else self.config.memory_at_test
        if not remembers:
            index = torch.arange(len(frames), device=frames.device)
            alone = self.sam.without_memory(features)
            seen = alone.repeat(index.repeat_interleave(self.config.num_masks))
            prediction = self._decode(seen, prompts.sparse, prompts.dense)
            logits, ious = prediction.best()
            split = (len(frames), self.config.num_masks)
            return Masks(logits.unflatten(0, split), ious.unflatten(0, split), None)
        return self._mark_in_order(features, prompts, shape, memory)

    def _mark_in_order(
        self,
        features: ImageFeatures,
        prompts: Prompts,
        shape: tuple[int, int],
        memory: MemoryBank | None,
    ) -> Masks:
        """Mark frame after frame of all clips at once, each with the memory of those before."""
        index = torch.arange(shape[0], device=prompts.sparse.device)
        index = index.repeat_interleave(self.config.num_masks)  # (B * K,)
        all_logits, all_ious = [], []
        for t in range(shape[1]):
            frame = ImageFeatures(tuple(level[t :: shape[1]] for level in features.levels))
            embeddings = frame.embeddings[index]  # (B * K, E, h, h)
            seen = self.sam.without_memory(frame).repeat(index)
            if memory is not None:
                seen = replace(seen, recalled=self.memory.recall(embeddings, memory))
            dense = None if prompts.dense is None else prompts.dense[t :: shape[1]]
            prediction = self._decode(seen, prompts.sparse[t :: shape[1]], dense)
            logits, ious = prediction.best()  # (B * K, h, w), (B * K,)
            memory = self.memory.remember(memory, embeddings, prediction)
            all_logits.append(logits.unflatten(0, (shape[0], -1)))
            all_ious.append(ious.unflatten(0, (shape[0], -1)))
        logits, ious = torch.stack(all_logits, dim=1), torch.stack(all_ious, dim=1)  # (B, T, K, ..)
        return Masks(logits.flatten(0, 1), ious.flatten(0, 1), memory)

    def _decode(
        self, features: ImageFeatures, sparse: Tensor, dense: Tensor | None
    ) -> MaskPrediction:
        """Decode K masks of each frame, each with its own prompt and all with its dense one."""
        of_masks = None if dense is None else dense.repeat_interleave(sparse.shape[1], 0)
        return self.sam.decode_masks(
            features,
            sparse.flatten(0, 1).unsqueeze(1),  # (N * K, 1, E)
            dense_prompt_embeddings=of_masks,
        )

    def compare_sounds(self, objects: Tensor, names: Names) -> Tensor:
        """Compare the parts of sounds with names.

        Args:
            objects: Token of each query's part, (N, Q, W), or of whole sounds, (N, W).
            names: The names.

        Returns:
            Cosines times the texts' scale and `a_scale`, (N, Q, C) or (N, C).
        """
        with _exactly(objects.device):
            objects = objects.to(names.embeddings)
            heard = F.normalize(self.imagebind.project_audio(objects), dim=-1)
            return self.config.a_scale * heard @ names.embeddings.T

    def compare_wholes(
        self, sound_cls: Tensor, picture_cls: Tensor, names: Names
    ) -> tuple[Tensor, Tensor]:
        """Compare whole sounds and whole frames with all names but the background's.

        Args:
            sound_cls: Class token of each frame's sound, (N, W).
            picture_cls: Class token of each frame, (N, W).
            names: The names.

        Returns:
            Cosines of the sounds, and of the frames, (N, C - 1) each.
        """
        with _exactly(sound_cls.device):
            unit = F.normalize(names.embeddings[1:], dim=-1)
            heard = self.imagebind.project_audio(sound_cls.to(unit))
            seen = self.imagebind.project_image(picture_cls.to(unit))
            return F.normalize(heard, dim=-1) @ unit.T, F.normalize(seen, dim=-1) @ unit.T

    def agree(self, heard: Tensor, seen: Tensor) -> Tensor:
        """Tell by names whether what is heard may be seen, see `min_agreement`.

        Args:
            heard: Cosines of sounds with names, (N, C - 1).
            seen: The same of frames.

        Returns:
            Frames in which something may be marked, (N,) bool.
        """
        is_like_a_name = heard.amax(-1) >= self.config.min_similarity
        return is_like_a_name & ((heard + seen).amax(-1) / 2 >= self.config.min_agreement)

    def compare_pictures(self, frames: Tensor, mask_logits: Tensor, names: Names) -> Tensor:
        """Compare what is marked, before a blurred background, with names.

        Args:
            frames: In [0, 1], (N, 3, S, S).
            mask_logits: Of each query, before the sigmoid, (N, Q, h, w); gradients reach them.
            names: The names.

        Returns:
            Cosines times the texts' scale, (N, Q, C).
        """
        shown = highlight(frames, mask_logits, self.config.blur_kernel)  # (N, Q, 3, S, S)
        cls = self.imagebind.encode_images(self._for_imagebind(shown.flatten(0, 1))).cls
        with _exactly(cls.device):
            seen = self.imagebind.project_image(cls.to(names.embeddings))
            return seen.unflatten(0, shown.shape[:2]) @ names.embeddings.T

    def losses(
        self,
        mask_logits: Tensor,
        class_logits: tuple[Tensor, Tensor],
        pseudo_text: Tensor | None,
        names: Names,
        labels: Tensor,
    ) -> tuple[dict[str, Tensor], int]:
        """Compute the losses of frames with truth.

        Args:
            mask_logits: Of each query, then of all that sounds, (N, K, h, w).
            class_logits: Similarity of each query with names by sound, and by picture,
                (N, Q, C) each.
            pseudo_text: Of each query, (N, Q, W); None without.
            names: The names.
            labels: Number of the name of every pixel, (N, H, W) integer.

        Returns:
            The losses by name, as `total_loss` wants them, and the number of matched pairs.
        """
        exact = torch.promote_types(mask_logits.dtype, torch.float32)
        logits = resize_logits(mask_logits.to(exact), labels.shape[-2:])
        queries = logits[:, :-1]
        points = torch.rand(
            len(logits), self.config.match_points, 2, device=logits.device, dtype=logits.dtype
        )
        by_sound, by_picture = class_logits
        matches = match(queries, by_sound.softmax(-1), by_picture.softmax(-1), labels, points)
        parts = {"binary": binary_loss(logits[:, -1], labels)}
        if not len(matches):
            return parts, 0
        classes = matches.class_of_each_query(queries.shape[:2])
        background = self.config.background_weight
        parts["a2t"] = alignment_loss(by_sound, classes, background)
        parts["i2t"] = alignment_loss(by_picture, classes, background)
        parts["separate"] = separate_loss(queries, labels, matches)
        if pseudo_text is not None:
            parts["a2pt"] = pseudo_text_loss(pseudo_text, names.states, classes)
        return parts, len(matches)

    def _name(
        self,
        output: TavisOutput,
        masks: Masks,
        class_logits: tuple[Tensor, Tensor],
        shape: torch.Size,
    ) -> None:
        """Add to the outputs of (B, T) frames what is called how."""
        by_sound, by_picture = class_logits
        probs = (by_sound.softmax(-1) + by_picture.softmax(-1)) / 2
        queries = masks.of_queries
        sources = name_sources(queries, probs, self.config.min_score)
        output.frame_index, output.name_index = sources.frame_index, sources.name_index
        output.named_logits, output.named_scores = sources.named_logits, sources.named_scores
        output.query_logits = queries.unflatten(0, shape)
        output.class_probs = probs.unflatten(0, shape)
        output.sem_fusion = self.config.sem_fusion
        output.min_score = self.config.min_score

    def _for_imagebind(self, frames: Tensor) -> Tensor:
        """Bring pictures in [0, 1], (N, 3, S, S), to what ImageBind was trained on."""
        side = (self.config.imagebind_size, self.config.imagebind_size)
        pictures = F.interpolate(frames, side, mode="bilinear")
        if self.config.imagebind_statistics == "clip":
            return _normalise(pictures, CLIP_STATISTICS)
        return pictures

    def _freeze(self) -> None:
        """Let everything train but the towers and the image encoder."""
        for name, parameter in self.named_parameters():
            uses_no_mask = not self.config.dense_prompt and name.startswith(_NO_MASK)
            parameter.requires_grad_(not name.startswith(FROZEN) or uses_no_mask)
        self.train(self.training)


def _exactly(device: torch.device) -> AbstractContextManager[None]:
    """Compute without autocast: cosines in bf16 would be tenths of a logit off."""
    return torch.autocast(device.type, enabled=False)


def highlight(frames: Tensor, mask_logits: Tensor, blur_kernel: int) -> Tensor:
    """Blur what each mask leaves out.

    Args:
        frames: In [0, 1], (N, 3, S, S).
        mask_logits: Before the sigmoid, (N, Q, h, w).
        blur_kernel: Side of the box, in pixels.

    Returns:
        Pictures, (N, Q, 3, S, S).
    """
    masks = resize_logits(mask_logits, frames.shape[-2:]).sigmoid().unsqueeze(2)  # (N, Q, 1, S, S)
    frames = frames.unsqueeze(1)
    rest = (frames * (1 - masks)).flatten(0, 1)
    # A box in each direction, as matrices of ones: many times as fast on a CPU as pooling.
    rows, columns = (_box(side, blur_kernel, rest) for side in rest.shape[-2:])
    with _exactly(rest.device):
        blurred = rows @ rest @ columns / blur_kernel**2
    return frames * masks + blurred.unflatten(0, masks.shape[:2]) * (1 - masks)


def _box(side: int, width: int, like: Tensor) -> Tensor:
    """Give the matrix that adds up the entries around each of a row, (side, side)."""
    place = torch.arange(side, device=like.device)
    return ((place[:, None] - place).abs() <= width // 2).to(like.dtype)


def _normalise(pictures: Tensor, statistics: tuple[tuple[float, ...], tuple[float, ...]]) -> Tensor:
    """Normalise pictures in [0, 1], (N, 3, S, S), by statistics over 0..255."""
    mean, std = (pictures.new_tensor(values).view(3, 1, 1) / 255 for values in statistics)
    return (pictures - mean) / std
