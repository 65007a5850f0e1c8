"""What a model says of a clip, before any threshold.

T frames of H x W pixels, h x w size of the logits, K classes, C channels and S samples of sound.
"""

from dataclasses import dataclass, replace
from typing import Self, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avseg.datasets.avsbench import AVSBench
from avseg.evaluation.perturb import Waveform
from avseg.media import cut_segments, read_seconds
from avseg.models.losses import resize_logits
from avseg.models.processor import ClipProcessor, SegmentProcessor, required
from avseg.segmenter import Segmenter
from avseg.types import Clip


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says of a clip.

    Attributes:
        mask_logits: Of the sounding objects, (T, h, w) float32 on the CPU.
        class_logits: Of each class, (T, K, h, w); None of a model that names no classes.
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


@torch.inference_mode()
def predict(segmenter: Segmenter, clip: Clip, audio: Waveform) -> Prediction:
    """Ask the model what it marks in a clip under a sound.

    The model is asked whatever the sound; the rule by which a `Segmenter` marks nothing in digital
    silence would hide whether the model has learned silence.

    Args:
        segmenter: The model and its processor.
        clip: Frames, (T, H, W, 3); its own sound plays no part.
        audio: The sound, (C, S) at the processor's rate.

    Returns:
        What it says.

    Raises:
        ClipError: If the sound is at another rate than the model needs.
    """
    processor = segmenter.processor
    if _takes_segments(processor):
        inputs = processor(clip, cut_segments(audio, processor.sample_rate))
    else:
        inputs = processor(replace(clip, audio=audio[0]))
    outputs = segmenter.model(**{name: v.to(segmenter.device) for name, v in inputs.items()})
    classes: Tensor | None = getattr(outputs, "class_logits", None)
    return Prediction(
        mask_logits=required(outputs.mask_logits, "mask_logits")[0].float().cpu(),
        class_logits=None if classes is None else classes[0].float().cpu(),
    )


def _takes_segments(processor: ClipProcessor) -> TypeGuard[SegmentProcessor]:
    return isinstance(processor, SegmentProcessor) and processor.inputs == "published"
