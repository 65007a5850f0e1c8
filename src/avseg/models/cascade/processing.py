"""Processor of the cascade: converts a clip and names to tensors, and mask logits to sources.

T frames, H x W size of the video, C names, P prompts, L tokens of the longest name, S / s side of
the images for SAM / BEiT-3.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from avseg.backbones.clap_text import ClapTokenizer
from avseg.backbones.tokenizing import TextTokenizer, load_tokenizer
from avseg.errors import PromptError
from avseg.models.cascade.configuration import NAME, CascadeConfig
from avseg.models.processor import (
    BEIT3_STATISTICS,
    SavedTokenizer,
    as_pixels,
    audio_of_frames,
    fitted_size,
    for_sam,
    normalise,
    resize,
)
from avseg.models.vocabulary import VocabularyProcessor, avsbench_names
from avseg.types import Clip


@dataclass(frozen=True)
class CascadeProcessor(VocabularyProcessor):
    """Converts clips to the inputs of the model, and its outputs to named sources.

    Two processors are equal if their options are equal; tokenizers and vocabulary are not compared.

    Args:
        sam_size: Side of the images for SAM, in pixels.
        beit3_size: Side of the images for BEiT-3, in pixels.
        sample_rate: Sample rate of the audio, in Hz.
        window_s: Length of the audio window of a frame, in seconds.
        keep_proportions: Whether frames for SAM keep their proportions and are padded to a square.
        sound_prompt: Text for CLAP, with "{name}" as the placeholder.
        picture_prompt: Text for EVF-SAM, with "{name}" as the placeholder.
        max_sound_tokens: Maximum length of a text for CLAP, in tokens.
        max_picture_tokens: Maximum length of a text for EVF-SAM, in tokens.
        sound_tokenizer: Tokenizer of CLAP; without it names cannot be encoded.
        picture_tokenizer: Tokenizer of EVF-SAM; without it names cannot be encoded.
        vocabulary: The names among which the model chooses.
    """

    sam_size: int
    beit3_size: int
    sample_rate: int
    window_s: float
    keep_proportions: bool
    sound_prompt: str
    picture_prompt: str
    max_sound_tokens: int
    max_picture_tokens: int
    sound_tokenizer: ClapTokenizer | None = field(default=None, compare=False)
    picture_tokenizer: TextTokenizer | None = field(default=None, compare=False)
    vocabulary: tuple[str, ...] = field(default_factory=avsbench_names, compare=False, kw_only=True)

    @classmethod
    def from_config(
        cls,
        config: CascadeConfig,
        sound_tokenizer: ClapTokenizer | None = None,
        picture_tokenizer: TextTokenizer | None = None,
    ) -> Self:
        """Build the processor that fits a model, with the categories of AVSBench-semantic.

        Args:
            config: Configuration of the model.
            sound_tokenizer: Tokenizer of CLAP, which is not part of a configuration.
            picture_tokenizer: Tokenizer of EVF-SAM, also not part of a configuration.

        Returns:
            The processor.
        """
        return cls(
            sam_size=config.sam_config.image_size,
            beit3_size=config.beit3_config.image_size,
            sample_rate=config.clap_config.sample_rate,
            window_s=config.window_s,
            keep_proportions=config.keep_proportions,
            sound_prompt=config.sound_prompt,
            picture_prompt=config.picture_prompt,
            max_sound_tokens=config.max_sound_tokens,
            max_picture_tokens=config.beit3_config.max_text_tokens,
            sound_tokenizer=sound_tokenizer,
            picture_tokenizer=picture_tokenizer,
        )

    def __call__(self, clip: Clip) -> dict[str, Tensor]:
        """Convert one clip to the inputs of the model.

        Args:
            clip: Frames and audio, the audio at `sample_rate`.

        Returns:
            The inputs; frames and audio have a batch dimension of one.

        Raises:
            ClipError: If the audio has another sample rate.
            PromptError: If the processor has no tokenizers.
        """
        windows = audio_of_frames(clip, self.sample_rate, self.window_s)
        pixels = as_pixels(clip.frames)
        beit3 = (self.beit3_size, self.beit3_size)
        frame_inputs = {
            "pixel_values_sam": for_sam(pixels, self.sam_size, self.keep_proportions),
            "pixel_values_beit3": normalise(resize(pixels, beit3, "bicubic"), BEIT3_STATISTICS),
            "audio_values": torch.from_numpy(windows),
        }
        inputs = {name: values.unsqueeze(0) for name, values in frame_inputs.items()} | self._tokens
        # All frames of a clip have the same size, so the batch of one clip needs one size only.
        if self.keep_proportions:
            height, width = clip.frames.shape[1:3]
            inputs["frame_size"] = torch.tensor(fitted_size((height, width), self.sam_size))
        return inputs

    @classmethod
    def _load_tokenizers(cls, folder: Path) -> dict[str, Any]:
        return {
            "sound_tokenizer": ClapTokenizer.from_file(folder / ClapTokenizer.FILE),
            "picture_tokenizer": load_tokenizer(folder),
        }

    def _tokenizers_to_save(self) -> tuple[SavedTokenizer, ...]:
        return self._tokenizers

    def _encode_vocabulary(self) -> object:
        return self._tokens

    @property
    def _tokenizers(self) -> tuple[ClapTokenizer, TextTokenizer]:
        if self.sound_tokenizer is None or self.picture_tokenizer is None:
            raise PromptError(
                "the processor has no tokenizer, so it cannot encode names; build it with "
                "from_config(config, sound_tokenizer, picture_tokenizer)."
            )
        return self.sound_tokenizer, self.picture_tokenizer

    @cached_property
    def _tokens(self) -> dict[str, Tensor]:
        """Token ids of the vocabulary for both models, the same for every clip."""
        sound, picture = self._tokenizers
        sound_texts = [self.sound_prompt.replace(NAME, name) for name in self.vocabulary]
        picture_texts = [self.picture_prompt.replace(NAME, name) for name in self.vocabulary]
        # CLAP's tokenizer pads its ids; the lists of BEiT-3's tokenizer are padded below.
        sound_ids = sound.encode(sound_texts)
        ids = [torch.tensor(picture.encode(text)) for text in picture_texts]
        lengths = torch.tensor([len(numbers) for numbers in ids])
        if sound_ids.shape[1] > self.max_sound_tokens:
            # Padded rows do not show which text is the longest, so each is encoded again.
            longest = max(sound_texts, key=lambda text: sound.encode([text]).shape[1])
            raise _too_long(longest, sound_ids.shape[1], "CLAP", self.max_sound_tokens)
        if lengths.max() > self.max_picture_tokens:
            most = int(lengths.max())
            raise _too_long(
                picture_texts[lengths.argmax()], most, "EVF-SAM", self.max_picture_tokens
            )
        prompt_ids = pad_sequence(ids, batch_first=True, padding_value=picture.PAD_ID)
        return {
            "sound_ids": sound_ids,
            "prompt_ids": prompt_ids,
            "prompt_mask": torch.arange(prompt_ids.shape[1]) < lengths[:, None],
        }


def _too_long(text: str, tokens: int, model: str, limit: int) -> PromptError:
    """Build the error for a text that is too long for a model."""
    return PromptError(
        f"{text!r} has {tokens} tokens for {model}, which takes {limit}; shorten the name."
    )
