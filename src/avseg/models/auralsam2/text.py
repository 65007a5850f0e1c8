"""AuralSAM2 for Ref-AVS: marks the object that a text describes, with the audio as a second prompt.

The model differs from that of AVSBench in three points. The tokens of the text follow the frames in
the sequence of the audio. Every window is tracked from its middle frame by itself. The heads of the
contrastive loss are other ones.

B clips, N texts, T frames, C channels of the audio, L tokens of a text, W width of the text
encoder, E prompt width, S side of the frames, H x W size of the ground truth.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor

from avseg.backbones.roberta import RobertaText, RobertaTextConfig, RobertaTokenizer
from avseg.backbones.sam import MaskPrediction
from avseg.errors import PromptError
from avseg.models.auralsam2.configuration import AuralSam2Config
from avseg.models.auralsam2.fuser import FusedLevel, TextFuser
from avseg.models.auralsam2.modeling import AuralSam2Model, join_windows
from avseg.models.auralsam2.processing import AuralSam2Processor
from avseg.models.outputs import AvsegOutput
from avseg.models.processor import SavedTokenizer, required
from avseg.models.text_prompts import TextPrompts
from avseg.types import Clip


@strict
class AuralSam2TextConfig(AuralSam2Config):
    """Configuration of AuralSAM2 for Ref-AVS; the defaults are the published sizes.

    Args:
        text_config: Text encoder, a `RobertaTextConfig`.
        text_hidden_dim: Hidden width of the projection of the text.
        max_text_tokens: Length L of a text with its start and end token. Shorter texts are padded;
            the padding takes part in the fusion, as in the released code.
    """

    model_type = "avseg-auralsam2-text"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {
        **AuralSam2Config.sub_configs_defaults,
        "text_config": RobertaTextConfig,
    }
    tiny_options: ClassVar[dict[str, Any]] = {
        **AuralSam2Config.tiny_options,
        "text_config": RobertaTextConfig(
            vocab_size=1000, max_positions=27, dim=64, num_layers=1, num_heads=4, ffn_dim=128
        ),
        "text_hidden_dim": 64,
    }

    window_frames: int = 10
    text_config: Any = None  # a configuration, or its options in a dictionary
    text_hidden_dim: int = 1024
    max_text_tokens: int = 25


class AuralSam2TextModel(AuralSam2Model):
    """Segments the objects that texts describe, with the help of the audio.

    Args:
        config: Sizes and losses.
    """

    config_class = AuralSam2TextConfig
    config: AuralSam2TextConfig
    fuser: TextFuser

    def __init__(self, config: AuralSam2TextConfig) -> None:
        super().__init__(config)
        self.text_encoder = RobertaText(config.text_config)
        self.post_init()
        self._freeze()

    @staticmethod
    def _build_fuser(config: AuralSam2TextConfig) -> TextFuser:  # type: ignore[override]
        return TextFuser(config, config.text_config.dim, config.text_hidden_dim)

    def train(self, mode: bool = True) -> Self:
        """Set training mode; SAM 2, its memory and the text encoder stay in evaluation mode."""
        super().train(mode)
        # The constructor of the base class calls this method before there is a text encoder.
        if hasattr(self, "text_encoder"):
            self.text_encoder.eval()
        return self

    def forward(  # type: ignore[override]  # it needs texts, and has no memory over the clips
        self,
        pixel_values: Tensor,
        audio_values: Tensor,
        text_ids: Tensor,
        text_mask: Tensor,
        targets: Tensor | None = None,
        annotated: Tensor | None = None,
    ) -> AvsegOutput:
        """Segment the object that each text describes in every frame.

        Args:
            pixel_values: Frames of one clip for all texts, or of one clip for each,
                (B, T, 3, S, S) with B of 1 or N.
            audio_values: Log-mel spectrograms of the audio of each frame, of one channel or of left
                and right, (B, T, C, columns, bands).
            text_ids: Token ids, (N, L) int64.
            text_mask: True for tokens, False for padding, (N, L) bool.
            targets: Ground-truth masks, (N, T, H, W) of 0 and 1.
            annotated: True for frames with a ground truth, (N, T) bool; None if all have one.

        Returns:
            The masks of each text, `mask_logits` (N, T, h, w), and the loss if there are targets.
        """
        levels = self.encode_images(pixel_values)
        audio = self.embed_audio(audio_values)
        with torch.no_grad():
            texts = self.text_encoder(text_ids, text_mask)  # (N, L, W)
        outputs = []
        # One text after the other, so that the memory does not grow with their number.
        for number, text in enumerate(texts):
            clip = number if len(audio) > 1 else 0
            predictions, fused = self._track_text(
                [level[clip] for level in levels], audio[clip], text
            )
            output = self._select_masks(predictions)
            if targets is not None:
                one = slice(number, number + 1)
                kept = None if annotated is None else annotated[one]
                output.loss = self._loss(predictions, [fused], targets[one], kept)
            outputs.append(output)
        return _join(outputs)

    def _track_text(
        self, levels: Sequence[Tensor], audio: Tensor, text: Tensor
    ) -> tuple[list[MaskPrediction], list[FusedLevel]]:
        """Fuse and decode one clip window by window, for one text.

        Args:
            levels: Feature levels of SAM 2 from coarse to fine, (T, E, height, width).
            audio: Embeddings of the audio, (T, E).
            text: States of the text's tokens, (L, W).

        Returns:
            Predictions of each frame, and the fused levels of the clip.
        """
        predictions: list[MaskPrediction] = []
        windows = []
        for window_audio, *window_levels in self._split_windows(audio, *levels):
            # The fuser takes the levels from fine to coarse.
            fused = self.fuser.fuse_text(window_levels[::-1], window_audio, text)
            frames = self._split_frames([level.unsqueeze(0) for level in window_levels], [fused])
            predictions += self._track_from_middle(frames)
            windows.append(fused)
        return predictions, join_windows(windows)


def _join(outputs: Sequence[AvsegOutput]) -> AvsegOutput:
    """Concatenate the outputs of N texts; the loss is their mean."""
    joined = AvsegOutput(
        mask_logits=torch.cat([required(each.mask_logits, "mask_logits") for each in outputs]),
        iou_predictions=torch.cat(
            [required(each.iou_predictions, "iou_predictions") for each in outputs]
        ),
        object_score_logits=torch.cat(
            [required(each.object_score_logits, "object_score_logits") for each in outputs]
        ),
    )
    if outputs[0].loss is not None:
        joined.loss = torch.stack([required(each.loss, "loss") for each in outputs]).mean()
    return joined


@dataclass(frozen=True)
class AuralSam2TextProcessor(TextPrompts, AuralSam2Processor):
    """Converts clips and texts to the inputs of the model, and its outputs to masks.

    Two processors are equal if their options are equal; tokenizer and texts are not compared.

    Args:
        max_text_tokens: Length of a text with its start and end token.
        tokenizer: Tokenizer of the model; without it texts cannot be encoded.
    """

    max_text_tokens: int
    tokenizer: RobertaTokenizer | None = field(default=None, compare=False)

    @classmethod
    def from_config(  # type: ignore[override]  # a narrower configuration, and a tokenizer
        cls, config: AuralSam2TextConfig, tokenizer: RobertaTokenizer | None = None
    ) -> Self:
        """Build the processor that fits a model.

        Args:
            config: Configuration of the model.
            tokenizer: Tokenizer of the model, which is not part of a configuration.

        Returns:
            The processor.
        """
        audio = config.vggish_config
        return cls(
            config.sam_config.image_size,
            audio.sample_rate,
            audio.columns,
            audio.mel_bins,
            config.max_text_tokens,
            tokenizer,
        )

    def __call__(self, clip: Clip) -> dict[str, Tensor]:
        """Convert one clip and the texts to the inputs of the model.

        Args:
            clip: Frames and audio, as for `AuralSam2Processor`.

        Returns:
            The inputs; those of the clip have a batch dimension of one, those of the texts of N.

        Raises:
            ClipError: If the audio has another sample rate.
            PromptError: If there is no text prompt.
        """
        text_ids, text_mask = self._encode_texts(self._require_texts())
        return {**super().__call__(clip), "text_ids": text_ids, "text_mask": text_mask}

    def _encode_texts(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        if self.tokenizer is None:
            raise PromptError("the processor has no tokenizer, so it cannot encode texts.")
        return self.tokenizer.encode(texts, self.max_text_tokens)

    @classmethod
    def _load_tokenizers(cls, folder: Path) -> dict[str, Any]:
        return {"tokenizer": RobertaTokenizer.from_file(folder / RobertaTokenizer.FILE)}

    def _tokenizers_to_save(self) -> tuple[SavedTokenizer, ...]:
        if self.tokenizer is None:
            raise ValueError(
                "the processor has no tokenizer; make it with from_config(config, tokenizer)."
            )
        return (self.tokenizer,)
