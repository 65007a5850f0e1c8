"""AuralSAM2 model: computes masks of the sounding objects from frames and left and right audio.

B clips, T frames, N = B * T, C channels of the audio, E prompt width, G side of the image
embedding's grid, S side of the frames, h x w size of the mask logits, H x W size of the ground
truth.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from avseg.backbones.sam import ImageFeatures, MaskPrediction
from avseg.backbones.sam2 import PromptedSam2
from avseg.backbones.sam2_memory import FrameMemory, MemoryBank
from avseg.backbones.sam2_residuals import LayerResidual
from avseg.backbones.vggish import Vggish
from avseg.models.auralsam2.configuration import AUDIO_CHANNELS, AuralSam2Config
from avseg.models.auralsam2.fuser import AuralFuser, FusedLevel, ProjectedLevel
from avseg.models.auralsam2.losses import contrastive_loss, frame_losses
from avseg.models.model import AvsegModel
from avseg.models.outputs import AvsegOutput


@dataclass(frozen=True)
class _Frame:
    """One frame of each of B clips.

    Attributes:
        features: Features of SAM 2, before the memory.
        residuals: Residuals for the layers of the mask decoder, in their order.
    """

    features: ImageFeatures
    residuals: list[LayerResidual]


class AuralSam2Model(AvsegModel):
    """Segments the sounding objects (Liu et al. 2026, arXiv:2506.01015).

    Image and audio are fused at three levels of the feature pyramid of a frozen SAM 2, and the
    results are added inside its mask decoder, one level before each layer.

    Args:
        config: Sizes and losses.
    """

    config_class = AuralSam2Config
    config: AuralSam2Config
    base_model_prefix = "auralsam2"
    main_input_name = "pixel_values"
    frames_are_fused = True

    def __init__(self, config: AuralSam2Config) -> None:
        super().__init__(config)
        self.sam = PromptedSam2(config.sam_config)
        self.memory = FrameMemory(config.memory_config, config.sam_config)
        self.vggish = Vggish(config.vggish_config)
        self.fuser = self._build_fuser(config)
        self.post_init()
        self._freeze()

    @staticmethod
    def _build_fuser(config: AuralSam2Config) -> AuralFuser:
        return AuralFuser(config)

    def train(self, mode: bool = True) -> Self:
        """Set training mode; SAM 2 and its memory stay in evaluation mode."""
        super().train(mode)
        self.sam.eval()
        self.memory.eval()
        return self

    def forward(
        self,
        pixel_values: Tensor,
        audio_values: Tensor,
        memory: MemoryBank | None = None,
        targets: Tensor | None = None,
        annotated: Tensor | None = None,
    ) -> AvsegOutput:
        """Segment the sounding objects in every frame.

        Args:
            pixel_values: Frames, (B, T, 3, S, S).
            audio_values: Log-mel spectrograms of the audio of each frame, of one channel or of left
                and right, (B, T, C, columns, bands).
            memory: Memory bank from the outputs for the preceding frames; None at the start of a
                video. It is not used in training.
            targets: Ground-truth masks, (B, T, H, W) of 0 and 1.
            annotated: True for frames with a ground truth, (B, T) bool; None if all have one.

        Returns:
            The masks, and the loss if there are targets.
        """
        levels = self.encode_images(pixel_values)
        # The fuser takes the levels from fine to coarse, SAM 2 stores them from coarse to fine.
        fused = self.fuse_clips(levels[::-1], self.embed_audio(audio_values))
        frames = self._split_frames(levels, fused)
        bank = None
        if self.training:
            predictions = self._track_from_middle(frames)
        else:
            predictions, bank = self._track(frames, memory)
        output = self._select_masks(predictions)
        output.memory = bank
        if targets is not None:
            output.loss = self._loss(predictions, fused, targets, annotated)
        return output

    @torch.no_grad()
    def encode_images(self, pixel_values: Tensor) -> list[Tensor]:
        """Encode frames with the frozen image encoder, one at a time to save memory.

        Args:
            pixel_values: Frames, (B, T, 3, S, S).

        Returns:
            Feature levels from coarse to fine, (B, T, E, G, G), (B, T, E, 2G, 2G) and
            (B, T, E, 4G, 4G).
        """
        frames = [self.sam.encode_frames(frame) for frame in pixel_values.flatten(0, 1).split(1)]
        return [
            torch.cat(level).unflatten(0, pixel_values.shape[:2])
            for level in zip(*(frame.levels for frame in frames), strict=True)
        ]

    def embed_audio(self, audio_values: Tensor) -> Tensor:
        """Embed the audio of each frame with VGGish.

        Args:
            audio_values: As for `forward`.

        Returns:
            Embeddings of the left and the right channel, (B, T, E). Mono audio is used for both.
        """
        embeddings: Tensor = self.vggish(audio_values.flatten(0, 2))
        channels = list(embeddings.unflatten(0, audio_values.shape[:3]).unbind(2))
        return torch.cat(channels * (AUDIO_CHANNELS // len(channels)), dim=-1)

    def fuse_clips(self, levels: Sequence[Tensor], audio: Tensor) -> list[list[FusedLevel]]:
        """Fuse image and audio in windows of at most `window_frames` frames.

        The windows of a clip differ by at most one frame in length. Each clip is fused by itself,
        so that the masks do not depend on the other clips of the batch.

        Args:
            levels: Features of SAM 2 from fine to coarse, (B, T, E, height, width).
            audio: Embeddings of the audio, (B, T, E).

        Returns:
            For each clip, its fused levels from fine to coarse.

        Raises:
            ValueError: If a window has one frame in training, where the batch norms need more.
        """
        return [
            join_windows(
                [
                    self.fuser(window_levels, window_audio)
                    for window_audio, *window_levels in self._split_windows(
                        clip_audio, *clip_levels
                    )
                ]
            )
            for clip_audio, *clip_levels in zip(audio, *levels, strict=True)
        ]

    def _split_windows(self, *parts: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """Split tensors of T frames into windows of nearly equal length."""
        frames = len(parts[0])
        count = -(-frames // self.config.window_frames)
        # The batch norms need more than one frame.
        if self.training and frames < 2 * count:
            raise ValueError(
                f"training needs windows of at least two frames, got {frames} frames in {count} "
                "windows; give longer clips, or raise window_frames."
            )
        return zip(*(part.tensor_split(count) for part in parts), strict=True)

    def _split_frames(
        self, levels: Sequence[Tensor], fused: Sequence[Sequence[FusedLevel]]
    ) -> list[_Frame]:
        """Arrange features and residuals by frame; the coarsest level is the first residual."""
        grid = levels[0].shape[-2:]
        images = [
            torch.stack([level.image for level in clips]).transpose(2, 3).unflatten(-1, grid)
            for clips in zip(*fused, strict=True)
        ]  # (B, T, E, G, G) of each level
        audios = [
            torch.stack([level.audio for level in clips]) for clips in zip(*fused, strict=True)
        ]
        return [
            _Frame(
                ImageFeatures(tuple(level[:, number] for level in levels)),
                [
                    LayerResidual(image[:, number], audio[:, number])
                    for image, audio in zip(images[::-1], audios[::-1], strict=True)
                ],
            )
            for number in range(levels[0].shape[1])
        ]

    def _decode(self, frame: _Frame, features: ImageFeatures) -> MaskPrediction:
        """Decode three masks of a frame, without prompt tokens."""
        top = features.embeddings
        no_prompts = top.new_empty(len(top), 0, top.shape[1])
        return self.sam.decode_masks(features, no_prompts, residuals=frame.residuals)

    def _track(
        self, frames: Sequence[_Frame], bank: MemoryBank | None
    ) -> tuple[list[MaskPrediction], MemoryBank]:
        """Decode the frames in order, each with the memory of those before."""
        predictions = []
        for frame in frames:
            embeddings = frame.features.embeddings
            if bank is None:
                features = self.sam.without_memory(frame.features)
            else:
                conditioned = self.memory.condition(embeddings, bank)
                features = replace(frame.features, conditioned=conditioned)
            predictions.append(self._decode(frame, features))
            bank = self.memory.append_frame(bank, embeddings, predictions[-1])
        if bank is None:
            raise ValueError("the clip has no frames; give at least one.")
        return predictions, bank

    def _track_from_middle(self, frames: Sequence[_Frame]) -> list[MaskPrediction]:
        """Decode the middle frame first, then the others in order, as the released training does.

        Every other frame attends to the middle frame and to the frames decoded before it that
        precede it in the clip. Pointers come from preceding frames only.
        """
        middle = len(frames) // 2
        stored: dict[int, tuple[Tensor, Tensor]] = {}
        predictions: dict[int, MaskPrediction] = {}
        for number in (middle, *(i for i in range(len(frames)) if i != middle)):
            frame = frames[number]
            embeddings = frame.features.embeddings
            if number == middle:
                features = self.sam.without_memory(frame.features)
            else:
                conditioned = self._attend_around(embeddings, number, middle, stored)
                features = replace(frame.features, conditioned=conditioned)
            predictions[number] = self._decode(frame, features)
            stored[number] = self.memory.encode_frame(embeddings, predictions[number])
        return [predictions[number] for number in range(len(frames))]

    def _attend_around(
        self, embeddings: Tensor, number: int, middle: int, stored: dict[int, tuple[Tensor, Tensor]]
    ) -> Tensor:
        """Condition a frame on the middle frame and on the stored frames before it."""
        sizes = self.config.memory_config
        maps, rows = [stored[middle][0]], [sizes.frames - 1]
        pointers = [stored[middle][1]] if middle < number else []
        for lag in range(sizes.frames - 1, 0, -1):
            if number - lag != middle and number - lag in stored:
                maps.append(stored[number - lag][0])
                rows.append(lag - 1)
        pointers += [
            stored[number - lag][1]
            for lag in range(1, sizes.pointers)
            if number - lag != middle and number - lag in stored
        ]
        return self.memory.attend(embeddings, maps, rows, pointers)

    def _select_masks(self, predictions: Sequence[MaskPrediction]) -> AvsegOutput:
        """Select the mask with the highest predicted IoU in each frame."""
        selected = [prediction.best(self.config.suppress_absent) for prediction in predictions]
        scores = [prediction.object_score_logits for prediction in predictions]
        return AvsegOutput(
            mask_logits=torch.stack([logits for logits, _ in selected], dim=1),
            iou_predictions=torch.stack([ious for _, ious in selected], dim=1),
            object_score_logits=torch.cat([each for each in scores if each is not None], dim=1),
        )

    def _loss(
        self,
        predictions: Sequence[MaskPrediction],
        fused: Sequence[Sequence[FusedLevel]],
        targets: Tensor,
        annotated: Tensor | None,
    ) -> Tensor:
        """Compute the loss: a sum over the annotated frames of a clip, a mean over the clips."""
        options = self.config.losses
        kept = torch.ones_like(targets[:, :, 0, 0], dtype=torch.bool)
        if annotated is not None:
            kept = annotated
        total = targets.new_zeros((), dtype=torch.float32)
        for number, prediction in enumerate(predictions):
            losses = frame_losses(prediction, targets[:, number], options).weighted(options)
            total = total + (losses * kept[:, number]).sum()
        if options.contrast_weight:
            for clip, truth, has_truth in zip(fused, targets, kept, strict=True):
                projected = self.fuser.project(clip)
                if has_truth.any():
                    levels = [
                        ProjectedLevel(level.image[has_truth], level.audio[has_truth])
                        for level in projected
                    ]
                    loss = contrastive_loss(levels, truth[has_truth], options)
                    total = total + options.contrast_weight * loss
        return total / len(targets)

    def _freeze(self) -> None:
        """Train the fuser, and VGGish if the configuration says so; freeze SAM 2 and its memory."""
        trained = ("fuser.", "vggish.") if self.config.train_vggish else ("fuser.",)
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name.startswith(trained))
        self.train(self.training)


def join_windows(windows: Sequence[Sequence[FusedLevel]]) -> list[FusedLevel]:
    """Concatenate the fused levels of the windows of one clip.

    Args:
        windows: For each window, its levels.

    Returns:
        The levels of the clip.
    """
    return [
        FusedLevel(
            torch.cat([level.image for level in parts]),
            torch.cat([level.audio for level in parts]),
            torch.cat([level.exchange for level in parts]),
        )
        for parts in zip(*windows, strict=True)
    ]
