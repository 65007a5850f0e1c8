"""Processor of TAViS: converts a clip and names to tensors, and mask logits to named sources.

T frames of H x W pixels, S side of the frames, C names with the background first, L tokens of a
text.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from avseg.backbones.imagebind import ImageBindAudioConfig
from avseg.backbones.imagebind.audio import spectrograms
from avseg.backbones.imagebind.tokenizing import ImageBindTokenizer
from avseg.errors import PromptError
from avseg.models.outputs import NamedOutput
from avseg.models.processor import SavedTokenizer, as_pixels, audio_of_frames, resize
from avseg.models.tavis.configuration import NAME, TavisConfig
from avseg.models.vocabulary import VocabularyProcessor, avsbench_categories
from avseg.types import Clip, NamedSource


@dataclass(frozen=True)
class TavisProcessor(VocabularyProcessor):
    """Converts clips to the inputs of the model, and its outputs to named sources.

    Two processors are equal if their options are equal; tokenizer and vocabulary are not compared.

    Args:
        sam_size: Side of the frames, in pixels.
        sample_rate: Sample rate of the audio, in Hz.
        window_s: Length of the audio window of a frame, in seconds.
        mel_bins: Mel bands of a spectrogram.
        target_length: Columns of a spectrogram.
        prompt: Text for a name, with "{name}" as the placeholder.
        background: Name of the background class.
        max_tokens: Maximum length of a text, in tokens.
        tokenizer: Tokenizer of the text tower; without it names cannot be encoded.
        vocabulary: Names among which the model chooses, without the background.
    """

    sam_size: int
    sample_rate: int
    window_s: float
    mel_bins: int
    target_length: int
    prompt: str
    background: str
    max_tokens: int
    tokenizer: ImageBindTokenizer | None = field(default=None, compare=False)
    vocabulary: tuple[str, ...] = field(
        default_factory=avsbench_categories, compare=False, kw_only=True
    )

    @classmethod
    def from_config(cls, config: TavisConfig, tokenizer: ImageBindTokenizer | None = None) -> Self:
        """Build the processor that fits a model, with the categories of AVSBench-semantic.

        Args:
            config: Configuration of the model.
            tokenizer: Tokenizer of the text tower, which is not part of a configuration.

        Returns:
            The processor.
        """
        audio = config.imagebind_config.audio
        return cls(
            sam_size=config.sam_config.image_size,
            sample_rate=audio.sample_rate,
            window_s=config.window_s,
            mel_bins=audio.mel_bins,
            target_length=audio.target_length,
            prompt=config.prompt,
            background=config.background,
            max_tokens=config.imagebind_config.text.context,
            tokenizer=tokenizer,
        )

    def with_vocabulary(self, names: Sequence[str]) -> Self:
        """Return a copy with another vocabulary.

        Args:
            names: At least one name, each different, none of them the name of the background.

        Returns:
            The processor.

        Raises:
            PromptError: If there is no name, or a name is blank, repeated, too long, unknown to the
                tokenizer, or the name of the background.
        """
        if self.background in names:
            raise PromptError(
                f"{self.background!r} is this model's name for the background, which is always "
                "one of its classes; remove it from the vocabulary."
            )
        return super().with_vocabulary(names)

    def __call__(
        self, clip: Clip, segments: npt.NDArray[np.float32] | None = None
    ) -> dict[str, Tensor]:
        """Convert one clip to the inputs of the model.

        Args:
            clip: Frames and audio, the audio at `sample_rate`.
            segments: Audio of each frame, (T, samples), instead of windows of the clip's audio;
                from `avseg.backbones.imagebind.audio.cut_clips`, for comparing with published
                results.

        Returns:
            The inputs; frames and audio have a batch dimension of one.

        Raises:
            ClipError: If the audio has another sample rate, or there is not one segment for each
                frame.
            PromptError: If the processor has no tokenizer.
        """
        windows = audio_of_frames(clip, self.sample_rate, self.window_s, segments)
        return {
            "pixel_values": self.prepare_frames(clip.frames).unsqueeze(0),
            "audio_values": self.prepare_audio(windows).unsqueeze(0),
            "name_ids": self.name_ids,
        }

    def prepare_frames(self, frames: npt.NDArray[np.uint8]) -> Tensor:
        """Stretch frames to a square of the model's size.

        Args:
            frames: RGB, (T, H, W, 3) uint8.

        Returns:
            Frames in [0, 1], (T, 3, S, S) float32.
        """
        size = (self.sam_size, self.sam_size)
        # Not normalised: the model normalises for SAM 2 and ImageBind, whose statistics differ.
        return resize(as_pixels(frames), size, "bilinear").float() / 255

    def prepare_audio(self, windows: npt.NDArray[np.float32]) -> Tensor:
        """Compute the spectrograms of audio windows.

        Args:
            windows: Mono audio in [-1, 1], (T, samples).

        Returns:
            Spectrograms, (T, 1, bands, columns) float32.
        """
        return spectrograms(torch.from_numpy(windows), self._audio)

    def sources(
        self, outputs: NamedOutput, size: tuple[int, int], threshold: float = 0.5
    ) -> list[NamedSource]:
        """Convert the named masks of a clip to one source for each name.

        Args:
            outputs: Outputs of the model for one clip.
            size: Height and width of the video, in pixels.
            threshold: Probability above which a pixel belongs to the mask, in (0, 1).

        Returns:
            A source with T frames for each name whose mask is not empty in any frame, in the order
            of the vocabulary.

        Raises:
            ValueError: If the threshold is not between 0 and 1.
        """
        # Naming uses the threshold 0.5, so with a higher one a named mask may be empty.
        named = super().sources(outputs, size, threshold)
        return [s for s in named if not all(mask.is_empty for mask in s.packed)]

    @cached_property
    def name_ids(self) -> Tensor:
        """Token ids of the names for the text tower, the background first, (C, L) int64."""
        texts = [self.prompt.replace(NAME, n) for n in (self.background, *self.vocabulary)]
        return self._required_tokenizer.encode(texts, self.max_tokens)

    @classmethod
    def _load_tokenizers(cls, folder: Path) -> dict[str, Any]:
        return {"tokenizer": ImageBindTokenizer.from_file(folder / ImageBindTokenizer.FILE)}

    def _tokenizers_to_save(self) -> tuple[SavedTokenizer, ...]:
        return (self._required_tokenizer,)

    def _encode_vocabulary(self) -> object:
        return self.name_ids

    @property
    def _audio(self) -> ImageBindAudioConfig:
        return ImageBindAudioConfig(
            sample_rate=self.sample_rate,
            clip_s=self.window_s,
            mel_bins=self.mel_bins,
            target_length=self.target_length,
        )

    @property
    def _required_tokenizer(self) -> ImageBindTokenizer:
        if self.tokenizer is None:
            raise PromptError(
                "the processor has no tokenizer, so it cannot encode names; build it with "
                "from_config(config, tokenizer)."
            )
        return self.tokenizer
