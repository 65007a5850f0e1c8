"""The task that trains AuralSAM2 on whole clips.

SAM 2 and its memory are frozen. A clip has T frames of H x W pixels; S is the side of the frames
that the model gets.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from avseg.datasets.avsbench import AVSBench
from avseg.models.auralsam2 import AuralSam2Config, AuralSam2Model, AuralSam2Processor
from avseg.training.measures import MaskMeasure
from avseg.training.parts import WHOLE, load_parts
from avseg.training.tasks.audio_visual import open_splits
from avseg.training.tasks.baselines import check_annotated
from avseg.training.tasks.options import AuralSam2
from avseg.training.tasks.task import Task, TaskInputs, write_when_complete


@dataclass(frozen=True)
class AuralClip:
    """Inputs of the model for one clip.

    Attributes:
        frames: RGB images, (T, H, W, 3) uint8.
        audio_values: Spectrograms of the left and the right channel in each frame's audio window,
            (T, 2, columns, bands) float32.
        masks: Ground-truth masks, (T, H, W) bool; empty for frames without ground truth.
        annotated: Whether a frame has a ground truth, (T,) bool.
    """

    frames: NDArray[np.uint8]
    audio_values: Tensor
    masks: NDArray[np.bool_]
    annotated: NDArray[np.bool_]


class AuralClips(Dataset[AuralClip]):
    """The whole clips of several splits.

    Args:
        splits: The splits.
        processor: Processor of the model.
    """

    def __init__(self, splits: Sequence[AVSBench], processor: AuralSam2Processor) -> None:
        self._clips = [(split, number) for split in splits for number in range(len(split))]
        self._processor = processor

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> AuralClip:
        split, number = self._clips[index]
        clip = split[number]
        windows = torch.from_numpy(clip.clip.channel_windows(self._processor.window_s))
        audio = self._processor.prepare_audio(windows)
        return AuralClip(clip.clip.frames, audio, clip.masks, clip.annotated)


def build_auralsam2(options: AuralSam2, inputs: TaskInputs[AuralSam2Config]) -> Task:
    """Build the training of AuralSAM2.

    Args:
        options: The recipe's `data` section.
        inputs: Configuration, weights and folders.

    Returns:
        The task.

    Raises:
        TrainingError: If there is no folder of data sets, the name of a data set is not of the
            form "subset/split", evaluation data has frames without ground truth, or a part does not
            fit.
        DatasetError: If a data set is missing.
    """
    names = (*options.train, *options.measured, *options.tested)
    splits = open_splits(
        inputs.data, names, inputs.config.sample_rate, AuralSam2Processor.audio_channels
    )
    for name in (*options.measured, *options.tested):
        check_annotated(name, splits[name])
    model = AuralSam2Model(inputs.config)
    modules = {"sam": model.sam, "memory": model.memory, "vggish": model.vggish, WHOLE: model}
    load_parts(modules, inputs.parts)
    processor = AuralSam2Processor.from_config(inputs.config)

    def read_each(names: Sequence[str]) -> dict[str, Dataset[Any]]:
        return {name.replace("/", "_"): AuralClips([splits[name]], processor) for name in names}

    return Task(
        model=model,
        train=AuralClips([splits[name] for name in options.train], processor),
        measured=read_each(options.measured),
        tested=read_each(options.tested),
        collate=lambda clips: collate(clips, processor),
        measure=MaskMeasure,
        finish=write_when_complete(processor.save_pretrained),
        frames_of=lambda clip: clip.frames,
    )


def collate(clips: Sequence[AuralClip], processor: AuralSam2Processor) -> dict[str, Tensor]:
    """Collate clips to a batch of the model's inputs.

    Args:
        clips: Clips with equally many frames of one size.
        processor: Processor of the model.

    Returns:
        Inputs of `AuralSam2Model`.
    """
    pixel_values = processor.prepare_frames(np.concatenate([clip.frames for clip in clips]))
    return {
        "pixel_values": pixel_values.unflatten(0, (len(clips), -1)),
        "audio_values": torch.stack([clip.audio_values for clip in clips]),
        "targets": torch.from_numpy(np.stack([clip.masks for clip in clips])),
        "annotated": torch.from_numpy(np.stack([clip.annotated for clip in clips])),
    }
