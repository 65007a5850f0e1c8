"""Predictions of a model under evaluation for a clip and a given audio, before any threshold.

An avseg model and a user's own function are evaluated by the same code: both become a `Predictor`.

A clip has T frames of H x W pixels, and C channels with S samples of audio. The logits have a size
of (h, w), for K classes.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, Self, TypeGuard, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avseg.datasets.avsbench import AVSBench
from avseg.datasets.layout import Subset
from avseg.environment import describe_environment
from avseg.errors import CheckpointError
from avseg.models.av2t_sam.audio_segments import cut_segments, read_seconds
from avseg.models.outputs import resize_logits
from avseg.models.processor import ClipProcessor, SegmentProcessor, TextProcessor, required
from avseg.models.vocabulary import read_vocabulary
from avseg.segmenter import Dtype, Segmenter, load_segmenter
from avseg.types import Clip

#: Audio of a clip, (C, S) float32 in [-1, 1].
Waveform = NDArray[np.float32]

#: Sample rate for a user's own model if the data are given as a folder, in Hz.
DEFAULT_SAMPLE_RATE = 16000

#: Probabilities of a user's own model are kept this far from 0 and 1, where the logit is infinite:
#: resizing an infinite logit gives NaN. The logits then lie within -16.2 and 16.2.
_SMALLEST_PROBABILITY = 1e-7


class MaskFunction(Protocol):
    """A user's own model: any function, `nn.Module` or other callable with this signature.

    Its name in the report is its attribute `name`, if it has one, or else the name of the function
    or class.
    """

    def __call__(
        self, frames: NDArray[np.uint8], audio: NDArray[np.float32], /
    ) -> NDArray[Any] | Tensor:
        """Predict the masks of one clip.

        Args:
            frames: RGB, (T, H, W, 3) uint8.
            audio: Mono waveform in [-1, 1], (S,), at the sample rate of the data.

        Returns:
            Probability that a pixel belongs to a sounding object, (T, h, w) in [0, 1] at any
            height and width; bool masks are accepted too.
        """
        ...


#: A model to evaluate: a name that `avseg models` lists, a folder, a loaded segmenter, or a user's
#: own function.
ModelLike = str | PathLike[str] | Segmenter | MaskFunction

#: Data to evaluate on: a folder, or one split that is open.
DataLike = str | PathLike[str] | AVSBench


@dataclass(frozen=True, eq=False)
class Prediction:
    """Logits that a model predicts for one clip.

    Attributes:
        mask_logits: Mask logits of the sounding objects, (T, h, w) float32 on the CPU.
        class_logits: Logits of each class of the data set, (T, K, h', w'); their size may differ
            from that of the mask logits. None if no classes were requested, or the model predicts
            none.
    """

    mask_logits: Tensor
    class_logits: Tensor | None

    def of_frames(self, selected: NDArray[np.bool_]) -> Self:
        """Select frames.

        Args:
            selected: True for each frame to keep, (T,).

        Returns:
            The logits of these frames.
        """
        index = torch.from_numpy(selected)
        classes = self.class_logits
        return replace(
            self,
            mask_logits=self.mask_logits[index],
            class_logits=None if classes is None else classes[index],
        )

    def mask_probs(self, size: tuple[int, int]) -> Tensor:
        """Compute mask probabilities at the size of the frames.

        Args:
            size: H and W.

        Returns:
            Probabilities, (T, H, W).
        """
        return resize_logits(self.mask_logits, size).sigmoid()


class Predictor(ABC):
    """A model under evaluation.

    Attributes:
        name: Name of the model in the report.
        sample_rate: Sample rate of the audio that the model needs, in Hz.
        audio_channels: Number of audio channels that the model uses, 1 or 2.
        weights_sha256: SHA-256 of the weights file; None if there is no such file.
        vocabulary: Names among which the model chooses; empty for a model that names no sources.
    """

    name: str
    sample_rate: int
    audio_channels: int = 1
    weights_sha256: str | None = None
    vocabulary: tuple[str, ...] = ()

    @abstractmethod
    def predict(
        self, clip: Clip, audio: Waveform, class_names: Sequence[str] | None = None
    ) -> Prediction:
        """Predict the masks of a clip for a given audio.

        Args:
            clip: Frames, (T, H, W, 3); its own audio is not used.
            audio: Audio at `sample_rate`, (C, S).
            class_names: Classes of the data set by number, 0 the background; None to predict no
                classes, which saves time and memory.

        Returns:
            The logits.

        Raises:
            CheckpointError: If the model predicts classes other than these.
            ClipError: If the audio has another sample rate than the model needs.
            ValueError: If a user's own model returns no probabilities of these frames.
        """

    @abstractmethod
    def environment(self) -> dict[str, object]:
        """Return versions, commit, machine, device and dtype, as values for JSON."""

    def read_audio(self, split: AVSBench, index: int) -> Waveform:
        """Read the original audio of a clip in the form that the model needs.

        Args:
            split: The data, with audio at `sample_rate` and with `audio_channels`.
            index: Number of the clip.

        Returns:
            The audio, (C, S).

        Raises:
            ClipError: If the audio cannot be read.
            DatasetError: If a file is missing or damaged.
        """
        clip = split[index].clip
        return clip.audio[None] if clip.channels is None else clip.channels


class SegmenterPredictor(Predictor):
    """A predictor around an avseg model.

    Args:
        segmenter: The model and its processor.

    Raises:
        CheckpointError: If the model does not use the audio.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        require_audio(segmenter)
        self.segmenter = segmenter
        self.name = segmenter.name
        self.sample_rate = segmenter.processor.sample_rate
        self.audio_channels = segmenter.processor.audio_channels
        self.weights_sha256 = segmenter.weights_sha256
        self.vocabulary = segmenter.vocabulary

    def read_audio(self, split: AVSBench, index: int) -> Waveform:
        """Read the original audio, with all channels if the processor follows published code."""
        # AV2T-SAM's published code concatenates all channels of a second as the input of CLAP. The
        # data set mixes channels to mono, so the file is read again to reproduce published results.
        if not _takes_segments(self.segmenter.processor):
            return super().read_audio(split, index)
        seconds = split.entries[index].seconds
        return read_seconds(split.audio_path(index), split.sample_rate, seconds)

    def encode(self, clip: Clip, audio: Waveform) -> dict[str, Tensor]:
        """Convert a clip with a given audio to the inputs of the model.

        Args:
            clip: Frames, (T, H, W, 3); its own audio is not used.
            audio: Audio at `sample_rate`, (C, S).

        Returns:
            Input tensors by name, on the model's device.

        Raises:
            ClipError: If the audio has another sample rate than the model needs.
        """
        processor = self.segmenter.processor
        if _takes_segments(processor):
            inputs = processor(clip, cut_segments(audio, processor.sample_rate))
        else:
            # Synthesised conditions have one channel for models that use two, too.
            channels = audio if len(audio) == 2 else None
            mono = audio.mean(axis=0, dtype=np.float32)
            inputs = processor(replace(clip, audio=mono, channels=channels))
        return {name: values.to(self.segmenter.device) for name, values in inputs.items()}

    @torch.inference_mode()
    def predict(
        self, clip: Clip, audio: Waveform, class_names: Sequence[str] | None = None
    ) -> Prediction:
        """Predict the masks, also for digital silence.

        `Segmenter` returns empty masks for digital silence without running the model. That rule is
        not used here: it would hide whether the model has learned silence.
        """
        model, inputs = self.segmenter.model, self.encode(clip, audio)
        # `predict_masks` skips the naming of sources, which takes most of the time of TAViS.
        outputs = model.predict_masks(**inputs) if class_names is None else model(**inputs)
        # The batch has one clip. Scores are computed in float32 on the CPU, on every device alike.
        masks = required(outputs.mask_logits, "mask_logits")[0].float().cpu()
        classes: Tensor | None = getattr(outputs, "class_logits", None)
        if class_names is None or classes is None:
            return Prediction(masks, None)
        return Prediction(masks, self._reorder_classes(classes[0].float().cpu(), class_names))

    def environment(self) -> dict[str, object]:
        """Return versions, commit, machine, device and dtype, as values for JSON."""
        return describe_environment(self.segmenter.device) | {"dtype": self.segmenter.dtype}

    def _reorder_classes(self, class_logits: Tensor, class_names: Sequence[str]) -> Tensor:
        """Reorder class logits (T, C, h, w) to the classes of the data set, (T, K, h, w).

        A model with a vocabulary predicts the background and its names; classes outside of the
        vocabulary get the lowest logit. Other models predict the classes of the data set in order.
        """
        # AVSS spells its categories with hyphens, vocabularies with spaces.
        numbers = {name.replace("-", " "): number for number, name in enumerate(class_names)}
        predicted = [name.replace("-", " ") for name in (class_names[0], *self.vocabulary)]
        predicted = predicted if self.vocabulary else list(numbers)
        unknown = [name for name in predicted if name not in numbers]
        if unknown or len(predicted) != class_logits.shape[1]:
            example = f", among them {unknown[0]!r}" if unknown else ""
            raise CheckpointError(
                f"{self.name} predicts {class_logits.shape[1]} classes{example}; the data set has "
                f"{len(class_names)}, {class_names[0]} to {class_names[-1]}. Choose classes of the "
                "data set as the vocabulary, or evaluate a model that was trained on it."
            )
        count, _, *size = class_logits.shape
        # Not minus infinity: bilinear resizing multiplies it by 0, which gives NaN.
        lowest = torch.finfo(torch.float16).min
        ordered = class_logits.new_full((count, len(class_names), *size), lowest)
        ordered[:, [numbers[name] for name in predicted]] = class_logits
        return ordered


class FunctionPredictor(Predictor):
    """A predictor around a user's own model.

    Args:
        function: The model.
        sample_rate: Sample rate of the audio that the function gets, in Hz.
    """

    def __init__(self, function: MaskFunction, sample_rate: int) -> None:
        self.function = function
        # An `nn.Module` has no `__name__`; its class has one.
        default = getattr(function, "__name__", type(function).__name__)
        self.name = str(getattr(function, "name", default))
        self.sample_rate = sample_rate

    @torch.inference_mode()
    def predict(
        self,
        clip: Clip,
        audio: Waveform,
        class_names: Sequence[str] | None = None,  # noqa: ARG002 - it predicts no classes
    ) -> Prediction:
        """Run the function, and convert its probabilities to logits.

        Logits are needed because some published protocols compute F from them.
        """
        result = self.function(clip.frames, audio[0])
        if not isinstance(result, Tensor):
            # A copy: the function may return a read-only view of its own buffer.
            result = torch.from_numpy(np.array(result, np.float32))
        probs = result.detach().float().cpu()
        # Checked here, because a wrong shape would raise an obscure error while resizing.
        if probs.ndim != 3 or len(probs) != len(clip.frames):
            raise ValueError(
                f"{self.name} returned an array of shape {tuple(probs.shape)}; it must be "
                f"(T, height, width) with T = {len(clip.frames)} frames."
            )
        if not (probs.min() >= 0 and probs.max() <= 1):  # also False for NaN
            raise ValueError(
                f"{self.name} returned values from {float(probs.min()):.3g} to "
                f"{float(probs.max()):.3g}, probabilities lie in [0, 1]; apply the sigmoid to "
                "logits first."
            )
        return Prediction(torch.logit(probs, eps=_SMALLEST_PROBABILITY), None)

    def environment(self) -> dict[str, object]:
        """Return versions, commit and machine; the device and dtype of the function are unknown."""
        return describe_environment(torch.device("cpu")) | {"device": "own model", "dtype": None}


def load_predictor(
    model: ModelLike,
    data: DataLike,
    *,
    vocabulary: str | Sequence[str] | None = None,
    device: str = "auto",
    dtype: Dtype = "float32",
    offline: bool = False,
) -> Predictor:
    """Load a model for evaluation.

    Args:
        model: A name, a folder, a loaded segmenter, or a user's own function.
        data: Data of the evaluation. A user's own function gets the audio at the sample rate of an
            open split, or at 16 kHz if the data are a folder.
        vocabulary: Names for a model that names sources, or the path of a text file with the names.
        device: Device, for a model that is given by name or folder.
        dtype: Dtype of matrix products, for a model that is given by name or folder.
        offline: Whether to download nothing.

    Returns:
        The predictor.

    Raises:
        CheckpointError: If there is no such model, or it does not use the audio.
        PromptError: If the model takes no vocabulary.
        TypeError: If the model is of another type.
        ValueError: If an option does not apply to the model.
    """
    loads = isinstance(model, str | PathLike)
    # A loaded model keeps its device and dtype: ignoring the options would be misleading.
    if not loads and (device, dtype) != ("auto", "float32"):
        raise ValueError(
            "device and dtype apply to a model that is given by name or folder; load the model "
            "with them, and leave them out here."
        )
    # Before the model is loaded, so that a misspelt file fails at once.
    names = read_vocabulary(vocabulary) if isinstance(vocabulary, str) else vocabulary or ()
    if isinstance(model, str | PathLike):
        model = load_segmenter(Path(model), device, dtype=dtype, offline=offline)
    if isinstance(model, Segmenter):
        return SegmenterPredictor(model.with_vocabulary(*names))
    if not callable(model):
        raise TypeError(
            f"model is a {type(model).__name__}; give a name, a folder, a segmenter, or a function "
            "(frames, audio) -> probabilities."
        )
    if vocabulary is not None:
        raise ValueError("vocabulary applies to models of avseg; leave it out for your own.")
    rate = data.sample_rate if isinstance(data, AVSBench) else DEFAULT_SAMPLE_RATE
    return FunctionPredictor(model, rate)


def open_split(
    data: DataLike,
    subset: Subset | None = None,
    split: str = "test",
    sample_rate: int = DEFAULT_SAMPLE_RATE,
    audio_channels: int = 1,
) -> AVSBench:
    """Open the data of an evaluation with audio at a sample rate.

    Args:
        data: Folder of the data sets, or a split that is open already.
        subset: Subset in the folder; None for a split that is open.
        split: Split of the subset; not used for a split that is open.
        sample_rate: Sample rate to which the audio is resampled, in Hz.
        audio_channels: Number of audio channels of a clip, 1 or 2.

    Returns:
        The split.

    Raises:
        DatasetError: If the data are missing or incomplete.
        ValueError: If the subset is missing, or given for a split that is open.
    """
    if isinstance(data, AVSBench):
        if subset is not None:
            raise ValueError(f"data is an open split of {data.subset}; leave the subset out.")
        if (data.sample_rate, data.audio_channels) == (sample_rate, audio_channels):
            return data
        # Models need different sample rates; a caller who opens a split does not have to know them.
        return AVSBench(data.folder, data.subset, data.split, sample_rate, audio_channels)
    if subset is None:
        raise ValueError(f"a folder needs a subset; choose from {', '.join(get_args(Subset))}.")
    return AVSBench(data, subset, split, sample_rate, audio_channels)


def check_threshold(threshold: float) -> None:
    """Validate the probability above which a pixel is marked.

    Args:
        threshold: The probability.

    Raises:
        ValueError: If it is not between 0 and 1.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"threshold must be between 0 and 1, got {threshold}.")


def require_audio(segmenter: Segmenter) -> None:
    """Validate that a model uses the audio.

    Args:
        segmenter: The model and its processor.

    Raises:
        CheckpointError: If the model is prompted by texts.
    """
    if segmenter.processor.window_s is None or isinstance(segmenter.processor, TextProcessor):
        raise CheckpointError(
            f"{segmenter.name} is prompted by texts, which these data sets do not have; choose an "
            "audio-conditioned model, such as one of the family avseg-av2t-sam."
        )


def _takes_segments(processor: ClipProcessor) -> TypeGuard[SegmentProcessor]:
    """Return whether a processor cuts the audio as the published code of its model does."""
    return isinstance(processor, SegmentProcessor) and processor.inputs == "published"
