"""Processor of the cascade: converts a clip and names to tensors, and mask logits to sources.

T frames, C names.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from avseg.errors import CheckpointError, PromptError
from avseg.models.cascade.captions import object_caption
from avseg.models.cascade.configuration import NAME, CascadeConfig
from avseg.models.cascade.parts import NAMERS, SEGMENTERS, NamerClasses, SegmenterClasses
from avseg.models.picture_inputs import PictureInputs
from avseg.models.processor import (
    PROCESSOR_FILE,
    SavedTokenizer,
    audio_of_frames,
    read_options,
    write_options,
)
from avseg.models.sound_inputs import SoundInputs
from avseg.models.vocabulary import (
    VocabularyProcessor,
    avsbench_names,
    load_vocabulary,
    save_vocabulary,
)
from avseg.types import Clip


@dataclass(frozen=True)
class CascadeProcessor(VocabularyProcessor):
    """Converts clips to the inputs of the model, and its outputs to named sources.

    Two processors are equal if their options are equal; tokenizers and vocabulary are not compared.

    Args:
        sound: Inputs of the sound namer.
        picture: Inputs of the text-prompted segmenter.
        window_s: Length of the audio window of a frame, in seconds.
        sound_prompt: Text for the sound namer, with "{name}" as the placeholder.
        picture_prompt: Text for the segmenter, with "{name}" as the placeholder.
        object_captions: Whether the placeholder stands for the caption of a name's object.
        sound_tokenizer: Tokenizer of the sound namer; without it names cannot be encoded.
        picture_tokenizer: Tokenizer of the segmenter; without it names cannot be encoded.
        vocabulary: The names among which the model chooses.
    """

    sound: SoundInputs
    picture: PictureInputs
    window_s: float
    sound_prompt: str
    picture_prompt: str
    object_captions: bool
    sound_tokenizer: SavedTokenizer | None = field(default=None, compare=False)
    picture_tokenizer: SavedTokenizer | None = field(default=None, compare=False)
    vocabulary: tuple[str, ...] = field(default_factory=avsbench_names, compare=False, kw_only=True)

    @property
    def sample_rate(self) -> int:
        """Sample rate of the audio, in Hz."""
        return self.sound.sample_rate

    @classmethod
    def from_config(
        cls,
        config: CascadeConfig,
        sound_tokenizer: SavedTokenizer | None = None,
        picture_tokenizer: SavedTokenizer | None = None,
    ) -> Self:
        """Build the processor that fits a model, with the categories of AVSBench-semantic.

        Args:
            config: Configuration of the model.
            sound_tokenizer: Tokenizer of the sound namer, which is not part of a configuration.
            picture_tokenizer: Tokenizer of the segmenter, also not part of a configuration.

        Returns:
            The processor.
        """
        namer, segmenter = config.namer_config, config.segmenter_config
        return cls(
            sound=NAMERS[namer.model_type].inputs.from_config(namer),
            picture=SEGMENTERS[segmenter.model_type].inputs.from_config(segmenter),
            window_s=config.window_s,
            sound_prompt=config.sound_prompt,
            picture_prompt=config.picture_prompt,
            object_captions=config.object_captions,
            sound_tokenizer=sound_tokenizer,
            picture_tokenizer=picture_tokenizer,
        )

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> Self:
        """Load a processor, its tokenizers and its vocabulary from the folder of its model.

        Args:
            folder: Folder that `save_pretrained` wrote.

        Returns:
            The processor.

        Raises:
            CheckpointError: If a file is missing, a tokenizer is damaged, or the options are not
                those of this class.
            PromptError: If the vocabulary is missing, or a tokenizer cannot encode a name in it.
        """
        path = Path(folder)
        options = read_options(path, cls.option_names())
        sound = _build_inputs(options.pop("sound"), NAMERS, path)
        picture = _build_inputs(options.pop("picture"), SEGMENTERS, path)
        bare = cls(
            sound,
            picture,
            **options,
            sound_tokenizer=sound.load_tokenizer(path),
            picture_tokenizer=picture.load_tokenizer(path),
        )
        return bare.with_vocabulary(load_vocabulary(path))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write options, tokenizers and vocabulary.

        Args:
            folder: Folder of the model, created if it is missing.

        Raises:
            PromptError: If a tokenizer is missing, so that the saved processor could not be loaded.
        """
        # This may raise an error, so it comes before any file is written.
        tokenizers = self._tokenizers
        options = {name: getattr(self, name) for name in self.option_names()}
        options["sound"] = _describe_inputs(self.sound, NAMERS)
        options["picture"] = _describe_inputs(self.picture, SEGMENTERS)
        write_options(folder, options)
        for tokenizer in tokenizers:
            tokenizer.save(Path(folder))
        save_vocabulary(self.vocabulary, Path(folder))

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
        windows = torch.from_numpy(audio_of_frames(clip, self.sample_rate, self.window_s))
        of_frames = self.sound.prepare_windows(windows) | self.picture.prepare_frames(clip.frames)
        return {name: values.unsqueeze(0) for name, values in of_frames.items()} | self._tokens

    def _encode_vocabulary(self) -> object:
        return self._tokens

    @property
    def _tokenizers(self) -> tuple[SavedTokenizer, SavedTokenizer]:
        if self.sound_tokenizer is None or self.picture_tokenizer is None:
            raise PromptError(
                "the processor has no tokenizer, so it cannot encode names; build it with "
                "from_config(config, sound_tokenizer, picture_tokenizer)."
            )
        return self.sound_tokenizer, self.picture_tokenizer

    @cached_property
    def _tokens(self) -> dict[str, Tensor]:
        """The tensors of the vocabulary for both parts, the same for every clip."""
        sound, picture = self._tokenizers
        sound_texts = [self.sound_prompt.replace(NAME, name) for name in self.vocabulary]
        objects = self.vocabulary
        if self.object_captions:
            objects = tuple(map(object_caption, objects))
        picture_texts = [self.picture_prompt.replace(NAME, name) for name in objects]
        return self.sound.encode_names(sound_texts, sound) | self.picture.encode_texts(
            picture_texts, picture
        )


def _describe_inputs(
    inputs: Any, parts: Mapping[str, NamerClasses | SegmenterClasses]
) -> dict[str, Any]:
    """Return the options of a part's inputs, with the `model_type` of the part."""
    (model_type,) = (name for name, part in parts.items() if type(inputs) is part.inputs)
    return {"model_type": model_type, **asdict(inputs)}


def _build_inputs(
    options: Any, parts: Mapping[str, NamerClasses | SegmenterClasses], folder: Path
) -> Any:
    """Build a part's inputs from the options that `_describe_inputs` returned."""
    try:
        own = dict(options)
        return parts[own.pop("model_type")].inputs(**own)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{folder / PROCESSOR_FILE} has the options {options!r:.200}, which no part of a "
            f"cascade has ({error!r}); save the processor again with this version."
        ) from error
