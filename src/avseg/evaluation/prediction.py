"""What a model says of a clip, before any threshold.

T frames of H x W pixels, h x w size of the logits, K classes, C channels and S samples of sound.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avseg.datasets.avsbench import AVSBench
from avseg.errors import CheckpointError
from avseg.models.av2t_sam.audio_segments import cut_segments, read_seconds
from avseg.models.outputs import resize_logits
from avseg.models.processor import ClipProcessor, SegmentProcessor, required
from avseg.segmenter import Segmenter
from avseg.types import Clip

#: Sound of a clip, (C, S) float32 in [-1, 1].
Waveform = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says of a clip.

    Attributes:
        mask_logits: Of the sounding objects, (T, h, w) float32 on the CPU.
        class_logits: Of each class of the data set, (T, K, h', w'), at a size of their own; None
            if they were not asked for, or the model tells no classes.
    """

    mask_logits: Tensor
    class_logits: Tensor | None

    def of_frames(self, wanted: NDArray[np.bool_]) -> Self:
        """Choose frames.

        Args:
            wanted: Which of the T frames, (T,).

        Returns:
            What is said of these.
        """
        chosen = torch.from_numpy(wanted)
        classes = self.class_logits
        return replace(
            self,
            mask_logits=self.mask_logits[chosen],
            class_logits=None if classes is None else classes[chosen],
        )

    def mask_probs(self, size: tuple[int, int]) -> Tensor:
        """Resize to the frames.

        Args:
            size: H and W.

        Returns:
            Probabilities, (T, H, W).
        """
        return resize_logits(self.mask_logits, size).sigmoid()


def require_listening(segmenter: Segmenter) -> None:
    """Refuse a model that does not listen.

    Args:
        segmenter: The model and its processor.

    Raises:
        CheckpointError: If it is prompted by texts.
    """
    if segmenter.processor.window_s is None:
        raise CheckpointError(
            f"{segmenter.name} is prompted by texts and does not listen; take a model that "
            "does, such as one of the family avseg-av2t-sam."
        )


def read_waveform(segmenter: Segmenter, split: AVSBench, index: int) -> Waveform:
    """Read the sound of a clip as the model's processor wants it.

    A processor that asks for the inputs of a published code gets all channels, read as that code
    reads them; any other gets the mono sound of the clip.

    Args:
        segmenter: The model and its processor.
        split: The data.
        index: Number of the clip.

    Returns:
        The sound at the processor's rate, (C, S).

    Raises:
        ClipError: If the sound cannot be read.
        DatasetError: If a file is missing or damaged.
    """
    if not _takes_segments(segmenter.processor):
        return split[index].clip.audio[None]
    return read_seconds(split.audio_path(index), split.sample_rate, split.entries[index].seconds)


def prepare(segmenter: Segmenter, clip: Clip, audio: Waveform) -> dict[str, Tensor]:
    """Make the model's inputs of a clip under a sound.

    Args:
        segmenter: The model and its processor.
        clip: Frames, (T, H, W, 3); its own sound plays no part.
        audio: The sound, (C, S) at the processor's rate.

    Returns:
        What the processor makes of them, on the model's device.

    Raises:
        ClipError: If the sound is at another rate than the model needs.
    """
    processor = segmenter.processor
    if _takes_segments(processor):
        inputs = processor(clip, cut_segments(audio, processor.sample_rate))
    else:
        inputs = processor(replace(clip, audio=audio[0]))
    return {name: values.to(segmenter.device) for name, values in inputs.items()}


@torch.inference_mode()
def predict(
    segmenter: Segmenter,
    clip: Clip,
    audio: Waveform,
    class_names: Sequence[str] | None = None,
) -> Prediction:
    """Ask the model what it marks in a clip under a sound.

    The model is asked whatever the sound; the rule by which a `Segmenter` marks nothing in digital
    silence would hide whether the model has learned silence.

    Args:
        segmenter: The model and its processor.
        clip: Frames, (T, H, W, 3); its own sound plays no part.
        audio: The sound, (C, S) at the processor's rate.
        class_names: Classes of the data set by number, 0 the background; None asks for none, which
            saves memory, and the time to name sources.

    Returns:
        What it says.

    Raises:
        CheckpointError: If the model tells other classes.
        ClipError: If the sound is at another rate than the model needs.
    """
    model, inputs = segmenter.model, prepare(segmenter, clip, audio)
    outputs = model.predict_masks(**inputs) if class_names is None else model(**inputs)
    masks = required(outputs.mask_logits, "mask_logits")[0].float().cpu()
    if class_names is None:
        return Prediction(masks, None)
    classes: Tensor | None = getattr(outputs, "class_logits", None)
    if classes is None:
        return Prediction(masks, None)
    return Prediction(masks, _in_order(classes[0].float().cpu(), segmenter, class_names))


def _in_order(class_logits: Tensor, segmenter: Segmenter, class_names: Sequence[str]) -> Tensor:
    """Bring the classes of a model (T, C, h, w) into a data set's order, (T, K, h, w).

    A model with a vocabulary tells the background and its names; classes that it does not name
    have no chance. Any other tells the data set's classes in the data set's order.
    """
    numbers = {name.replace("-", " "): number for number, name in enumerate(class_names)}
    told = [name.replace("-", " ") for name in (class_names[0], *segmenter.vocabulary)]
    told = told if segmenter.vocabulary else list(numbers)
    unknown = [name for name in told if name not in numbers]
    if unknown or len(told) != class_logits.shape[1]:
        what = f", among them {unknown[0]!r}" if unknown else ""
        raise CheckpointError(
            f"{segmenter.name} tells {class_logits.shape[1]} classes{what}; the data set has "
            f"{len(class_names)}, {class_names[0]} to {class_names[-1]}. Give classes of the data "
            "set as the vocabulary, or evaluate a model that was trained on it."
        )
    count, _, *size = class_logits.shape
    # Not minus infinity, of which resizing makes what is no number.
    least = torch.finfo(torch.float16).min
    ordered = class_logits.new_full((count, len(class_names), *size), least)
    ordered[:, [numbers[name] for name in told]] = class_logits
    return ordered


def _takes_segments(processor: ClipProcessor) -> TypeGuard[SegmentProcessor]:
    return isinstance(processor, SegmentProcessor) and processor.inputs == "published"
