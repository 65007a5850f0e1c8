"""The tasks that train the baselines of AV2T-SAM: SAMA-AVS and AVSBench's own model.

The audio tower is frozen, so its embeddings are computed once and cached (`feature_cache`).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from avseg.datasets.avsbench import AVSBench
from avseg.errors import TrainingError
from avseg.models.frame_audio import FrameAudioProcessor
from avseg.models.sama import SamaConfig, SamaModel
from avseg.models.tpavi import TpaviConfig, TpaviModel
from avseg.training.clips import (
    ClipIndex,
    EmbeddedClip,
    EmbeddedClips,
    FrameIndex,
    OffScreenPair,
    SingleFrames,
    TrainingExamples,
    draw_off_screen_clips,
)
from avseg.training.measures import MaskMeasure
from avseg.training.parts import WHOLE, load_parts
from avseg.training.tasks.audio_visual import clap_tower, open_splits, read_split_contents
from avseg.training.tasks.options import BaselineOptions, Sama, Tpavi
from avseg.training.tasks.task import Task, TaskInputs, write_when_complete


def build_sama(options: Sama, inputs: TaskInputs[SamaConfig]) -> Task:
    """Build the training of SAMA-AVS, on single frames.

    Args:
        options: The recipe's `data` section.
        inputs: Configuration, weights and folders.

    Returns:
        The task.

    Raises:
        TrainingError: If there is no folder of data sets, the name of a data set is not of the
            form "subset/split", evaluation data has frames without ground truth, a part does not
            fit, or off-screen sounds are wanted from data without a list of its visible objects.
        DatasetError: If a data set is missing.
    """
    model = SamaModel(inputs.config)
    modules = {"sam": model.get_submodule("sam"), "clap": model.clap, WHOLE: model}
    load_parts(modules, inputs.parts)
    return _build(options, inputs, model, single_frame_examples)


def build_tpavi(options: Tpavi, inputs: TaskInputs[TpaviConfig]) -> Task:
    """Build the training of AVSBench's own model, on whole clips.

    Args:
        options: The recipe's `data` section.
        inputs: Configuration, weights and folders.

    Returns:
        The task.

    Raises:
        TrainingError: If there is no folder of data sets, the name of a data set is not of the
            form "subset/split", evaluation data has frames without ground truth, a part does not
            fit, or off-screen sounds are wanted from data without a list of its visible objects.
        DatasetError: If a data set is missing.
    """
    model = TpaviModel(inputs.config)
    modules = {"hiera": model.encoder.hiera, "clap": model.clap, WHOLE: model}
    load_parts(modules, inputs.parts)
    return _build(options, inputs, model, whole_clip_examples)


def _build(
    options: BaselineOptions,
    inputs: TaskInputs[Any],
    model: SamaModel | TpaviModel,
    arrange: Callable[[EmbeddedClips, Sequence[OffScreenPair[ClipIndex]]], TrainingExamples],
) -> Task:
    """Build the task of a model with loaded parts; `arrange` selects its training examples."""
    names = (*options.train, *options.measured, *options.tested)
    splits = open_splits(inputs.data, names, inputs.config.sample_rate)
    # Before the features are computed, which takes long for a large data set.
    for name in (*options.measured, *options.tested):
        check_annotated(name, splits[name])
    processor = FrameAudioProcessor.from_config(inputs.config)
    model.to(inputs.device).train(mode=False)  # type: ignore[arg-type]  # transformers' stub
    # Image features change during the training: SAMA-AVS has adapters in the image encoder, TPAVI
    # trains the whole encoder. Only audio embeddings can be cached.
    towers = [clap_tower(model.clap, processor.window_s)]

    def read(*names: str) -> EmbeddedClips:
        chosen = [splits[name] for name in names]
        # Whole clips: TPAVI attends to all frames, but only annotated frames enter the loss.
        return EmbeddedClips(chosen, towers, inputs.features, processor.window_s, whole=True)

    def read_each(names: Sequence[str]) -> dict[str, Dataset[Any]]:
        return {name.replace("/", "_"): read(name) for name in names}

    clips = read(*options.train)
    pairs: list[OffScreenPair[ClipIndex]] = []
    if options.off_screen:
        contents = [c for name in options.train for c in read_split_contents(name, splits[name])]
        pairs = draw_off_screen_clips(contents, options.off_screen)
    return Task(
        model=model,
        train=arrange(clips, pairs),
        measured=read_each(options.measured),
        tested=read_each(options.tested),
        collate=lambda clips: collate(clips, processor),
        measure=MaskMeasure,
        finish=write_when_complete(processor.save_pretrained),
        frames_of=lambda clip: clip.frames,
    )


def whole_clip_examples(
    clips: EmbeddedClips, pairs: Sequence[OffScreenPair[ClipIndex]]
) -> TrainingExamples:
    """Return whole clips as training examples.

    Args:
        clips: The clips.
        pairs: Pairs of the images of one clip and the audio of another, added at the end.

    Returns:
        The clips, followed by the pairs.
    """
    return TrainingExamples(clips, [ClipIndex(number) for number in range(len(clips))], pairs)


def single_frame_examples(
    clips: EmbeddedClips, pairs: Sequence[OffScreenPair[ClipIndex]]
) -> SingleFrames:
    """Return single annotated frames as training examples, each a clip of one frame.

    Args:
        clips: The clips.
        pairs: Pairs of the images of one clip and the audio of another, added frame by frame.

    Returns:
        The frames, followed by the frames of the pairs.
    """
    # Frame t of the images is paired with second t of the audio, as if the audio of the whole clip
    # were replaced.
    frame_pairs = [
        OffScreenPair(FrameIndex(visual.clip, frame), FrameIndex(audio.clip, frame))
        for visual, audio in pairs
        for frame in clips.seconds(visual.clip)
    ]
    return SingleFrames(clips, frame_pairs)


def collate(clips: Sequence[EmbeddedClip], processor: FrameAudioProcessor) -> dict[str, Tensor]:
    """Collate clips to a batch of the model's inputs.

    Args:
        clips: Clips with equally many frames of one size.
        processor: Processor of the model.

    Returns:
        Inputs of `SamaModel` or `TpaviModel`.
    """
    # All frames of the batch are resized together, then split into clips again.
    pixel_values = processor.prepare_frames(np.concatenate([clip.frames for clip in clips]))
    return {
        "pixel_values": pixel_values.unflatten(0, (len(clips), -1)),
        "clap_embeddings": torch.stack([clip.features["clap_embeddings"][0] for clip in clips]),
        "targets": torch.from_numpy(np.stack([clip.masks for clip in clips])),
        "annotated": torch.from_numpy(np.stack([clip.annotated for clip in clips])),
    }


def check_annotated(name: str, split: AVSBench) -> None:
    """Raise an error if frames of an evaluation split lack a ground truth.

    Models that segment whole clips need it: the measures cannot skip frames without ground truth.

    Args:
        name: Name of the split, "subset/split".
        split: The split.

    Raises:
        TrainingError: If a clip has frames without a mask.
    """
    if any(entry.annotated_seconds < entry.seconds for entry in split.entries):
        raise TrainingError(
            f"data: {name} has frames without a ground-truth mask; evaluate on a split with all "
            "masks, for instance s4/val."
        )
