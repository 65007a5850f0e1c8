"""TAViS's input and output: clip and names to tensors, mask logits to named masks.

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
from avseg.models.pixels import as_pixels, resize
from avseg.models.processor import SavedTokenizer, VocabularyProcessor, audio_of_frames
from avseg.models.tavis.configuration import NAME, TavisConfig
from avseg.models.vocabulary import avsbench_categories
from avseg.types import Clip, NamedSource


@dataclass(frozen=True)
class TavisProcessor(VocabularyProcessor):
    """Turns clips into the model's inputs and its outputs into named masks.

    Two processors are equal if their options are; tokenizer and vocabulary do not count.

    Args:
        sam_size: Side of the frames, in pixels.
        sample_rate: Of the sound the model needs, in Hz.
        window_s: Sound that belongs to a frame, in seconds.
        mel_bins: Bands of a spectrogram.
        target_length: Columns of a spectrogram.
        prompt: Text for a name, with "{name}" where the name goes.
        background: Name of what does not sound.
        max_tokens: Longest text, in tokens.
        tokenizer: Of the text tower; None cannot read names.
        vocabulary: Names of what may sound, without the background.
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
        """Make the processor that fits a model, with AVSBench's categories.

        Args:
            config: The model's configuration.
            tokenizer: Of the text tower, which a configuration does not hold.

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
        """Make the same processor choose among other names.

        Args:
            names: At least one, each different, none of them the background's.

        Returns:
            The processor.

        Raises:
            PromptError: If there is no name, or one is blank, twice there, too long, unknown, or
                the background's.
        """
        if self.background in names:
            raise PromptError(
                f"{self.background!r} is this model's name for what does not sound, and always "
                "among the names; leave it out."
            )
        return super().with_vocabulary(names)

    def __call__(
        self, clip: Clip, segments: npt.NDArray[np.float32] | None = None
    ) -> dict[str, Tensor]:
        """Prepare one clip.

        Args:
            clip: Frames and sound, the sound at `sample_rate`.
            segments: Sound of each frame, (T, samples), instead of the clip's own windows; for
                comparing with published results, from `avseg.backbones.imagebind.audio.cut_clips`.

        Returns:
            The model's inputs, frames and sounds with a batch of one in front.

        Raises:
            ClipError: If the sound is at another rate, or there is not one for each frame.
            PromptError: If the processor has no tokenizer.
        """
        windows = audio_of_frames(clip, self.sample_rate, self.window_s, segments)
        return {
            "pixel_values": self.pictures(clip.frames).unsqueeze(0),
            "audio_values": self.sounds(windows).unsqueeze(0),
            "name_ids": self.name_ids,
        }

    def pictures(self, frames: npt.NDArray[np.uint8]) -> Tensor:
        """Bring frames to the model's size.

        Args:
            frames: RGB, (T, H, W, 3) uint8.

        Returns:
            Frames in [0, 1], (T, 3, S, S) float32.
        """
        size = (self.sam_size, self.sam_size)
        return resize(as_pixels(frames), size, "bilinear").float() / 255

    def sounds(self, windows: npt.NDArray[np.float32]) -> Tensor:
        """Compute the spectrograms of windows of sound.

        Args:
            windows: Mono sound in [-1, 1], (T, samples).

        Returns:
            Spectrograms, (T, 1, bands, columns) float32.
        """
        return spectrograms(torch.from_numpy(windows), self._audio)

    def sources(
        self, outputs: NamedOutput, size: tuple[int, int], threshold: float = 0.5
    ) -> list[NamedSource]:
        """Turn mask logits into the masks of each name that a query has got.

        Args:
            outputs: Of the model, for one clip.
            size: Height and width of the video, in pixels.
            threshold: Probability above which a pixel is marked, in (0, 1).

        Returns:
            A source for each name that marks anything, with T frames, in the vocabulary's order.

        Raises:
            ValueError: If the threshold is not between 0 and 1.
        """
        named = super().sources(outputs, size, threshold)
        return [source for source in named if source.masks.any()]

    @cached_property
    def name_ids(self) -> Tensor:
        """The names in the text tower's tokens, the background's first, (C, L) int64."""
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
                "the processor lacks a tokenizer, so it cannot read names; make it with "
                "from_config(config, tokenizer)."
            )
        return self.tokenizer
